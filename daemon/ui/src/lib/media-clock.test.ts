import { describe, expect, it } from 'vitest';

import { better, delaySeconds, fromRtp } from './media-clock';

const reading = { offsetMs: 500, errorMs: 5, ticks: 9_000_000, atMs: 1_000_000 };

describe('delaySeconds', () => {
  it('counts from the taking of the picture, on the clock of the box', () => {
    expect(delaySeconds(reading, 9_000_000, 1_000_000)).toBeCloseTo(0.5);
    expect(delaySeconds(reading, 9_090_000, 1_001_000)).toBeCloseTo(0.5);
    expect(delaySeconds(reading, 9_900_000, 1_000_000)).toBe(0);
  });
});

describe('better', () => {
  it('does not let a slow answer spoil the offset', () => {
    expect(better(null, reading)).toBe(reading);
    expect(better(reading, { ...reading, errorMs: 10, offsetMs: 501 }).offsetMs).toBe(501);
    const slow = better(reading, { ...reading, errorMs: 300, offsetMs: 700, ticks: 1 });
    expect(slow).toEqual({ ...reading, ticks: 1 });
  });
});

describe('fromRtp', () => {
  it('finds the time around which the 32 bits wrapped', () => {
    const near = 3 * 2 ** 32 + 100;
    expect(fromRtp(150, near)).toBe(near + 50);
    expect(fromRtp(2 ** 32 - 50, near)).toBe(near - 150);
    expect(fromRtp(90, 2 ** 32 - 10)).toBe(2 ** 32 + 90);
  });
});
