// The bar of a day: recorded stretches, plates, and the playing time; by pointer and by keyboard.
import { useRef, type KeyboardEvent, type PointerEvent } from 'react';

import { useI18n } from '../i18n';
import { clock, hourAndMinute } from '../lib/time';
import { position, ticks, timeAt, visible, type Span, type Window } from '../lib/timeline';

const SECOND = 1_000_000;

export function Timeline({
  window,
  spans,
  marks,
  value,
  onPick,
}: {
  window: Window;
  spans: Span[];
  marks: number[];
  value: number | null;
  onPick: (time: number) => void;
}) {
  const { t, locale } = useI18n();
  const bar = useRef<HTMLDivElement>(null);
  const pick = (event: PointerEvent<HTMLDivElement>): void => {
    const box = bar.current?.getBoundingClientRect();
    if (box) onPick(timeAt((event.clientX - box.left) / box.width, window));
  };
  const keys = (event: KeyboardEvent<HTMLDivElement>): void => {
    const steps: Record<string, number> = {
      ArrowLeft: -10 * SECOND,
      ArrowRight: 10 * SECOND,
      PageDown: -600 * SECOND,
      PageUp: 600 * SECOND,
    };
    const at = value ?? spans[0]?.start ?? window.start;
    const step = steps[event.key];
    if (step !== undefined) onPick(at + step);
    else if (event.key === 'Home' && spans[0]) onPick(spans[0].start);
    else if (event.key === 'End') onPick(Math.max(...spans.map((span) => span.end)) - 30 * SECOND);
    else return;
    event.preventDefault();
  };
  const percent = (time: number): string => `${position(time, window) * 100}%`;
  // A label at the very edge would be cut off.
  const inside = (time: number): boolean => position(time, window) > 0.03 && position(time, window) < 0.97;
  return (
    <div className="timeline">
      <div
        ref={bar}
        className="bar"
        role="slider"
        tabIndex={0}
        aria-label={t('recordings.bar')}
        aria-valuemin={Math.round(window.start / SECOND)}
        aria-valuemax={Math.round(window.end / SECOND)}
        aria-valuenow={Math.round((value ?? window.start) / SECOND)}
        aria-valuetext={value === null ? t('recordings.pick') : clock(value, locale)}
        onPointerDown={pick}
        onKeyDown={keys}
      >
        {visible(spans, window).map((span) => (
          <span
            key={span.start}
            className="span"
            data-start={span.start}
            style={{ left: percent(span.start), width: `max(2px, ${(position(span.end, window) - position(span.start, window)) * 100}%)` }}
          />
        ))}
        {marks
          .filter((mark) => mark >= window.start && mark < window.end)
          .map((mark) => (
            <span key={mark} className="mark" style={{ left: percent(mark) }} />
          ))}
        {value !== null && value >= window.start && value <= window.end && <span className="cursor" style={{ left: percent(value) }} />}
      </div>
      <div className="ticks" aria-hidden="true">
        {ticks(window, 8).filter(inside).map((tick) => (
          <span key={tick} style={{ left: percent(tick) }}>
            {hourAndMinute(tick, locale)}
          </span>
        ))}
      </div>
    </div>
  );
}
