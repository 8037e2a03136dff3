// A plate-shaped box on a picture: what is narrower than it is not read. It is moved onto a plate and scaled to it.
import { useRef, useState, type PointerEvent } from 'react';

import type { Point } from '../api/types';
import { useI18n } from '../i18n';
import { PLATE_RATIO } from '../lib/zones';

export const WIDTH_MIN = 0.005;
export const WIDTH_MAX = 0.5;

export function PlateBox({ width, onWidth }: { width: number; onWidth: (width: number, step: string) => void }) {
  const { t } = useI18n();
  const box = useRef<HTMLDivElement>(null);
  const drag = useRef<{ kind: 'move' | 'scale'; grip: Point; step: string } | null>(null);
  const steps = useRef(0);
  const [center, setCenter] = useState<Point>([0.16, 0.2]);
  const place = (event: PointerEvent): Point => {
    const picture = box.current?.parentElement?.getBoundingClientRect();
    return picture ? [(event.clientX - picture.left) / picture.width, (event.clientY - picture.top) / picture.height] : center;
  };
  const start = (event: PointerEvent, kind: 'move' | 'scale'): void => {
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
    const [x, y] = place(event);
    steps.current += 1;
    drag.current = { kind, grip: kind === 'move' ? [center[0] - x, center[1] - y] : [center[0] + width / 2 - x, 0], step: `plate ${steps.current}` };
  };
  const move = (event: PointerEvent): void => {
    const held = drag.current;
    if (!held) return;
    const [x, y] = place(event);
    const within = (value: number): number => Math.min(0.98, Math.max(0.02, value));
    if (held.kind === 'move') setCenter([within(x + held.grip[0]), within(y + held.grip[1])]);
    else onWidth(Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, 2 * (x + held.grip[0] - center[0]))), held.step);
  };
  const end = (): void => {
    drag.current = null;
  };
  return (
    // The slider beside the picture is the same control for keys and screen readers.
    <div ref={box} className="plate-box" style={{ left: `${center[0] * 100}%`, top: `${center[1] * 100}%`, width: `${width * 100}%`, aspectRatio: PLATE_RATIO }} aria-hidden="true">
      <span className="plate-box-grip" onPointerDown={(event) => start(event, 'move')} onPointerMove={move} onPointerUp={end} onPointerCancel={end} />
      <span className="plate-box-label">{t('zones.min_box')}</span>
      <span className="plate-box-scale" onPointerDown={(event) => start(event, 'scale')} onPointerMove={move} onPointerUp={end} onPointerCancel={end} />
    </div>
  );
}
