// Lists of plates somebody looks for: what each is for, how bad a hit is, whether it is in use.
import { useState } from 'react';

import { request } from '../api/client';
import type { Severity, Watchlist } from '../api/types';
import { SeverityBadge } from '../components/AlertParts';
import { Button, Check, Empty, ErrorNote, Field, Link, Loading, Select, fieldError } from '../components/basics';
import { PlusIcon } from '../components/icons';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { navigate } from '../lib/router';
import { dayAndClock } from '../lib/time';
import { useAction, useData } from '../lib/use-data';
import { useMay } from '../lib/user';

const severities: Severity[] = ['info', 'warning', 'critical'];

export function Watchlists() {
  const { t } = useI18n();
  const lists = useData<{ items: Watchlist[] }>('/api/ai/watchlists');
  const mayChange = useMay('operator');
  const [adding, setAdding] = useState(false);
  const add = mayChange && !adding && (
    <Button kind="primary" onClick={() => setAdding(true)}>
      <PlusIcon />
      {t('lists.add')}
    </Button>
  );
  return (
    <>
      <PageHead title={t('lists.title')}>{lists.data && lists.data.items.length > 0 && add}</PageHead>
      <ErrorNote error={lists.error} />
      {lists.loading && <Loading />}
      {adding && (
        <section className="card pad narrow list-new">
          <h2>{t('lists.add')}</h2>
          <ListForm onSaved={(list) => navigate(`/watchlists/${list.id}`)} onCancel={() => setAdding(false)} />
        </section>
      )}
      {lists.data?.items.length === 0 && !adding && (
        <Empty title={t('lists.empty')}>
          <p>{t('lists.empty_hint')}</p>
          {add}
        </Empty>
      )}
      <ul className="lists">
        {lists.data?.items.map((list) => (
          <Row key={list.id} list={list} onChanged={lists.reload} />
        ))}
      </ul>
    </>
  );
}

function Row({ list, onChanged }: { list: Watchlist; onChanged: () => void }) {
  const { t, locale } = useI18n();
  const mayChange = useMay('operator');
  const change = useAction();
  const { name, severity, reason } = list;
  return (
    <li className={`card list-row ${list.enabled ? '' : 'off'}`}>
      <Link to={`/watchlists/${list.id}`} className="list-link">
        <span className="list-title">
          <h2>{name}</h2>
          <SeverityBadge severity={severity} />
        </span>
        {reason !== '' && <p>{reason}</p>}
        <p className="meta">
          {t(list.entries === 1 ? 'lists.one_entry' : 'lists.entries', { count: list.entries.toLocaleString(locale) })} ·{' '}
          {t('lists.created', { user: list.created_by, time: dayAndClock(list.created_at, locale) })}
        </p>
      </Link>
      <Check
        label={t('lists.enabled')}
        checked={list.enabled}
        disabled={!mayChange || change.busy}
        onChange={(enabled) =>
          change.run(async () => {
            await request(`/api/ai/watchlists/${list.id}`, { method: 'PUT', body: { name, severity, reason, enabled } });
            onChanged();
          })
        }
      />
      <ErrorNote error={change.error} />
    </li>
  );
}

/** A new list, or the fields of one that exists. */
export function ListForm({ list, onSaved, onCancel }: { list?: Watchlist; onSaved: (list: Watchlist) => void; onCancel: () => void }) {
  const { t } = useI18n();
  const [name, setName] = useState(list?.name ?? '');
  const [severity, setSeverity] = useState<Severity>(list?.severity ?? 'warning');
  const [reason, setReason] = useState(list?.reason ?? '');
  const [enabled, setEnabled] = useState(list?.enabled ?? true);
  const save = useAction();
  const named = fieldError(save.error, 'name');
  return (
    <form
      className="list-form"
      onSubmit={(event) => {
        event.preventDefault();
        save.run(async () => {
          const body = { name: name.trim(), severity, reason: reason.trim(), enabled };
          const path = list ? `/api/ai/watchlists/${list.id}` : '/api/ai/watchlists';
          onSaved(await request<Watchlist>(path, { method: list ? 'PUT' : 'POST', body }));
        });
      }}
    >
      <Field label={t('camera.name')} value={name} onChange={(e) => setName(e.target.value)} maxLength={64} required autoFocus error={named} />
      <Field label={`${t('lists.reason')} (${t('common.optional')})`} hint={t('lists.reason_hint')} value={reason} onChange={(e) => setReason(e.target.value)} maxLength={256} error={fieldError(save.error, 'reason')} />
      <Select label={t('lists.severity')} value={severity} options={severities.map((key) => [key, t(`severity.${key}`)] as const)} onChange={setSeverity} />
      <Check label={t('lists.enabled')} checked={enabled} onChange={setEnabled} />
      {named === undefined && <ErrorNote error={save.error} />}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={save.busy}>
          {t('common.save')}
        </Button>
        <Button onClick={onCancel}>{t('common.cancel')}</Button>
      </div>
    </form>
  );
}
