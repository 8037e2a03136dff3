// The timeline: pictures along it, coverage, gaps, passages and alerts of each camera, the playing time; by pointer,
// fingers, wheel and keyboard.
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from 'react';

import type { CameraTimeline, TimelineData, TimelineGap, TimelineMark } from '../../api/types';
import { useI18n } from '../../i18n';
import { dayAndClock } from '../../lib/time';
import type { LackingHour } from '../../lib/use-coverage';
import { HOUR, SECOND, length, limited, markNear, panned, position, timeAt, zoomed, type Span, type Window } from '../../lib/timeline';
import { AXIS, MARKS, draw, tickFormat } from './draw';
import { useGestures } from './gestures';
import { Preview } from './Preview';
import { Strip } from './Strip';

const ROW = 58;
const ROW_OF_MANY = 46;
/** A mark is hit from this far, points. */
const REACH = 7;

/** Never 100 %, however little is missing. */
function belowWhole(share: number, locale: string): string {
  return Math.min(0.999, share).toLocaleString(locale, { style: 'percent', maximumFractionDigits: share > 0.99 ? 1 : 0 });
}

export interface TimelineProps {
  cameras: { id: string; name: string }[];
  data: TimelineData | undefined;
  window: Window;
  value: number | null;
  selection: Span | null;
  locks: (Span & { camera: string })[];
  /** Hours in which something is missing. */
  lacking: LackingHour[];
  onWindow: (window: Window) => void;
  onPick: (time: number) => void;
  onScrub: (time: number, done: boolean) => void;
  onSelect: (span: Span) => void;
  onPassage: (id: string) => void;
}

export function TimelineView(props: TimelineProps) {
  const { cameras, data, window, value, selection, locks, lacking, onWindow, onPick } = props;
  const { t, locale } = useI18n();
  const area = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState<{ x: number; y: number } | null>(null);
  const row = cameras.length > 1 ? ROW_OF_MANY : ROW;
  const rows = cameras.map(({ id }) => data?.cameras.find((camera) => camera.camera === id));
  const percent = (share: number): string => belowWhole(share, locale);
  useLayoutEffect(() => {
    const element = area.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!canvas.current || width === 0) return undefined;
    const paint = (): void => {
      const label = (time: number, step: number): string => new Date(time / 1000).toLocaleString(locale, tickFormat(time, step));
      if (canvas.current) draw(canvas.current, { width, row, window, cameras: rows, selection, locks, lacking, percent, now: Date.now() * 1000, label });
    };
    const frame = requestAnimationFrame(paint);
    return () => cancelAnimationFrame(frame);
  });
  const rowAt = (y: number): CameraTimeline | undefined => rows[Math.floor((y - AXIS) / row)];
  const hit = (x: number, y: number): TimelineMark | null => {
    const camera = rowAt(y);
    if (!camera || (y - AXIS) % row > MARKS + 2) return null;
    const reach = (REACH / width) * length(window);
    const time = timeAt(x / width, window);
    return markNear(camera.alerts, time, reach) ?? markNear(camera.detections, time, reach);
  };
  const gapAt = (x: number, y: number): TimelineGap | undefined => {
    const reach = (2 / width) * length(window);
    const time = timeAt(x / width, window);
    return rowAt(y)?.gaps.find((gap) => gap.start - reach <= time && time <= gap.end + reach);
  };
  const gestures = useGestures(area, {
    window,
    cursor: value,
    onWindow,
    onScrub: props.onScrub,
    onSelect: props.onSelect,
    onHover: (x, y) => setHover(x === null ? null : { x, y }),
    onClick: (x, y) => {
      const mark = hit(x, y);
      if (mark?.count === 1 && mark.detection !== undefined) props.onPassage(mark.detection);
      else if (mark && mark.count > 1) onWindow(zoomed(window, 0.1, mark.at, Date.now() * 1000));
      else onPick(timeAt(x / width, window));
    },
  });
  const keys = (event: KeyboardEvent): void => {
    const now = Date.now() * 1000;
    const at = value ?? (window.start + window.end) / 2;
    const nudge = Math.max(SECOND, length(window) / 60);
    const actions: Record<string, () => void> = {
      ArrowLeft: () => onPick(at - nudge),
      ArrowRight: () => onPick(at + nudge),
      PageUp: () => onWindow(panned(window, -0.5, now)),
      PageDown: () => onWindow(panned(window, 0.5, now)),
      Home: () => onPick(window.start),
      End: () => onPick(Math.min(window.end, now)),
      '+': () => onWindow(zoomed(window, 0.5, at, now)),
      '=': () => onWindow(zoomed(window, 0.5, at, now)),
      '-': () => onWindow(zoomed(window, 2, at, now)),
      '0': () => onWindow(limited({ start: now - 24 * 3600 * SECOND, end: now }, now)),
    };
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
    if (!action) return;
    action();
    event.preventDefault();
    event.stopPropagation();
  };
  const cursor = value === null ? null : position(value, window);
  const loaded = data !== undefined;
  return (
    <div className="timeline">
      {width > 0 && <Strip camera={cameras[0]?.id} row={rows[0]} window={window} width={width} onPick={onPick} />}
      <div
        ref={area}
        className="timeline-area"
        style={{ height: AXIS + row * cameras.length }}
        role="slider"
        tabIndex={0}
        aria-label={t('recordings.bar')}
        aria-valuemin={Math.round(window.start / SECOND)}
        aria-valuemax={Math.round(window.end / SECOND)}
        aria-valuenow={Math.round((value ?? window.start) / SECOND)}
        aria-valuetext={value === null ? t('recordings.pick') : dayAndClock(value, locale)}
        data-loaded={loaded}
        data-lacking={lacking.length}
        data-start={Math.round(window.start)}
        data-end={Math.round(window.end)}
        data-passages={rows.reduce((sum, camera) => sum + (camera?.detections.length ?? 0), 0)}
        onKeyDown={keys}
        {...gestures}
      >
        <canvas ref={canvas} style={{ width: '100%', height: '100%' }} />
        {cameras.length > 1 &&
          cameras.map((camera, index) => (
            <span key={camera.id} className="row-name" style={{ top: AXIS + index * row + MARKS + 3 }}>
              {camera.name}
            </span>
          ))}
        {cursor !== null && cursor >= 0 && cursor <= 1 && <span className="cursor" style={{ left: `${cursor * 100}%` }} />}
        {hover && width > 0 && (
          <Preview
            x={hover.x}
            width={width}
            time={timeAt(hover.x / width, window)}
            camera={rowAt(hover.y) ?? rows[0]}
            mark={hit(hover.x, hover.y)}
            gap={gapAt(hover.x, hover.y)}
            percent={percent}
            hour={lacking.find(({ camera, start }) => camera === (rowAt(hover.y) ?? rows[0])?.camera && start <= timeAt(hover.x / width, window) && timeAt(hover.x / width, window) < start + HOUR)}
          />
        )}
      </div>
    </div>
  );
}
