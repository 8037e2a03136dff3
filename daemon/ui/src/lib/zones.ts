// Pure. Zones of a camera's picture while somebody edits them: polygons in shares of the picture, and what is wrong.
import type { Point, Zone } from '../api/types';

export const POINTS_MIN = 3;
export const POINTS_MAX = 32;
export const ZONES_MAX = 16;
/** Share of the picture's area below which a zone is a slip of the finger. */
const AREA_MIN = 0.0005;
/** Width by height of a Brazilian car's plate, 400 x 130 mm. */
export const PLATE_RATIO = 400 / 130;

/** Everything of a camera that the editor changes. */
export interface Drawing {
  zones: Zone[];
  /** Share of the picture's width; 0 is off. */
  min_plate_width: number;
}

const inside = (value: number): number => Math.min(1, Math.max(0, value));

/** A point that is in the picture, as exact as a configuration needs it. */
export function pointAt(x: number, y: number): Point {
  const round = (value: number): number => Math.round(inside(value) * 10_000) / 10_000;
  return [round(x), round(y)];
}

export function withPoint(zone: Zone, index: number, point: Point): Zone {
  return { ...zone, points: zone.points.map((old, i) => (i === index ? pointAt(...point) : old)) };
}

/** A new point between point `index` and the next one. */
export function withPointAfter(zone: Zone, index: number, point: Point): Zone {
  if (zone.points.length >= POINTS_MAX) return zone;
  return { ...zone, points: [...zone.points.slice(0, index + 1), pointAt(...point), ...zone.points.slice(index + 1)] };
}

export function withoutPoint(zone: Zone, index: number): Zone {
  return zone.points.length > POINTS_MIN ? { ...zone, points: zone.points.filter((_, i) => i !== index) } : zone;
}

/** The zone moved as a whole; it stops at the border instead of losing its shape. */
export function shifted(zone: Zone, dx: number, dy: number): Zone {
  const limit = (delta: number, values: number[]): number => Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), delta));
  const [x, y] = [limit(dx, zone.points.map((p) => p[0])), limit(dy, zone.points.map((p) => p[1]))];
  return { ...zone, points: zone.points.map((p) => pointAt(p[0] + x, p[1] + y)) };
}

export function middle(a: Point, b: Point): Point {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

/** Points with their successors; the last one's is the first. */
export function edges(points: Point[]): [Point, Point][] {
  return points.map((point, i) => [point, points[(i + 1) % points.length] ?? point]);
}

function signedArea(points: Point[]): number {
  return edges(points).reduce((sum, [a, b]) => sum + a[0] * b[1] - b[0] * a[1], 0) / 2;
}

/** Where the name is written. */
export function centroid(points: Point[]): Point {
  const area = signedArea(points);
  if (Math.abs(area) < 1e-9) {
    const mean = (axis: 0 | 1): number => points.reduce((sum, p) => sum + p[axis], 0) / Math.max(1, points.length);
    return [mean(0), mean(1)];
  }
  const sum = (axis: 0 | 1): number =>
    edges(points).reduce((all, [a, b]) => all + (a[axis] + b[axis]) * (a[0] * b[1] - b[0] * a[1]), 0);
  return [inside(sum(0) / (6 * area)), inside(sum(1) / (6 * area))];
}

const side = (a: Point, b: Point, p: Point): number => Math.sign((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]));

/** Whether edges that are no neighbors cross: then nobody can say what is inside. */
export function crosses(points: Point[]): boolean {
  const all = edges(points);
  return all.some(([a, b], i) =>
    all.some(([c, d], j) => {
      if (j <= i + 1 || (i === 0 && j === all.length - 1)) return false;
      return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
    }),
  );
}

export type Fault = 'crosses' | 'small';

/** What is wrong with a zone, by its index. */
export function faults(zones: Zone[]): Map<number, Fault> {
  const found = new Map<number, Fault>();
  zones.forEach((zone, i) => {
    if (crosses(zone.points)) found.set(i, 'crosses');
    else if (Math.abs(signedArea(zone.points)) < AREA_MIN) found.set(i, 'small');
  });
  return found;
}

/** `Zone 2`, or the next number that is free. */
export function freeName(base: string, zones: Zone[]): string {
  const taken = new Set(zones.map((zone) => zone.name.trim()));
  let number = zones.length + 1;
  while (taken.has(`${base} ${number}`)) number += 1;
  return `${base} ${number}`;
}

/** The middle of the picture, for those who shape a zone with keys. */
export function rectangle(): Point[] {
  return [
    [0.25, 0.25],
    [0.75, 0.25],
    [0.75, 0.75],
    [0.25, 0.75],
  ];
}

/** What is sent to the box. */
export function cleaned(drawing: Drawing): Drawing {
  return {
    zones: drawing.zones.map((zone) => ({ ...zone, name: zone.name.trim(), points: zone.points.map((p) => pointAt(...p)) })),
    min_plate_width: Math.round(inside(drawing.min_plate_width) * 10_000) / 10_000,
  };
}

export function same(a: Drawing, b: Drawing): boolean {
  return JSON.stringify(cleaned(a)) === JSON.stringify(cleaned(b));
}
