import { describe, expect, it } from 'vitest';

import { Arrivals, Margin, decide, isStalled } from './live-buffer';

const head = (current: number, buffered: [number, number][], fragment = 0.5) => ({
  current,
  buffered: buffered.map(([start, end]) => ({ start, end })),
  fragment,
  margin: 0.3,
});

describe('decide', () => {
  it('does nothing while nothing is buffered', () => {
    expect(decide(head(0, []))).toEqual({ rate: 1 });
  });

  it('starts near the end of what came, not at zero: the timeline of a camera is old', () => {
    const { seekTo } = decide(head(0, [[5000, 5002]]));
    expect(seekTo).toBeCloseTo(5001.2);
  });

  it('leaves a player alone that is where it should be', () => {
    expect(decide(head(10, [[5, 10.7]]))).toEqual({ rate: 1 });
  });

  it('hurries a little when it fell behind and jumps when far behind', () => {
    expect(decide(head(10, [[5, 11.7]])).rate).toBeGreaterThan(1);
    expect(decide(head(10, [[5, 11.7]])).seekTo).toBeUndefined();
    expect(decide(head(10, [[5, 20]])).seekTo).toBeCloseTo(19.2);
  });

  it('steps over a gap', () => {
    expect(decide(head(10, [[5, 10], [12, 13], [14, 15]])).seekTo).toBe(12);
    expect(decide(head(10.4, [[5, 10], [14, 15]])).seekTo).toBeCloseTo(14.2);
  });

  it('waits at the very end for the next fragment', () => {
    expect(decide(head(10, [[5, 10]])).seekTo).toBeUndefined();
  });

  it('returns to the end after the timeline jumped back', () => {
    expect(decide(head(500, [[3, 6]])).seekTo).toBeCloseTo(5.2);
  });

  it('never seeks before the start of a short buffer', () => {
    expect(decide(head(0, [[8, 8.2]], 4)).seekTo).toBe(8);
  });

  it('drops what is long past, in steps', () => {
    expect(decide(head(100, [[75, 100.6]])).remove).toBeUndefined();
    expect(decide(head(100, [[60, 100.6]])).remove).toEqual({ start: 0, end: 80 });
  });
});

describe('isStalled', () => {
  it('is patient for as long as a fragment takes', () => {
    expect(isStalled(head(10, [[5, 10]]), 2000)).toBe(false);
    expect(isStalled(head(10, [[5, 10]]), 6000)).toBe(true);
    expect(isStalled(head(10, [[5, 10]], 4), 6000)).toBe(false);
    expect(isStalled(head(9, [[5, 10]]), 60_000)).toBe(false);
  });
});

describe('Arrivals', () => {
  it('forgets long waits after a while', () => {
    const arrivals = new Arrivals();
    expect(arrivals.longest()).toBe(0.1);
    arrivals.add(2);
    arrivals.add(0.2);
    expect(arrivals.longest()).toBe(2);
    for (let n = 0; n < 16; n += 1) arrivals.add(0.2);
    expect(arrivals.longest()).toBe(0.2);
    arrivals.add(60);
    expect(arrivals.longest()).toBe(4);
  });
});

describe('Margin', () => {
  it('grows with each pause and comes back when there is none', () => {
    const margin = new Margin();
    const least = margin.at(0);
    margin.starved(100);
    margin.starved(200);
    const one = margin.at(300);
    expect(one).toBeGreaterThan(least);
    margin.starved(5000);
    expect(margin.at(5000)).toBeGreaterThan(one);
    expect(margin.at(26_000)).toBeCloseTo(one);
    expect(margin.at(47_000)).toBeCloseTo(least);
    for (let n = 0; n < 100; n += 1) margin.starved(50_000 + n * 2000);
    expect(margin.at(249_000)).toBeLessThanOrEqual(1.6);
  });
});
