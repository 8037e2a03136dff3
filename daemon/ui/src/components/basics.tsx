// Small parts used everywhere: buttons that say they are busy, fields with labels, errors, states.
import { useId, type ButtonHTMLAttributes, type InputHTMLAttributes, type ReactNode } from 'react';

import { ApiError } from '../api/client';
import type { CameraStateName } from '../api/types';
import { isKey, useI18n } from '../i18n';
import { navigate } from '../lib/router';
import { plateText } from '../lib/plate';

export function Button({
  kind = 'normal',
  busy = false,
  children,
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { kind?: 'normal' | 'primary' | 'danger' | 'quiet'; busy?: boolean }) {
  return (
    <button type="button" {...rest} className={`button ${kind} ${rest.className ?? ''}`} disabled={busy || rest.disabled} aria-busy={busy}>
      {busy && <span className="spinner" aria-hidden="true" />}
      {children}
    </button>
  );
}

export function Link({
  to,
  className,
  children,
  label,
  onFollow,
}: {
  to: string;
  className?: string;
  children: ReactNode;
  label?: string;
  onFollow?: () => void;
}) {
  return (
    <a
      href={to}
      className={className}
      aria-label={label}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        onFollow?.();
        navigate(to);
      }}
    >
      {children}
    </a>
  );
}

export function Field({
  label,
  hint,
  error,
  ...rest
}: InputHTMLAttributes<HTMLInputElement> & { label: string; hint?: string | undefined; error?: string | undefined }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} {...rest} aria-invalid={error !== undefined} aria-describedby={hint ?? error ? `${id}-hint` : undefined} />
      {(error ?? hint) && (
        <p id={`${id}-hint`} className={error ? 'hint bad' : 'hint'}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

export function Select<T extends string>({
  label,
  value,
  options,
  onChange,
  hideLabel = false,
}: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  hideLabel?: boolean;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id} className={hideLabel ? 'visually-hidden' : undefined}>
        {label}
      </label>
      <select id={id} value={value} onChange={(event) => onChange(event.target.value as T)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

export function Check({
  label,
  checked,
  onChange,
  disabled = false,
}: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}) {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  );
}

/** The sentence for an error in the reader's language, then what the box said about it. */
export function ErrorNote({ error }: { error: unknown }) {
  const { t, language } = useI18n();
  if (error === undefined || error === null) return null;
  const known = error instanceof ApiError ? error : undefined;
  const key = `error.${known?.code ?? ''}`;
  const headline = isKey(key) ? t(key) : t('error.title');
  const said = known ? known.message : error instanceof Error ? error.message : '';
  // These say all there is to say.
  const plain = known?.code === 'wrong_credentials' || known?.code === 'offline' || known?.code.startsWith('import_');
  return (
    <div className="note bad" role="alert">
      <strong>{language === 'en' && said !== '' ? said : headline}</strong>
      {language !== 'en' && said !== '' && !plain && <p lang="en">{said}</p>}
      {known?.remedy !== undefined && known.remedy !== '' && !plain && <p lang="en">{known.remedy}</p>}
      {/* The first problem is in the message already. */}
      {known?.problems.slice(1).map((problem) => (
        <p key={problem.key} lang="en">
          {problem.key}: {problem.message}
        </p>
      ))}
    </div>
  );
}

/** The message for one field, when the error is about it. */
export function fieldError(error: unknown, field: string): string | undefined {
  return error instanceof ApiError && error.field === field ? error.message : undefined;
}

export function StateBadge({ state }: { state: CameraStateName | undefined }) {
  const { t } = useI18n();
  const name = state ?? 'unknown';
  return (
    <span className={`badge ${name}`}>
      <span className="dot" aria-hidden="true" />
      {t(`state.${name}`)}
    </span>
  );
}

/** A plate as it looks on the vehicle. */
export function Plate({
  text,
  layout,
  category = null,
  size = 'normal',
}: {
  text: string;
  layout: string;
  /** Decides the colors; private where it is not known. */
  category?: string | null;
  size?: 'normal' | 'large' | 'small';
}) {
  const { style, rows } = plateText(text, layout);
  return (
    <span className={`plate ${style} ${category ?? ''} ${size} ${rows.length > 1 ? 'two' : ''}`} role="img" aria-label={text.split(/(?=.)/).join(' ')} translate="no">
      {style === 'mercosul' && (
        <span className="band" aria-hidden="true">
          BRASIL
        </span>
      )}
      {rows.map((row) => (
        <span key={row} className="row" aria-hidden="true">
          {row}
        </span>
      ))}
    </span>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Loading() {
  const { t } = useI18n();
  return (
    <p className="loading" role="status">
      <span className="spinner" aria-hidden="true" />
      {t('common.loading')}
    </p>
  );
}

export function Confidence({ value }: { value: number }) {
  const { t, locale } = useI18n();
  const percent = value.toLocaleString(locale, { style: 'percent', maximumFractionDigits: 0 });
  return (
    <span className={`confidence ${value >= 0.9 ? 'high' : value >= 0.7 ? 'middle' : 'low'}`} title={t('plates.confidence')}>
      <span className="visually-hidden">{t('plates.confidence')} </span>
      {percent}
    </span>
  );
}
