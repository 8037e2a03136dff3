// What needs somebody: alerts, newest first, each with its picture, its reason and the way to the passage.
import { useState } from 'react';

import { request } from '../api/client';
import type { Alert, AlertPage, Camera } from '../api/types';
import { AlertPicture, AlertText, SeverityBadge } from '../components/AlertParts';
import { Button, Empty, ErrorNote, Link, Loading } from '../components/basics';
import { MutedIcon, SoundIcon } from '../components/icons';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { merge, RECENT_MAX } from '../lib/alerts';
import { settings } from '../lib/settings';
import { ring } from '../lib/sound';
import { brief } from '../lib/time';
import { useAlerts } from '../lib/use-alerts';
import { useAction, useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { useNow } from '../lib/use-now';

/** In case an event was lost without notice. */
const RELOAD_MS = 30_000;

export function Alerts() {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  return (
    <>
      <PageHead title={t('alerts.title')}>
        <Sound />
      </PageHead>
      <div className="segmented alert-filter" role="group" aria-label={t('alerts.show')}>
        <button type="button" aria-pressed={!open} onClick={() => setOpen(false)}>
          {t('alerts.all')}
        </button>
        <button type="button" aria-pressed={open} onClick={() => setOpen(true)}>
          {t('alerts.open')}
        </button>
      </div>
      <List key={String(open)} open={open} />
    </>
  );
}

function List({ open }: { open: boolean }) {
  const { t } = useI18n();
  const { recent } = useAlerts();
  const path = `/api/ai/alerts?limit=${RECENT_MAX}${open ? '&open=true' : ''}`;
  const first = useData<AlertPage>(path, RELOAD_MS);
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const [older, setOlder] = useState<AlertPage | null>(null);
  const load = useAction();
  // The page of the whole app has what came since, and what was acknowledged here.
  const known = merge(merge(older?.items ?? [], first.data?.items ?? []), recent ?? []);
  const rows = known.filter((row) => !open || row.acknowledged_at === null);
  const cursor = older ? older.next : (first.data?.next ?? null);
  const names = new Map(cameras.data?.cameras.map((c) => [c.id, c.name]));
  const replace = (row: Alert): void => setOlder((old) => old && { ...old, items: merge(old.items, [row]) });
  return (
    <>
      <ErrorNote error={first.error ?? load.error} />
      {first.loading && <Loading />}
      {first.data && rows.length === 0 && (
        <Empty title={t(open ? 'alerts.none_open' : 'alerts.none')}>
          {!open && (
            <>
              <p>{t('alerts.none_hint')}</p>
              <Link to="/watchlists" className="button">
                {t('lists.title')}
              </Link>
            </>
          )}
        </Empty>
      )}
      <ol className="alerts">
        {rows.map((row) => (
          <Row
            key={row.id}
            row={row}
            camera={names.get(row.camera ?? '') ?? row.camera ?? ''}
            onAcknowledged={(done) => {
              replace(done);
              first.reload();
            }}
          />
        ))}
      </ol>
      {cursor !== null && (
        <div className="more">
          <Button
            busy={load.busy}
            onClick={() =>
              load.run(async () => {
                const page = await request<AlertPage>(`${path}&before=${encodeURIComponent(cursor)}`);
                setOlder((old) => ({ items: merge(old?.items ?? first.data?.items ?? [], page.items), next: page.next }));
              })
            }
          >
            {t('common.more')}
          </Button>
        </div>
      )}
    </>
  );
}

function Row({ row, camera, onAcknowledged }: { row: Alert; camera: string; onAcknowledged: (row: Alert) => void }) {
  const { t, locale } = useI18n();
  const now = useNow();
  const { acknowledge } = useAlerts();
  const action = useAction();
  const mayAcknowledge = useMay('operator');
  const done = row.acknowledged_at !== null;
  return (
    <li className={`card alert ${row.severity} ${done ? 'done' : ''}`} data-alert={row.kind}>
      <AlertPicture alert={row} />
      <div className="alert-text">
        <AlertText alert={row} camera={camera} />
        <span className="meta alert-facts">
          <SeverityBadge severity={row.severity} />
          <time dateTime={new Date(row.at / 1000).toISOString()}>{brief(row.at, now, locale)}</time>
          {camera !== '' && <span>{camera}</span>}
        </span>
      </div>
      <div className="alert-actions">
        {row.detection !== null && (
          <Link to={`/plates/${row.detection}`} className="button">
            {t('alerts.passage')}
          </Link>
        )}
        {done ? (
          <span className="meta">{t('alerts.acknowledged', { user: row.acknowledged_by ?? '–', time: brief(row.acknowledged_at ?? 0, now, locale) })}</span>
        ) : (
          mayAcknowledge && (
            <Button
              busy={action.busy}
              onClick={() =>
                action.run(async () => {
                  onAcknowledged(await acknowledge(row.id));
                })
              }
            >
              {t('alerts.acknowledge')}
            </Button>
          )
        )}
        {action.error !== undefined && <ErrorNote error={action.error} />}
      </div>
    </li>
  );
}

/** Sound of new alerts in this browser; switching it on is the touch that lets the browser play it. */
function Sound() {
  const { t } = useI18n();
  const [on, setOn] = useState(settings.sound());
  return (
    <Button
      aria-pressed={on}
      onClick={() => {
        settings.setSound(!on);
        setOn(!on);
        if (!on) ring('info');
      }}
    >
      {on ? <SoundIcon /> : <MutedIcon />}
      {t(on ? 'alerts.sound_on' : 'alerts.sound_off')}
    </Button>
  );
}
