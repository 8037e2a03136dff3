import { describe, expect, it } from 'vitest';

import type { Point, Zone } from '../api/types';
import { begin, edit, redo, undo } from './history';
import { centroid, cleaned, crosses, faults, freeName, pointAt, rectangle, same, shifted, withPoint, withPointAfter, withoutPoint, POINTS_MAX } from './zones';

const square: Point[] = [
  [0.2, 0.2],
  [0.6, 0.2],
  [0.6, 0.6],
  [0.2, 0.6],
];
const zone = (more: Partial<Zone> = {}): Zone => ({ name: 'Road', kind: 'watch', points: square, ...more });

describe('points', () => {
  it('stay in the picture', () => {
    expect(pointAt(-3, 1.5)).toEqual([0, 1]);
    expect(pointAt(1 / 3, 2 / 3)).toEqual([0.3333, 0.6667]);
    expect(withPoint(zone(), 1, [2, 0.1]).points[1]).toEqual([1, 0.1]);
  });

  it('are inserted behind their edge, the last edge leading back to the first point', () => {
    expect(withPointAfter(zone(), 0, [0.4, 0.1]).points[1]).toEqual([0.4, 0.1]);
    expect(withPointAfter(zone(), 3, [0.1, 0.4]).points.at(-1)).toEqual([0.1, 0.4]);
  });

  it('are never too many or too few', () => {
    let full = zone();
    for (let n = 0; n < 100; n += 1) full = withPointAfter(full, 0, [0.5, 0.5]);
    expect(full.points.length).toBe(POINTS_MAX);
    let few = zone();
    for (let n = 0; n < 10; n += 1) few = withoutPoint(few, 0);
    expect(few.points).toEqual(square.slice(1));
  });
});

describe('zones', () => {
  it('move as a whole and keep their shape at the border', () => {
    expect(shifted(zone(), 0.1, -0.1).points).toEqual([
      [0.3, 0.1],
      [0.7, 0.1],
      [0.7, 0.5],
      [0.3, 0.5],
    ]);
    expect(shifted(zone(), 5, -5).points).toEqual([
      [0.8, 0],
      [1, 0],
      [1, 0.4],
      [0.8, 0.4],
    ].map(([x, y]) => [x === 0.8 ? 0.6 : x, y]));
  });

  it('are named in their middle, even where they are a line', () => {
    const [x, y] = centroid(square);
    expect(x).toBeCloseTo(0.4);
    expect(y).toBeCloseTo(0.4);
    expect(centroid([...square].reverse())[0]).toBeCloseTo(0.4);
    const [lineX] = centroid([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]]);
    expect(lineX).toBeCloseTo(0.2);
  });

  it('know when their edges cross', () => {
    expect(crosses(square)).toBe(false);
    expect(crosses([[0.2, 0.2], [0.6, 0.6], [0.6, 0.2], [0.2, 0.6]])).toBe(true);
    // Concave is fine.
    expect(crosses([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.3], [0.1, 0.9]])).toBe(false);
  });

  it('say what is wrong with them', () => {
    const tiny = zone({ name: 'Dot', points: [[0.5, 0.5], [0.501, 0.5], [0.5, 0.501]] });
    const bow = zone({ name: 'Bow', points: [[0.2, 0.2], [0.6, 0.6], [0.6, 0.2], [0.2, 0.6]] });
    expect([...faults([zone(), zone({ name: '' }), tiny, bow])]).toEqual([
      [2, 'small'],
      [3, 'crosses'],
    ]);
    expect(faults([zone({ points: rectangle() })]).size).toBe(0);
  });

  it('get a free name', () => {
    expect(freeName('Zona', [])).toBe('Zona 1');
    expect(freeName('Zona', [zone({ name: 'Zona 2' })])).toBe('Zona 3');
  });

  it('are equal when the box would store the same', () => {
    const a = { zones: [zone({ name: 'Road ' })], min_plate_width: 0.03333333 };
    expect(same(a, { zones: [zone()], min_plate_width: 0.03333 })).toBe(true);
    expect(cleaned(a)).toEqual({ zones: [zone()], min_plate_width: 0.0333 });
    expect(same(a, { zones: [], min_plate_width: 0.0333 })).toBe(false);
  });
});

describe('undo', () => {
  it('takes a drag back in one step', () => {
    let history = begin(0);
    history = edit(history, 1);
    for (const n of [2, 3, 4]) history = edit(history, n, 'drag');
    history = edit(history, 5, 'other drag');
    expect(history.past).toEqual([0, 1, 4]);
    history = undo(undo(history));
    expect(history.now).toBe(1);
    history = redo(history);
    expect(history.now).toBe(4);
    history = edit(history, 9, 'drag');
    expect([history.now, history.future, history.past]).toEqual([9, [], [0, 1, 4]]);
  });

  it('ends at both ends', () => {
    expect(undo(begin(1)).now).toBe(1);
    expect(redo(begin(1)).now).toBe(1);
  });
});
