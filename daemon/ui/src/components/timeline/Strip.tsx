// Pictures along the timeline of the first camera, on a grid of times that stays when the window moves.
import { memo, useState } from 'react';

import type { CameraTimeline } from '../../api/types';
import { useI18n } from '../../i18n';
import { clock } from '../../lib/time';
import { SECOND, inSlot, position, slots, type Window } from '../../lib/timeline';

/** Points of a picture. */
const WIDE = 112;

export function thumbnail(camera: string, stream: string, at: number, withinUs: number): string {
  const within = Math.min(7 * 86_400, Math.max(1, Math.ceil(withinUs / SECOND)));
  return `/api/streaming/cameras/${encodeURIComponent(camera)}/thumbnail.jpg?at=${at}&within=${within}&stream=${stream}`;
}

export function Strip({ camera, row, window, width, onPick }: { camera: string | undefined; row: CameraTimeline | undefined; window: Window; width: number; onPick: (time: number) => void }) {
  const { step, times } = slots(window, Math.max(2, Math.floor(width / WIDE)));
  const spans = (row?.spans ?? []).map(([start, end]) => ({ start, end }));
  return (
    <div className="strip">
      {camera !== undefined &&
        row !== undefined &&
        times.map((time) => {
          const at = inSlot(time, step, spans);
          const place = { left: `${position(time, window) * 100}%`, width: `${(step / (window.end - window.start)) * 100}%` };
          return at === null ? null : (
            <span key={time} className="strip-slot" style={place}>
              <Picture source={thumbnail(camera, row.stream, at, step)} at={at} onPick={onPick} />
            </span>
          );
        })}
    </div>
  );
}

const Picture = memo(function Picture({ source, at, onPick }: { source: string; at: number; onPick: (time: number) => void }) {
  const { locale } = useI18n();
  const [failed, setFailed] = useState(false);
  if (failed) return null;
  return (
    <button type="button" tabIndex={-1} aria-label={clock(at, locale)} onClick={() => onPick(at)}>
      <img src={source} alt="" decoding="async" draggable={false} onError={() => setFailed(true)} />
    </button>
  );
});
