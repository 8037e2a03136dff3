// What was done on the box and with what configuration, for administrators.
import { useState } from 'react';

import { request } from '../../api/client';
import type { AuditEntry } from '../../api/types';
import { Button, ErrorNote } from '../../components/basics';
import { useI18n } from '../../i18n';
import { brief } from '../../lib/time';
import { useAction, useData } from '../../lib/use-data';
import { useNow } from '../../lib/use-now';
import { Card } from './parts';

interface AuditPage {
  entries: AuditEntry[];
  next: string | null;
}

export function Audit() {
  const { t, locale } = useI18n();
  const now = useNow();
  const first = useData<AuditPage>('/api/admin/audit?limit=20', 15_000);
  const [older, setOlder] = useState<AuditPage | null>(null);
  const load = useAction();
  const entries = [...(first.data?.entries ?? []), ...(older?.entries ?? [])].filter((entry, index, all) => all.findIndex((other) => other.seq === entry.seq) === index);
  const next = older ? older.next : (first.data?.next ?? null);
  return (
    <Card title={t('system.audit')}>
      <ErrorNote error={first.error ?? load.error} />
      <ol className="audit">
        {entries.map((entry) => (
          <li key={entry.seq} className={entry.detail.outcome === 'refused' ? 'refused' : ''}>
            <time dateTime={new Date(entry.at / 1000).toISOString()}>{brief(entry.at, now, locale)}</time>
            <span>
              <strong>{entry.actor || '–'}</strong> {entry.action} <span className="meta">{entry.subject}</span>
              {entry.detail.outcome === 'refused' && <span className="chip">{t('system.refused')}</span>}
            </span>
            <span className="meta">{entry.remote}</span>
          </li>
        ))}
      </ol>
      {next !== null && (
        <Button
          busy={load.busy}
          onClick={() =>
            load.run(async () => {
              const page = await request<AuditPage>(`/api/admin/audit?limit=50&cursor=${encodeURIComponent(next)}`);
              setOlder((old) => ({ entries: [...(old?.entries ?? []), ...page.entries], next: page.next }));
            })
          }
        >
          {t('common.more')}
        </Button>
      )}
    </Card>
  );
}

export function Configuration() {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  const config = useData<unknown>(open ? '/api/admin/settings' : null);
  return (
    <section className="card pad">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <h2>{t('system.settings')}</h2>
        </summary>
        <ErrorNote error={config.error} />
        {config.data !== undefined && <pre>{JSON.stringify(config.data, null, 2)}</pre>}
      </details>
    </section>
  );
}
