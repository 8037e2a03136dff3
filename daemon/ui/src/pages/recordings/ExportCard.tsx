// A selected span: exported as evidence with a reason, or kept from retention, for one camera at a time.
import { useState } from 'react';

import { request } from '../../api/client';
import type { ExportTicket } from '../../api/types';
import { Button, ErrorNote, Field, Select } from '../../components/basics';
import { useI18n } from '../../i18n';
import { bytes, dayAndClock, fromDate, localInput, roughly } from '../../lib/time';
import { DAY, SECOND, type Span } from '../../lib/timeline';
import { useAction } from '../../lib/use-data';

export function ExportCard({ cameras, span, onSpan, onClose, onLocked }: { cameras: { id: string; name: string }[]; span: Span; onSpan: (span: Span) => void; onClose: () => void; onLocked: () => void }) {
  const { t, locale } = useI18n();
  const [chosen, setChosen] = useState(cameras[0]?.id ?? '');
  const camera = cameras.some(({ id }) => id === chosen) ? chosen : (cameras[0]?.id ?? '');
  const [reason, setReason] = useState('');
  const [ticket, setTicket] = useState<ExportTicket | null>(null);
  const ask = useAction();
  const tooLong = span.end - span.start > DAY;
  const submit = (): void =>
    ask.run(async () => {
      const body = { camera, from: Math.round(span.start), to: Math.round(span.end), reason: reason.trim() };
      const made = await request<ExportTicket>('/api/streaming/exports', { method: 'POST', body });
      setTicket(made);
      // The browser writes it to disk as it comes; nothing is collected in memory.
      const link = document.createElement('a');
      link.href = made.url;
      link.download = made.name;
      link.click();
    });
  const lock = useAction();
  const protect = (): void =>
    lock.run(async () => {
      await request('/api/streaming/locks', { method: 'POST', body: { camera, from: Math.round(span.start), to: Math.round(span.end), reason: reason.trim() } });
      onLocked();
    });
  const edge = (which: 'start' | 'end', value: string): void => {
    const date = new Date(value);
    if (!Number.isNaN(date.getTime())) onSpan({ ...span, [which]: fromDate(date) });
  };
  return (
    <form
      className="card pad export"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <h2>{t('export.title')}</h2>
      <div className="export-fields">
        <Field label={t('export.from')} type="datetime-local" step={1} value={localInput(span.start)} onChange={(event) => edge('start', event.target.value)} required />
        <Field label={t('export.to')} type="datetime-local" step={1} value={localInput(span.end)} onChange={(event) => edge('end', event.target.value)} required />
        <Select label={t('plates.camera')} value={camera} options={cameras.map(({ id, name }) => [id, name] as const)} onChange={setChosen} />
      </div>
      <Field
        label={t('export.reason')}
        value={reason}
        onChange={(event) => setReason(event.target.value)}
        maxLength={500}
        required
        hint={t('export.reason_hint')}
        placeholder={t('export.reason_example')}
      />
      <p className="meta">{tooLong ? t('export.too_long') : t('export.what', { time: roughly((span.end - span.start) / SECOND) })}</p>
      <ErrorNote error={ask.error ?? lock.error} />
      {ticket && (
        <p className="note good" role="status">
          {t('export.started', { name: ticket.name, size: bytes(ticket.bytes, locale), from: dayAndClock(ticket.start, locale), to: dayAndClock(ticket.end, locale) })}{' '}
          <a href={ticket.url} download={ticket.name}>
            {t('export.again')}
          </a>
        </p>
      )}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={ask.busy} disabled={reason.trim() === '' || span.end <= span.start || tooLong}>
          {t('export.submit')}
        </Button>
        <Button onClick={protect} busy={lock.busy} disabled={reason.trim() === '' || span.end <= span.start} title={t('locks.what')}>
          {t('locks.create')}
        </Button>
        <Button onClick={onClose}>{t('common.close')}</Button>
      </div>
    </form>
  );
}
