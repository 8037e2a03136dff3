// The zones of a picture as a list: name, kind, what is wrong; and the smallest plate that is read.
import { useId } from 'react';

import type { Zone } from '../api/types';
import { useI18n } from '../i18n';
import type { Fault } from '../lib/zones';
import { Button, Check, Field } from './basics';
import { WIDTH_MAX, WIDTH_MIN } from './PlateBox';

/** Where the box begins when it is switched on: narrower plates are hard to read for people too. */
const WIDTH_FIRST = 0.03;
const NAME_MAX = 64;

export function ZoneList({
  zones,
  selected,
  faults,
  onSelect,
  onZone,
  onRemove,
}: {
  zones: Zone[];
  selected: number | null;
  faults: Map<number, Fault>;
  onSelect: (index: number | null) => void;
  /** Absent for those who may only look. */
  onZone: ((index: number, zone: Zone, step: string) => void) | undefined;
  onRemove: (index: number) => void;
}) {
  const { t } = useI18n();
  return (
    <section className="card pad">
      <h2>{t('zones.list')}</h2>
      {zones.length === 0 && <p className="lead">{t('zones.everywhere')}</p>}
      <ul className="zone-list">
        {zones.map((zone, i) => {
          const fault = faults.get(i);
          const open = selected === i && onZone !== undefined;
          return (
            <li key={i} className={open ? 'open' : ''}>
              <button type="button" className="zone-row" aria-expanded={open} onClick={() => onSelect(selected === i ? null : i)}>
                <span className={`swatch ${zone.kind}`} aria-hidden="true" />
                <span className="zone-name">{zone.name.trim() || t('zones.unnamed')}</span>
                <span className="meta">{t(`zones.${zone.kind}`)}</span>
              </button>
              {open && (
                <div className="zone-form">
                  <Field
                    label={t('camera.name')}
                    type="text"
                    value={zone.name}
                    maxLength={NAME_MAX}
                    onChange={(event) => onZone(i, { ...zone, name: event.target.value }, 'name')}
                    error={fault && t(`zones.fault.${fault}`)}
                  />
                  <div className="segmented" role="group" aria-label={t('zones.kind')}>
                    {(['watch', 'ignore'] as const).map((kind) => (
                      <button key={kind} type="button" aria-pressed={zone.kind === kind} onClick={() => onZone(i, { ...zone, kind }, '')}>
                        {t(`zones.${kind}`)}
                      </button>
                    ))}
                  </div>
                  <p className="hint">{t(`zones.${zone.kind}_hint`)}</p>
                  <Button kind="danger" onClick={() => onRemove(i)}>
                    {t('zones.remove')}
                  </Button>
                </div>
              )}
              {!open && fault && <p className="hint bad">{t(`zones.fault.${fault}`)}</p>}
            </li>
          );
        })}
      </ul>
    </section>
  );
}

export function MinPlate({
  width,
  pictureWidth,
  onWidth,
}: {
  width: number;
  pictureWidth: number | undefined;
  onWidth: ((width: number, step: string) => void) | undefined;
}) {
  const { t, locale } = useI18n();
  const id = useId();
  const share = width.toLocaleString(locale, { style: 'percent', maximumFractionDigits: 1 });
  const shown = pictureWidth === undefined ? t('zones.min_share', { share }) : t('zones.min_pixels', { share, pixels: Math.round(width * pictureWidth), of: pictureWidth });
  return (
    <section className="card pad">
      <h2>{t('zones.min')}</h2>
      <Check label={t('zones.min_use')} checked={width > 0} disabled={!onWidth} onChange={(on) => onWidth?.(on ? WIDTH_FIRST : 0, '')} />
      {width > 0 && (
        <div className="field">
          <label htmlFor={id}>{shown}</label>
          <input
            id={id}
            type="range"
            min={WIDTH_MIN}
            max={WIDTH_MAX}
            step={0.0025}
            value={width}
            disabled={!onWidth}
            aria-valuetext={shown}
            onChange={(event) => onWidth?.(Number(event.target.value), 'min width')}
          />
          <p className="hint">{t('zones.min_hint')}</p>
        </div>
      )}
    </section>
  );
}
