// The picture of a camera with its zones: points are set, dragged, inserted and removed by finger, mouse and keys.
import { useId, useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from 'react';

import type { Point, Zone } from '../api/types';
import { useI18n } from '../i18n';
import { centroid, edges, middle, pointAt, shifted, withPoint, withPointAfter, withoutPoint, POINTS_MAX, POINTS_MIN } from '../lib/zones';

/** A key press moves a point by this share of the picture, ten times as much with Shift. */
const NUDGE = 0.005;
const nudges: Record<string, Point> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

type Drag = { kind: 'point'; zone: Zone; index: number; grip: Point; step: string } | { kind: 'zone'; zone: Zone; from: Point; step: string };

export interface ZoneCanvasProps {
  zones: Zone[];
  selected: number | null;
  /** Active point of the selected zone. */
  point: number | null;
  /** Points of a zone that is being drawn. */
  sketch: Point[] | null;
  editable: boolean;
  onSelect: (zone: number) => void;
  onPoint: (point: number | null) => void;
  /** Edits with the same `step` are one for undo. */
  onZone: (zone: Zone, step: string) => void;
  onSketch: (points: Point[]) => void;
  onClose: () => void;
  children: ReactNode;
}

export function ZoneCanvas({ zones, selected, point, sketch, editable, onSelect, onPoint, onZone, onSketch, onClose, children }: ZoneCanvasProps) {
  const { t } = useI18n();
  const root = useRef<HTMLDivElement>(null);
  const drag = useRef<Drag | null>(null);
  const steps = useRef(0);
  const [hover, setHover] = useState<Point | null>(null);
  const zone = selected === null || sketch || !editable ? undefined : zones[selected];

  const place = (event: { clientX: number; clientY: number }): Point => {
    const box = root.current?.getBoundingClientRect();
    return box ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [0, 0];
  };
  const start = (event: PointerEvent, begin: (at: Point, step: string) => Drag): void => {
    if (event.button !== 0) return;
    event.stopPropagation();
    root.current?.setPointerCapture(event.pointerId);
    steps.current += 1;
    drag.current = begin(place(event), `drag ${steps.current}`);
  };
  const grab = (event: PointerEvent, from: Zone, index: number): void => {
    start(event, (at, step) => {
      // The point keeps its distance to the finger that hides it.
      const [x, y] = from.points[index] ?? at;
      return { kind: 'point', zone: from, index, grip: [x - at[0], y - at[1]], step };
    });
    onPoint(index);
  };
  const move = (event: PointerEvent): void => {
    const at = place(event);
    if (sketch) setHover(event.pointerType === 'mouse' ? at : null);
    const held = drag.current;
    if (held?.kind === 'point') onZone(withPoint(held.zone, held.index, [at[0] + held.grip[0], at[1] + held.grip[1]]), held.step);
    else if (held) onZone(shifted(held.zone, at[0] - held.from[0], at[1] - held.from[1]), held.step);
  };
  const release = (): void => {
    drag.current = null;
  };
  const keys = (event: KeyboardEvent, index: number): void => {
    if (!zone) return;
    const nudge = nudges[event.key];
    const [x, y] = zone.points[index] ?? [0, 0];
    if (nudge) {
      const by = NUDGE * (event.shiftKey ? 10 : 1);
      onZone(withPoint(zone, index, [x + nudge[0] * by, y + nudge[1] * by]), `keys ${index}`);
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      onZone(withoutPoint(zone, index), '');
      const next = Math.min(index, Math.max(POINTS_MIN, zone.points.length - 1) - 1);
      onPoint(next);
      root.current?.querySelector<HTMLElement>(`[data-point="${next}"]`)?.focus();
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <div
      ref={root}
      className={`zone-canvas ${sketch ? 'sketching' : ''}`}
      onPointerMove={move}
      onPointerUp={release}
      onPointerCancel={release}
      onPointerLeave={() => setHover(null)}
      onClick={(event) => {
        if (sketch && sketch.length < POINTS_MAX) onSketch([...sketch, pointAt(...place(event))]);
      }}
    >
      {children}
      <Shapes
        zones={zones}
        selected={sketch ? null : selected}
        sketch={sketch}
        hover={hover}
        onSelect={onSelect}
        onGrab={(event) => {
          if (zone) start(event, (from, step) => ({ kind: 'zone', zone, from, step }));
        }}
      />
      {zones.map((shape, i) => (
        <Label key={i} zone={shape} />
      ))}
      {zone?.points.map(([x, y], i) => (
        <button
          key={i}
          type="button"
          className={`zone-point ${zone.kind} ${point === i ? 'active' : ''}`}
          style={{ left: `${x * 100}%`, top: `${y * 100}%` }}
          data-point={i}
          aria-label={t('zones.point', { number: i + 1, zone: zone.name, x: Math.round(x * 100), y: Math.round(y * 100) })}
          onPointerDown={(event) => grab(event, zone, i)}
          onFocus={() => onPoint(i)}
          onDoubleClick={() => {
            onZone(withoutPoint(zone, i), '');
            onPoint(null);
          }}
          onKeyDown={(event) => keys(event, i)}
        />
      ))}
      {zone && zone.points.length < POINTS_MAX && edges(zone.points).map(([a, b], i) => {
        const at = middle(a, b);
        const insert = (): Zone => withPointAfter(zone, i, at);
        return (
          <button
            key={i}
            type="button"
            className={`zone-middle ${zone.kind}`}
            style={{ left: `${at[0] * 100}%`, top: `${at[1] * 100}%` }}
            aria-label={t('zones.insert', { number: i + 1 })}
            onPointerDown={(event) => {
              const more = insert();
              onZone(more, '');
              grab(event, more, i + 1);
            }}
            onClick={(event) => {
              // Of the pointer's clicks the pointer events have taken care; this one is a key's.
              if (event.detail !== 0) return;
              onZone(insert(), '');
              onPoint(i + 1);
            }}
          />
        );
      })}
      {sketch?.map(([x, y], i) => (
        <button
          key={i}
          type="button"
          className={`zone-point watch ${i === 0 && sketch.length >= POINTS_MIN ? 'closing' : ''}`}
          style={{ left: `${x * 100}%`, top: `${y * 100}%` }}
          disabled={i > 0 || sketch.length < POINTS_MIN}
          aria-label={t('zones.close')}
          onClick={(event) => {
            event.stopPropagation();
            onClose();
          }}
        />
      ))}
    </div>
  );
}

function Label({ zone }: { zone: Zone }) {
  const [x, y] = centroid(zone.points);
  return (
    <span className={`zone-label ${zone.kind}`} style={{ left: `${x * 100}%`, top: `${y * 100}%` }} aria-hidden="true">
      {zone.name}
    </span>
  );
}

const SCALE = 1000;
const text = (points: Point[]): string => points.map(([x, y]) => `${x * SCALE},${y * SCALE}`).join(' ');

function Shapes({
  zones,
  selected,
  sketch,
  hover,
  onSelect,
  onGrab,
}: {
  zones: Zone[];
  selected: number | null;
  sketch: Point[] | null;
  hover: Point | null;
  onSelect: (index: number) => void;
  onGrab: (event: PointerEvent) => void;
}) {
  const id = useId();
  const watched = zones.filter((zone) => zone.kind === 'watch');
  return (
    <svg viewBox={`0 0 ${SCALE} ${SCALE}`} preserveAspectRatio="none" aria-hidden="true">
      <defs>
        <mask id={`${id}out`}>
          <rect width={SCALE} height={SCALE} fill="#fff" />
          {watched.map((zone, i) => (
            <polygon key={i} points={text(zone.points)} fill="#000" />
          ))}
        </mask>
        <pattern id={`${id}hatch`} width="16" height="16" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width="16" height="16" className="hatch-ground" />
          <rect width="6" height="16" className="hatch-line" />
        </pattern>
      </defs>
      {/* What no watched zone holds is not read, so it steps back. */}
      {watched.length > 0 && <rect width={SCALE} height={SCALE} className="unwatched" mask={`url(#${id}out)`} />}
      {zones.map((zone, i) => (
        <polygon
          key={i}
          points={text(zone.points)}
          className={`zone-shape ${zone.kind} ${selected === i ? 'selected' : ''}`}
          style={zone.kind === 'ignore' ? { fill: `url(#${id}hatch)` } : undefined}
          vectorEffect="non-scaling-stroke"
          // The first touch selects: nothing is moved by somebody who only looks for it.
          onPointerDown={selected === i ? onGrab : undefined}
          onClick={sketch ? undefined : () => onSelect(i)}
        />
      ))}
      {sketch && <polyline points={text(hover ? [...sketch, hover] : sketch)} className="zone-shape sketch" vectorEffect="non-scaling-stroke" />}
    </svg>
  );
}
