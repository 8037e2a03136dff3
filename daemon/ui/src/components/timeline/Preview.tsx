// What lies under the pointer: the time, a picture of it, a passage, a gap and why.
import { useState } from 'react';

import type { CameraTimeline, TimelineGap, TimelineMark } from '../../api/types';
import { useI18n } from '../../i18n';
import { dayAndClock, roughly } from '../../lib/time';
import { SECOND } from '../../lib/timeline';
import type { LackingHour } from '../../lib/use-coverage';
import { useDebounced } from '../../lib/use-data';
import { thumbnail } from './Strip';

const WIDE = 176;
/** The pointer rests before a picture is asked for. */
const REST_MS = 90;

export function Preview({ x, width, time, camera, mark, gap, hour, percent }: { x: number; width: number; time: number; camera: CameraTimeline | undefined; mark: TimelineMark | null; gap: TimelineGap | undefined; hour: LackingHour | undefined; percent: (share: number) => string }) {
  const { t, locale } = useI18n();
  const at = Math.round((mark?.at ?? time) / SECOND) * SECOND;
  const recorded = camera?.spans.some(([start, end]) => start <= at && at <= end) === true && (gap === undefined || mark !== null);
  const source = useDebounced(camera && recorded ? thumbnail(camera.camera, camera.stream, at, 10 * SECOND) : '', REST_MS);
  const [broken, setBroken] = useState('');
  return (
    <div className="preview" style={{ left: Math.min(Math.max(x, WIDE / 2), width - WIDE / 2) }} aria-hidden="true">
      {source !== '' && recorded && broken !== source && <img src={source} alt="" onError={() => setBroken(source)} />}
      <strong>{dayAndClock(at, locale)}</strong>
      {mark && <span>{mark.severity !== undefined ? t('recordings.alerts', { count: mark.count }) : t('recordings.plates', { count: mark.count })}</span>}
      {gap && !mark && (
        <span className="bad">
          {t('recordings.missing', { time: roughly(gap.missing / SECOND) })}
          <span lang="en">: {gap.reason}</span>
        </span>
      )}
      {hour && !mark && <span>{t('live.hour', { share: percent(hour.share) })}</span>}
      {!gap && !recorded && camera && <span>{t('recordings.gap')}</span>}
    </div>
  );
}
