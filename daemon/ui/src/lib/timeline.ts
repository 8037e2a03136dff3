// Pure. The day bar of recordings: which part of the day is shown, where things lie on it, what plays next.

/** A stretch of time, microseconds UTC. */
export interface Span {
  start: number;
  end: number;
}

export interface Window {
  start: number;
  end: number;
}

/** Position of a time in the window, 0 to 1 (outside of it: below 0 or above 1). */
export function position(time: number, window: Window): number {
  return (time - window.start) / (window.end - window.start);
}

export function timeAt(fraction: number, window: Window): number {
  const clamped = Math.min(1, Math.max(0, fraction));
  return Math.round(window.start + clamped * (window.end - window.start));
}

/** A window of `length` around `center` that stays inside the day. */
export function zoom(center: number, length: number, day: Window): Window {
  const size = Math.min(length, day.end - day.start);
  const start = Math.min(Math.max(day.start, center - size / 2), day.end - size);
  return { start, end: start + size };
}

/** Spans cut to the window, ready to be drawn. */
export function visible(spans: Span[], window: Window): Span[] {
  return spans
    .filter((span) => span.end > window.start && span.start < window.end)
    .map((span) => ({ start: Math.max(span.start, window.start), end: Math.min(span.end, window.end) }));
}

/** What to play for a wish: the span around the time, from there on, at most `limit` long; else the next span. */
export function toPlay(time: number, spans: Span[], limit: number): Span | null {
  const span = spans.find((s) => s.end > time);
  if (!span) return null;
  const start = Math.max(time, span.start);
  return { start, end: Math.min(span.end, start + limit) };
}

/** Hours or minutes to label, about `count` of them. */
export function ticks(window: Window, count: number): number[] {
  const minute = 60_000_000;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360].map((m) => m * minute);
  const length = window.end - window.start;
  const step = steps.find((s) => length / s <= count) ?? 360 * minute;
  // Steps count from local midnight so that labels are round.
  const midnight = new Date(window.start / 1000);
  midnight.setHours(0, 0, 0, 0);
  const zero = midnight.getTime() * 1000;
  const out: number[] = [];
  for (let t = zero + Math.ceil((window.start - zero) / step) * step; t <= window.end; t += step) out.push(t);
  return out;
}

/** A part of a playback file and the recorded time it shows; microseconds. */
export interface Stretch {
  media: number;
  start: number;
  duration: number;
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
