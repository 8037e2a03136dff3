// An alert as the list and the messages show it: what happened in the reader's language, picture, severity.
import type { Alert, Severity } from '../api/types';
import { useI18n } from '../i18n';
import { layoutOf } from '../lib/plate';
import { brief, percent } from '../lib/time';
import { useNow } from '../lib/use-now';
import { Plate } from './basics';

export function SeverityBadge({ severity }: { severity: Severity }) {
  const { t } = useI18n();
  return <span className={`severity ${severity}`}>{t(`severity.${severity}`)}</span>;
}

export function AlertPicture({ alert }: { alert: Alert }) {
  const { t } = useI18n();
  if (alert.detection === null) return null;
  const plate = alert.detail.plate ?? '';
  return <img className="alert-crop" src={`/api/ai/lpr/detections/${encodeURIComponent(alert.detection)}/crop.jpg`} alt={t('plates.crop', { plate })} loading="lazy" />;
}

/** Headline and facts; kinds that this page does not know are told in the box's own words. */
export function AlertText({ alert, camera }: { alert: Alert; camera: string }) {
  const { t, locale } = useI18n();
  const now = useNow();
  const { detail } = alert;
  if (alert.kind === 'watchlist-hit' && detail.plate !== undefined) {
    const read = detail.matched ?? detail.plate;
    return (
      <>
        <span className="alert-title">
          <Plate text={read} layout={layoutOf(read)} size="small" />
          <strong>{detail.watchlist}</strong>
        </span>
        {detail.reason !== undefined && detail.reason !== '' && <span className="alert-reason">{detail.reason}</span>}
        {detail.match === 'equivalent' && <span className="meta">{t('alerts.equivalent', { plate: detail.plate })}</span>}
        {detail.match === 'alternative' && (
          <span className="meta">{t('alerts.alternative', { plate: detail.plate, percent: percent(detail.confidence ?? 0, locale) })}</span>
        )}
        {detail.last_seen_at !== undefined && (
          <span className="meta">{t('alerts.repeats', { count: detail.repeats ?? 1, time: brief(detail.last_seen_at, now, locale) })}</span>
        )}
      </>
    );
  }
  if (alert.kind === 'camera-lost' || alert.kind === 'camera-back') {
    return (
      <>
        <strong>{t(alert.kind === 'camera-lost' ? 'alerts.camera_lost' : 'alerts.camera_back', { camera })}</strong>
        <Reason text={detail.reason} />
      </>
    );
  }
  if (alert.kind === 'coverage-low' && detail.ratio !== undefined && detail.hour !== undefined) {
    return (
      <>
        <strong>{t('alerts.coverage_low', { camera, percent: percent(detail.ratio, locale), time: brief(detail.hour, now, locale) })}</strong>
        <Reason text={detail.reason} />
      </>
    );
  }
  if (alert.kind === 'storage-failing' || alert.kind === 'storage-back') {
    return (
      <>
        <strong>{t(alert.kind === 'storage-failing' ? 'alerts.storage_failing' : 'alerts.storage_back')}</strong>
        <Reason text={detail.reason} />
      </>
    );
  }
  return <strong lang="en">{alert.title}</strong>;
}

/** What the box says about it, in its own words. */
function Reason({ text }: { text: string | undefined }) {
  if (text === undefined || text === '') return null;
  return (
    <span className="meta" lang="en">
      {text}
    </span>
  );
}
