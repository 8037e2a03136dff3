// One watchlist: its plates with search and pages, one more plate, a whole file in and out.
import { useState } from 'react';

import { request } from '../api/client';
import type { EntryPage, Watchlist, WatchlistEntry } from '../api/types';
import { SeverityBadge } from '../components/AlertParts';
import { Button, Empty, ErrorNote, Link, Loading, Plate } from '../components/basics';
import { BackIcon, SearchIcon } from '../components/icons';
import { ImportFile } from '../components/ImportFile';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { layoutOf, normalize, twin } from '../lib/plate';
import { navigate } from '../lib/router';
import { dayAndClock } from '../lib/time';
import { useAction, useData, useDebounced } from '../lib/use-data';
import { useMay } from '../lib/user';
import { useNow } from '../lib/use-now';
import { date, days, validity } from '../lib/watchlists';
import { EntryForm } from './EntryForm';
import { ListForm } from './Watchlists';

const PAGE = 50;

export function WatchlistPage({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const lists = useData<{ items: Watchlist[] }>('/api/ai/watchlists');
  const list = lists.data?.items.find((one) => one.id === id);
  const mayChange = useMay('operator');
  const [mode, setMode] = useState<'look' | 'edit' | 'import'>('look');
  const [turn, setTurn] = useState(0);
  const remove = useAction();
  const base = `/api/ai/watchlists/${encodeURIComponent(id)}`;
  const imported = (): void => {
    lists.reload();
    setTurn((n) => n + 1);
  };
  return (
    <>
      <PageHead
        title={list?.name ?? t('lists.title')}
        back={
          <Link to="/watchlists" className="button quiet" label={t('common.back')}>
            <BackIcon />
          </Link>
        }
      >
        {list && <SeverityBadge severity={list.severity} />}
      </PageHead>
      <ErrorNote error={lists.error ?? remove.error} />
      {lists.loading && <Loading />}
      {lists.data && !list && <Empty title={t('error.not_found')} />}
      {list && (
        <div className="list-page">
          <div>
            <Entries key={turn} base={base} total={list.entries} onChanged={lists.reload} />
          </div>
          <aside>
            <section className="card pad">
              {mode === 'edit' ? (
                <ListForm
                  list={list}
                  onSaved={() => {
                    setMode('look');
                    lists.reload();
                  }}
                  onCancel={() => setMode('look')}
                />
              ) : (
                <>
                  {list.reason !== '' && <p>{list.reason}</p>}
                  {!list.enabled && <p className="note">{t('lists.off')}</p>}
                  <p className="meta">{t('lists.created', { user: list.created_by, time: dayAndClock(list.created_at, locale) })}</p>
                  <div className="form-actions">
                    {mayChange && <Button onClick={() => setMode('edit')}>{t('lists.edit')}</Button>}
                    {mayChange && <Button onClick={() => setMode(mode === 'import' ? 'look' : 'import')}>{t('lists.import')}</Button>}
                    <a className="button" href={`${base}/export.csv`} download={`${list.name}.csv`}>
                      {t('lists.export')}
                    </a>
                    {mayChange && (
                      <Button
                        kind="danger"
                        busy={remove.busy}
                        onClick={() => {
                          if (!window.confirm(t('lists.remove_confirm', { name: list.name, count: list.entries.toLocaleString(locale) }))) return;
                          remove.run(async () => {
                            await request(base, { method: 'DELETE' });
                            navigate('/watchlists', true);
                          });
                        }}
                      >
                        {t('common.remove')}
                      </Button>
                    )}
                  </div>
                </>
              )}
            </section>
            {mode === 'import' && <ImportFile path={`${base}/import`} onDone={imported} />}
          </aside>
        </div>
      )}
    </>
  );
}

function Entries({ base, total, onChanged }: { base: string; total: number; onChanged: () => void }) {
  const { t } = useI18n();
  const mayChange = useMay('operator');
  const [text, setText] = useState('');
  const part = useDebounced(normalize(text), 250);
  const path = `${base}/entries?limit=${PAGE}${part === '' ? '' : `&part=${part}`}`;
  const first = useData<EntryPage>(path);
  const [older, setOlder] = useState<{ of: EntryPage | undefined; items: WatchlistEntry[]; next: string | null } | null>(null);
  const [form, setForm] = useState<'closed' | 'new' | WatchlistEntry>('closed');
  const load = useAction();
  // Pages that followed an older first page would not join the new one.
  const more = older?.of === first.data ? older : null;
  const rows = [...(first.data?.items ?? []), ...(more?.items ?? [])];
  const next = more ? more.next : (first.data?.next ?? null);
  const changed = (): void => {
    setForm('closed');
    first.reload();
    onChanged();
  };
  return (
    <>
      <search className="filters entry-filters">
        <div className="search-box">
          <SearchIcon />
          <input type="search" value={text} onChange={(e) => setText(e.target.value)} placeholder={t('lists.search')} aria-label={t('lists.search')} autoCapitalize="characters" autoComplete="off" spellCheck={false} />
        </div>
        {mayChange && form === 'closed' && <Button onClick={() => setForm('new')}>{t('lists.add_plate')}</Button>}
      </search>
      {form !== 'closed' && (
        <section className="card pad entry-form">
          <EntryForm key={form === 'new' ? '' : form.plate} base={base} entry={form === 'new' ? undefined : form} suggested={normalize(text)} onSaved={changed} onCancel={() => setForm('closed')} />
        </section>
      )}
      <ErrorNote error={first.error ?? load.error} />
      {first.loading && <Loading />}
      {first.data && rows.length === 0 && <Empty title={t(part === '' && total === 0 ? 'lists.no_entries' : 'plates.empty')} />}
      <ul className="entries">
        {rows.map((entry) => (
          <Entry key={entry.plate} base={base} entry={entry} onEdit={() => setForm(entry)} onRemoved={changed} />
        ))}
      </ul>
      {next !== null && (
        <div className="more">
          <Button
            busy={load.busy}
            onClick={() =>
              load.run(async () => {
                const page = await request<EntryPage>(`${path}&after=${encodeURIComponent(next)}`);
                setOlder({ of: first.data, items: [...(more?.items ?? []), ...page.items], next: page.next });
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

function Entry({ base, entry, onEdit, onRemoved }: { base: string; entry: WatchlistEntry; onEdit: () => void; onRemoved: () => void }) {
  const { t } = useI18n();
  const now = useNow();
  const mayChange = useMay('operator');
  const remove = useAction();
  const state = validity(entry, now);
  const other = twin(entry.plate);
  return (
    <li className={`card entry ${state}`} data-plate={entry.plate}>
      <div className="entry-plate">
        <Plate text={entry.plate} layout={layoutOf(entry.plate)} size="small" />
        {other !== null && <span className="meta">{t('lists.or', { plate: other })}</span>}
      </div>
      <div className="entry-text">
        {entry.reason !== '' && <span>{entry.reason}</span>}
        <span className="meta">
          {(state === 'later' || state === 'over') && <span className="chip">{t(`lists.${state}`)}</span>} <Period entry={entry} />
        </span>
        <ErrorNote error={remove.error} />
      </div>
      {mayChange && (
        <div className="form-actions">
          <Button onClick={onEdit}>{t('lists.edit')}</Button>
          <Button
            kind="danger"
            busy={remove.busy}
            onClick={() => {
              if (!window.confirm(t('lists.remove_plate', { plate: entry.plate }))) return;
              remove.run(async () => {
                await request(`${base}/entries/${entry.plate}`, { method: 'DELETE' });
                onRemoved();
              });
            }}
          >
            {t('common.remove')}
          </Button>
        </div>
      )}
    </li>
  );
}

function Period({ entry }: { entry: WatchlistEntry }) {
  const { t, locale } = useI18n();
  const { from, until } = days(entry);
  const shown = (day: string): string => date(day, locale);
  if (from !== '' && until !== '') return t('lists.period', { from: shown(from), until: shown(until) });
  if (from !== '') return t('lists.period_from', { from: shown(from) });
  return until !== '' ? t('lists.period_until', { until: shown(until) }) : t('lists.period_none');
}
