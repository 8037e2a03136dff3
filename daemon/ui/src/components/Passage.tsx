// What is known of a passage besides its plate, in the reader's language.
import type { Detection } from '../api/types';
import { isKey, useI18n } from '../i18n';
import { answers, twin } from '../lib/plate';

const arrows: Record<string, string> = { approaching: '↓', leaving: '↑', left_to_right: '→', right_to_left: '←' };

/** The text for a value that the box names; a value of a newer box or another model is shown as it is. */
export function useTrait(): (kind: 'direction' | 'layout' | 'category', value: string) => string {
  const { t } = useI18n();
  return (kind, value) => {
    const key = `plates.${kind}.${value}`;
    return isKey(key) ? t(key) : value;
  };
}

export function Traits({ row, searched }: { row: Detection; searched: string }) {
  const { t } = useI18n();
  const trait = useTrait();
  // The other plate of the vehicle is told where it is what was searched for.
  const other = twin(row.plate);
  const byOther = other !== null && searched !== '' && !answers(row.plate, searched) && answers(other, searched);
  return (
    <>
      {byOther && <span className="meta same-vehicle">{t('plates.twin_short', { plate: other })}</span>}
      <span className="chips wrap">
        {row.single && (
          <span className="chip warn" title={t('plates.single_hint')}>
            {t('plates.single')}
          </span>
        )}
        {row.direction !== null && (
          <span className="chip">
            <span aria-hidden="true">{arrows[row.direction]} </span>
            {trait('direction', row.direction)}
          </span>
        )}
        <span className="chip">{trait('layout', row.layout)}</span>
        {row.category !== null && <span className={`chip category ${row.category}`}>{trait('category', row.category)}</span>}
      </span>
    </>
  );
}

/** How likely a passage is the plate that was asked for. */
export function Score({ value }: { value: number }) {
  const { t, locale } = useI18n();
  return (
    <span className="score" title={t('plates.score')}>
      <span className="visually-hidden">{t('plates.score')} </span>
      {value.toLocaleString(locale, { style: 'percent', maximumFractionDigits: 0 })}
      <span className="meter" aria-hidden="true">
        <span style={{ width: `${value * 100}%` }} />
      </span>
    </span>
  );
}
