// A CSV file into a watchlist, dropped or picked, and what became of its lines.
import { useId, useState, type DragEvent } from 'react';

import { request } from '../api/client';
import type { ImportReport } from '../api/types';
import { useI18n } from '../i18n';
import { useAction } from '../lib/use-data';
import { line, problem } from '../lib/watchlists';
import { Button, Check, ErrorNote } from './basics';

/** Rejected lines on the page; the rest is told as a number. */
const SHOWN_MAX = 100;

export function ImportFile({ path, onDone }: { path: string; onDone: () => void }) {
  const { t, locale } = useI18n();
  const input = useId();
  const [file, setFile] = useState<File | null>(null);
  const [replace, setReplace] = useState(false);
  const [over, setOver] = useState(false);
  const [report, setReport] = useState<{ of: string; result: ImportReport; lines: string[] } | null>(null);
  const send = useAction();
  const choose = (chosen: File | null | undefined): void => {
    if (!chosen) return;
    setFile(chosen);
    setReport(null);
    send.clear();
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    choose(event.dataTransfer.files.item(0));
  };
  const submit = (): void => {
    if (!file || (replace && !window.confirm(t('import.replace_confirm', { name: file.name })))) return;
    send.run(async () => {
      const result = await request<ImportReport>(`${path}${replace ? '?replace=true' : ''}`, { method: 'POST', file: { data: file, type: 'text/csv' } });
      const lines = result.rejected.length > 0 ? (await file.text()).split(/\r?\n/) : [];
      setReport({ of: file.name, result, lines });
      setFile(null);
      onDone();
    });
  };
  const number = (value: number): string => value.toLocaleString(locale);
  return (
    <section className="card pad">
      <h2>{t('lists.import')}</h2>
      <div
        className={`drop ${over ? 'over' : ''}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <p>{file ? file.name : t('import.drop')}</p>
        <input id={input} type="file" accept=".csv,text/csv,text/plain" className="visually-hidden" onChange={(event) => choose(event.target.files?.item(0))} />
        <label htmlFor={input} className="button">
          {t('import.pick')}
        </label>
      </div>
      <p className="hint">
        {t('import.columns')} <code>plate,reason,valid_from,valid_until</code>
      </p>
      <Check label={t('import.replace')} checked={replace} onChange={setReplace} />
      <ErrorNote error={send.error} />
      <Button kind="primary" disabled={!file} busy={send.busy} onClick={submit}>
        {t('import.send')}
      </Button>
      {report && (
        <div role="status" className="import-report">
          <p>
            <strong>{report.of}</strong>
          </p>
          <dl className="counts">
            {(['added', 'changed', 'removed'] as const).map((key) => (
              <div key={key}>
                <dt>{t(`import.${key}`)}</dt>
                <dd>{number(report.result[key])}</dd>
              </div>
            ))}
            <div className={report.result.rejected_total > 0 ? 'bad' : ''}>
              <dt>{t('import.rejected')}</dt>
              <dd>{number(report.result.rejected_total)}</dd>
            </div>
          </dl>
          {report.result.rejected.length > 0 && (
            <ol className="rejected">
              {report.result.rejected.slice(0, SHOWN_MAX).map((one) => (
                <li key={one.line}>
                  <span className="meta">{t('import.line', { line: one.line })}</span> <code>{line(report.lines, one.line)}</code>
                  <span className="hint bad">{problem(one, t)}</span>
                </li>
              ))}
            </ol>
          )}
          {report.result.rejected_total > SHOWN_MAX && <p className="meta">{t('import.more_rejected', { count: number(report.result.rejected_total - SHOWN_MAX) })}</p>}
        </div>
      )}
    </section>
  );
}
