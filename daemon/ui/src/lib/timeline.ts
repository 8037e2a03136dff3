// Pure. The timeline of recordings: which time is shown, where things lie on it, what plays next.

/** A stretch of time, microseconds UTC. */
export interface Span {
  start: number;
  end: number;
}

export type Window = Span;

export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const SHORTEST = 10 * SECOND;
export const LONGEST = 30 * DAY;
/** A little of the future stays visible, so that the newest recording does not stick to the edge. */
const AHEAD = 0.1;

/** Position of a time in the window, 0 to 1 (outside of it: below 0 or above 1). */
export function position(time: number, window: Window): number {
  return (time - window.start) / (window.end - window.start);
}

export function timeAt(fraction: number, window: Window): number {
  return Math.round(window.start + fraction * (window.end - window.start));
}

export function length(window: Window): number {
  return window.end - window.start;
}

/** The same length, moved so that it does not lie in the future. */
export function limited(window: Window, now: number): Window {
  const size = length(window);
  const end = Math.min(window.end, now + size * AHEAD);
  return { start: Math.round(end - size), end: Math.round(end) };
}

/** A window of `size` around `center`. */
export function around(center: number, size: number, now: number): Window {
  const clamped = Math.min(LONGEST, Math.max(SHORTEST, size));
  return limited({ start: center - clamped / 2, end: center + clamped / 2 }, now);
}

/** `factor` times as much time, with what is at `anchor` staying where it is. */
export function zoomed(window: Window, factor: number, anchor: number, now: number): Window {
  const size = Math.min(LONGEST, Math.max(SHORTEST, length(window) * factor));
  const start = anchor - position(anchor, window) * size;
  return limited({ start, end: start + size }, now);
}

/** Moved by a share of its length; later is positive. */
export function panned(window: Window, share: number, now: number): Window {
  const by = length(window) * share;
  return limited({ start: window.start + by, end: window.end + by }, now);
}

const STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE))
  .concat([1, 2, 3, 4, 6, 12].map((n) => n * HOUR))
  .concat([1, 2, 5, 10].map((n) => n * DAY));

/** The shortest round step of which at most `count` fit into the window. */
export function stepFor(window: Window, count: number): number {
  return STEPS.find((step) => length(window) / step <= count) ?? 10 * DAY;
}

/** Times to label, counted from local midnight so that they are round; days count by the calendar. */
export function ticks(window: Window, count: number): number[] {
  const step = stepFor(window, count);
  const midnight = new Date(window.start / 1000);
  midnight.setHours(0, 0, 0, 0);
  const out: number[] = [];
  if (step >= DAY) {
    for (let day = 0; midnight.getTime() * 1000 <= window.end && day < 100; day += 1) {
      const time = midnight.getTime() * 1000;
      if (time >= window.start && Math.floor((time - midnight.getTimezoneOffset() * MINUTE) / DAY) % (step / DAY) === 0) out.push(time);
      midnight.setDate(midnight.getDate() + 1);
    }
    return out;
  }
  const zero = midnight.getTime() * 1000;
  for (let t = zero + Math.ceil((window.start - zero) / step) * step; t <= window.end; t += step) out.push(t);
  return out;
}

/** The times of the pictures along the timeline: a grid that stays when the window moves. */
export function slots(window: Window, count: number): { step: number; times: number[] } {
  const step = stepFor(window, count);
  const times: number[] = [];
  for (let t = Math.floor(window.start / step) * step; t < window.end; t += step) times.push(t);
  return { step, times };
}

/** The recorded time nearest to the middle of a slot, if any of the slot is recorded. */
export function inSlot(start: number, step: number, spans: Span[]): number | null {
  const middle = start + step / 2;
  let best: number | null = null;
  for (const span of spans) {
    if (span.end <= start || span.start >= start + step) continue;
    const near = Math.min(Math.max(middle, span.start), span.end);
    if (best === null || Math.abs(near - middle) < Math.abs(best - middle)) best = near;
  }
  return best === null ? null : Math.round(best);
}

/** What is recorded at `time` or follows it; null after the last. */
export function recordedFrom(time: number, spans: Span[]): number | null {
  const span = spans.find((s) => s.end > time);
  return span ? Math.max(time, span.start) : null;
}

/** The nearest mark to a time within `reach`; of equally near ones the first. */
export function markNear<T extends { at: number }>(marks: T[], time: number, reach: number): T | null {
  let best: T | null = null;
  for (const mark of marks) {
    const distance = Math.abs(mark.at - time);
    if (distance <= reach && (best === null || distance < Math.abs(best.at - time))) best = mark;
  }
  return best;
}

/** A part of a playback file and the recorded time it shows; microseconds. */
export interface Stretch {
  media: number;
  start: number;
  duration: number;
  /** Mean time of a frame. */
  frame: number;
}

/** The recorded time that a player shows at `media`; pauses in the recording are not in the file. */
export function recordedAt(media: number, stretches: Stretch[]): number | null {
  const stretch = stretches.findLast((s) => s.media <= media) ?? stretches[0];
  return stretch ? stretch.start + Math.min(Math.max(0, media - stretch.media), stretch.duration) : null;
}

/** Where in the file a recorded time is shown; in a pause, what follows it. */
export function mediaAt(time: number, stretches: Stretch[]): number | null {
  const stretch = stretches.find((s) => s.start + s.duration > time);
  return stretch ? stretch.media + Math.max(0, time - stretch.start) : null;
}

/** The stretch that shows a time, if it is not in a pause. */
export function stretchAt(time: number, stretches: Stretch[]): Stretch | null {
  return stretches.find((s) => s.start <= time && time < s.start + s.duration) ?? null;
}
