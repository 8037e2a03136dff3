// Plate reading: what it runs on and why, how long each stage takes, what was left out and for which reason.
import type { BoxStatus } from '../../api/types';
import { isKey, useI18n, type Translate } from '../../i18n';
import { samples, sums } from '../../lib/prometheus';
import { useData } from '../../lib/use-data';
import { Card, Fact, StateMark } from './parts';

const marks = { off: 'disabled', starting: 'connecting', running: 'streaming', failed: 'unreachable' } as const;

export function Reading({ lpr }: { lpr: BoxStatus['lpr'] }) {
  const { t, locale } = useI18n();
  const ms = (value: number): string => `${value.toLocaleString(locale, { maximumFractionDigits: 1 })} ms`;
  return (
    <Card title={t('system.lpr')} state={<StateMark state={marks[lpr.state]}>{t(`system.lpr.${lpr.state}`)}</StateMark>}>
      {lpr.reason !== '' && (
        <p className={lpr.state === 'failed' ? 'note bad' : 'lead'} lang="en">
          {lpr.reason}
        </p>
      )}
      <dl className="facts">
        {lpr.provider !== '' && <Fact name={t('system.provider')}>{lpr.provider.toUpperCase()}</Fact>}
        {lpr.models.length > 0 && <Fact name={t('system.models')}>{lpr.models.join(', ')}</Fact>}
        {lpr.precisions.map(({ model, precision, fp32_ms, int8_ms }) => (
          <Fact key={model} name={t(`system.precision.${model}`)}>
            {precision.toUpperCase()}
            {fp32_ms !== null && int8_ms !== null && <span className="meta"> {t('system.measured', { fp32: ms(fp32_ms), int8: ms(int8_ms) })}</span>}
          </Fact>
        ))}
      </dl>
      {lpr.stages.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>{t('system.stage')}</th>
              <th>p50</th>
              <th>p95</th>
            </tr>
          </thead>
          <tbody>
            {lpr.stages.map((stage) => (
              <tr key={stage.stage}>
                <td>{named(t, 'system.stage', stage.stage)}</td>
                <td>{ms(stage.p50_ms)}</td>
                <td>{ms(stage.p95_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {lpr.state === 'running' && <LeftOut />}
    </Card>
  );
}

/** Frames and tracks since the start that gave no passage, by reason. */
function LeftOut() {
  const { t, locale } = useI18n();
  const metrics = useData<string>('/metrics', 15_000);
  if (metrics.data === undefined) return null;
  const all = samples(metrics.data);
  const frames = sums(all, 'gtv_dropped_total', 'reason', { stage: 'lpr' });
  const looks = sums(all, 'gtv_lpr_frames_total', 'verdict');
  const excluded = sums(all, 'gtv_lpr_plates_excluded_total', 'reason');
  const tracks = sums(all, 'gtv_lpr_tracks_total', 'outcome');
  const groups = [
    { key: 'system.looks', rows: looks, texts: 'system.look' },
    { key: 'system.skipped', rows: frames, texts: 'system.skip' },
    { key: 'system.excluded', rows: excluded, texts: 'system.exclude' },
    { key: 'system.tracks', rows: tracks, texts: 'system.track' },
  ] as const;
  return (
    <>
      {groups.map(
        ({ key, rows, texts }) =>
          rows.length > 0 && (
            <details key={key} className="counts-list">
              <summary>
                {t(key)}: {rows.reduce((sum, [, count]) => sum + count, 0).toLocaleString(locale)}
              </summary>
              <dl className="facts">
                {rows.map(([reason, count]) => (
                  <Fact key={reason} name={named(t, texts, reason)}>
                    {count.toLocaleString(locale)}
                  </Fact>
                ))}
              </dl>
            </details>
          ),
      )}
    </>
  );
}

/** The text for a name of the box; a new one is shown as it is. */
function named(t: Translate, prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return isKey(key) ? t(key) : name;
}
