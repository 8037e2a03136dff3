import { describe, expect, it } from 'vitest';

import { bits, bytes, clock, dayBounds, dayValue, duration, percent, roughly, DAY_US } from './time';

describe('days', () => {
  it('run from midnight to midnight and come back as they were typed', () => {
    const bounds = dayBounds('2026-11-22');
    expect(bounds).not.toBeNull();
    if (!bounds) return;
    expect(bounds.end - bounds.start).toBe(DAY_US);
    expect(dayValue(bounds.start)).toBe('2026-11-22');
    expect(dayValue(bounds.end - 1)).toBe('2026-11-22');
    expect(dayValue(bounds.end)).toBe('2026-11-23');
  });

  it('half-typed and impossible dates are none', () => {
    for (const bad of ['', '2026-1-1', '2026-02-30', '2026-13-01', 'today']) expect(dayBounds(bad)).toBeNull();
  });
});

describe('clocks', () => {
  it('have 24 hours in every language', () => {
    const evening = new Date(2026, 10, 22, 19, 5, 9).getTime() * 1000;
    expect(clock(evening, 'en-US')).toBe('19:05:09');
    expect(clock(evening, 'pt-BR')).toBe('19:05:09');
  });
});

describe('figures', () => {
  it('durations', () => {
    expect([0, 59.9, 61, 3723, -5].map(duration)).toEqual(['0:00', '0:59', '1:01', '1:02:03', '0:00']);
    expect([5, 90, 3600, 3660, 86_400, 97_200].map(roughly)).toEqual(['5 s', '1 min', '1 h', '1 h 1 min', '1 d', '1 d 3 h']);
  });

  it('sizes in the way of the language', () => {
    expect(bytes(0, 'en')).toBe('0 B');
    expect(bytes(1536 * 1024 * 1024, 'en')).toBe('1.5 GiB');
    expect(bytes(1536 * 1024 * 1024, 'pt-BR')).toBe('1,5 GiB');
    expect(bits(4_200_000, 'pt-BR')).toBe('4,2 Mb/s');
    expect(bits(64_000, 'en')).toBe('64 kb/s');
  });

  it('small chances are not shown as none', () => {
    expect([0, 0.0004, 0.021, 1].map((p) => percent(p, 'en'))).toEqual(['0%', '< 0.1%', '2.1%', '100%']);
  });
});
