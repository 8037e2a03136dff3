import { describe, expect, it } from 'vitest';

import { mediaAt, position, recordedAt, ticks, timeAt, toPlay, visible, zoom } from './timeline';

const day = { start: 0, end: 86_400_000_000 };
const spans = [
  { start: 1_000, end: 5_000 },
  { start: 8_000, end: 20_000 },
];

describe('the day bar', () => {
  it('maps times to places and back', () => {
    expect(position(43_200_000_000, day)).toBe(0.5);
    expect(timeAt(0.25, day)).toBe(21_600_000_000);
    expect(timeAt(-1, day)).toBe(0);
    expect(timeAt(2, day)).toBe(day.end);
  });

  it('zooms inside the day only', () => {
    expect(zoom(0, 3_600_000_000, day)).toEqual({ start: 0, end: 3_600_000_000 });
    expect(zoom(day.end, 3_600_000_000, day)).toEqual({ start: day.end - 3_600_000_000, end: day.end });
    expect(zoom(5, day.end * 2, day)).toEqual(day);
  });

  it('cuts spans to the window', () => {
    expect(visible(spans, { start: 2_000, end: 8_000 })).toEqual([{ start: 2_000, end: 5_000 }]);
  });

  it('plays the span under the finger, else the next one, never too long at once', () => {
    expect(toPlay(2_000, spans, 100_000)).toEqual({ start: 2_000, end: 5_000 });
    expect(toPlay(6_000, spans, 100_000)).toEqual({ start: 8_000, end: 20_000 });
    expect(toPlay(0, spans, 1_000)).toEqual({ start: 1_000, end: 2_000 });
    expect(toPlay(20_000, spans, 100_000)).toBeNull();
  });

  it('labels round times', () => {
    const midnight = new Date(2026, 10, 22).getTime() * 1000;
    const found = ticks({ start: midnight + 7 * 60_000_000, end: midnight + 67 * 60_000_000 }, 8);
    expect(found.map((t) => new Date(t / 1000).getMinutes())).toEqual([10, 20, 30, 40, 50, 0]);
  });

  it('knows which time a player shows, over pauses', () => {
    const stretches = [
      { media: 0, start: 100, duration: 30 },
      { media: 30, start: 200, duration: 20 },
    ];
    expect([0, 10, 29, 30, 45, 99].map((media) => recordedAt(media, stretches))).toEqual([100, 110, 129, 200, 215, 220]);
    expect([90, 100, 110, 150, 205, 300].map((time) => mediaAt(time, stretches))).toEqual([0, 0, 10, 30, 35, null]);
    expect(recordedAt(5, [])).toBeNull();
  });
});
