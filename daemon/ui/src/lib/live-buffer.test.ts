import { describe, expect, it } from 'vitest';

import { FragmentLength, decide, isStalled } from './live-buffer';

const head = (current: number, buffered: [number, number][], fragment = 0.5) => ({
  current,
  buffered: buffered.map(([start, end]) => ({ start, end })),
  fragment,
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

describe('FragmentLength', () => {
  it('forgets the long fragments from before anybody watched', () => {
    const length = new FragmentLength();
    expect(length.add(2)).toBe(2);
    expect(length.add(0.2)).toBe(2);
    for (let n = 0; n < 8; n += 1) length.add(0.2);
    expect(length.add(0.2)).toBe(0.2);
    expect(length.add(60)).toBe(4);
  });
});
