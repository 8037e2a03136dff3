import { describe, expect, it } from 'vitest';

import { DAY, HOUR, LONGEST, MINUTE, SECOND, SHORTEST, around, inSlot, length, limited, markNear, mediaAt, panned, position, recordedAt, recordedFrom, slots, stretchAt, ticks, timeAt, zoomed } from './timeline';

const day = { start: 0, end: DAY };
const now = 100 * DAY;

describe('the window', () => {
  it('maps times to places and back', () => {
    expect(position(DAY / 2, day)).toBe(0.5);
    expect(timeAt(0.25, day)).toBe(DAY / 4);
  });

  it('zooms around the pointer, between ten seconds and thirty days', () => {
    const anchor = DAY / 4;
    const closer = zoomed(day, 0.5, anchor, now);
    expect(length(closer)).toBe(DAY / 2);
    expect(position(anchor, closer)).toBeCloseTo(0.25);
    expect(length(zoomed(day, 1e-9, anchor, now))).toBe(SHORTEST);
    expect(length(zoomed(day, 1e9, anchor, now))).toBe(LONGEST);
    expect(length(around(DAY, 1, now))).toBe(SHORTEST);
  });

  it('does not move into the future, but for a little', () => {
    expect(limited({ start: now, end: now + DAY }, now)).toEqual({ start: now - 0.9 * DAY, end: now + 0.1 * DAY });
    expect(panned(day, 0.5, now)).toEqual({ start: DAY / 2, end: 1.5 * DAY });
  });

  it('labels round times, days by the calendar', () => {
    const midnight = new Date(2026, 10, 22).getTime() * 1000;
    const found = ticks({ start: midnight + 7 * MINUTE, end: midnight + 67 * MINUTE }, 8);
    expect(found.map((t) => new Date(t / 1000).getMinutes())).toEqual([10, 20, 30, 40, 50, 0]);
    const month = ticks({ start: midnight, end: midnight + 30 * DAY }, 8);
    expect(month.length).toBeGreaterThan(3);
    expect(month.every((t) => new Date(t / 1000).getHours() === 0)).toBe(true);
    expect(ticks({ start: midnight, end: midnight + 10 * SECOND }, 10)).toHaveLength(11);
  });
});

describe('what lies on it', () => {
  const spans = [
    { start: 100, end: 200 },
    { start: 300, end: 400 },
  ];

  it('keeps the grid of pictures when the window moves', () => {
    const first = slots({ start: 0, end: HOUR }, 12);
    const second = slots({ start: 7 * MINUTE, end: HOUR + 7 * MINUTE }, 12);
    expect(first.step).toBe(5 * MINUTE);
    expect(second.times.every((t) => t % first.step === 0)).toBe(true);
  });

  it('takes a picture only from what was recorded', () => {
    expect(inSlot(0, 1000, spans)).toBe(400);
    expect(inSlot(200, 100, spans)).toBeNull();
    expect(inSlot(100, 100, spans)).toBe(150);
  });

  it('finds what is recorded next and the mark under the finger', () => {
    expect([50, 150, 250, 400].map((t) => recordedFrom(t, spans))).toEqual([100, 150, 300, null]);
    const marks = [{ at: 10 }, { at: 20 }];
    expect(markNear(marks, 17, 5)).toEqual({ at: 20 });
    expect(markNear(marks, 40, 5)).toBeNull();
  });
});

describe('a player', () => {
  const stretches = [
    { media: 0, start: 100, duration: 30, frame: 1 },
    { media: 30, start: 200, duration: 20, frame: 1 },
  ];

  it('knows which time it shows, over pauses', () => {
    expect([0, 10, 29, 30, 45, 99].map((media) => recordedAt(media, stretches))).toEqual([100, 110, 129, 200, 215, 220]);
    expect([90, 100, 110, 150, 205, 300].map((time) => mediaAt(time, stretches))).toEqual([0, 0, 10, 30, 35, null]);
    expect(recordedAt(5, [])).toBeNull();
    expect(stretchAt(150, stretches)).toBeNull();
    expect(stretchAt(205, stretches)).toBe(stretches[1]);
  });
});
