// One plate of a watchlist: a new one, or reason and dates of one that is there.
import { useState } from 'react';

import { request } from '../api/client';
import type { WatchlistEntry } from '../api/types';
import { Button, ErrorNote, Field, Plate, fieldError } from '../components/basics';
import { useI18n } from '../i18n';
import { layoutOf, normalize, twin } from '../lib/plate';
import { useAction } from '../lib/use-data';
import { bounds, days } from '../lib/watchlists';

export function EntryForm({
  base,
  entry,
  suggested,
  onSaved,
  onCancel,
}: {
  base: string;
  /** Absent: a new one. */
  entry: WatchlistEntry | undefined;
  suggested: string;
  onSaved: () => void;
  onCancel: () => void;
}) {
  const { t } = useI18n();
  const known = entry ? days(entry) : { from: '', until: '' };
  const [plate, setPlate] = useState(entry?.plate ?? suggested);
  const [reason, setReason] = useState(entry?.reason ?? '');
  const [from, setFrom] = useState(known.from);
  const [until, setUntil] = useState(known.until);
  const save = useAction();
  const text = normalize(plate);
  const other = twin(text);
  const backwards = from !== '' && until !== '' && until < from;
  const about = (field: string): string | undefined => fieldError(save.error, field);
  const placed = ['plate', 'reason', 'valid_from', 'valid_until'].some((field) => about(field) !== undefined);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (text === '' || backwards) return;
        save.run(async () => {
          // Dates that were not touched stay exact: an entry may come from a file with times of its own.
          const dates = entry && from === known.from && until === known.until ? { valid_from: entry.valid_from, valid_until: entry.valid_until } : bounds(from, until);
          await request(`${base}/entries/${encodeURIComponent(text)}`, { method: 'PUT', body: { reason: reason.trim(), ...dates } });
          onSaved();
        });
      }}
    >
      {entry ? (
        <Plate text={entry.plate} layout={layoutOf(entry.plate)} />
      ) : (
        <Field
          label={t('lists.plate')}
          value={plate}
          onChange={(e) => setPlate(e.target.value)}
          placeholder="ABC1D23"
          autoCapitalize="characters"
          autoComplete="off"
          spellCheck={false}
          maxLength={16}
          required
          autoFocus
          hint={other === null ? undefined : t('plates.twin', { plate: other })}
          error={about('plate')}
        />
      )}
      <Field label={`${t('lists.entry_reason')} (${t('common.optional')})`} value={reason} onChange={(e) => setReason(e.target.value)} maxLength={256} error={about('reason')} />
      <div className="columns">
        <Field label={`${t('lists.from')} (${t('common.optional')})`} type="date" value={from} onChange={(e) => setFrom(e.target.value)} error={about('valid_from')} />
        <Field
          label={`${t('lists.until')} (${t('common.optional')})`}
          type="date"
          value={until}
          min={from}
          onChange={(e) => setUntil(e.target.value)}
          hint={t('lists.until_hint')}
          error={backwards ? t('lists.backwards') : about('valid_until')}
        />
      </div>
      {!placed && <ErrorNote error={save.error} />}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={save.busy}>
          {t('common.save')}
        </Button>
        <Button onClick={onCancel}>{t('common.cancel')}</Button>
      </div>
    </form>
  );
}
