// Pointer, wheel and pinch on the timeline, told as moves of the window, a picked time or a selected span.
import { useEffect, useRef, type PointerEvent, type RefObject } from 'react';

import { length, limited, timeAt, zoomed, type Span, type Window } from '../../lib/timeline';

/** A finger trembles by this much, points. */
const STILL = 5;
const GRAB = 9;
const WHEEL = 1.0016;

export interface Gestures {
  window: Window;
  cursor: number | null;
  onWindow: (window: Window) => void;
  /** Where the pointer went down and up, points from the upper left. */
  onClick: (x: number, y: number) => void;
  onScrub: (time: number, done: boolean) => void;
  onSelect: (span: Span) => void;
  onHover: (x: number | null, y: number) => void;
}

type Mode = { kind: 'none' } | { kind: 'still' | 'pan' | 'scrub' | 'select'; x: number; y: number; window: Window; time: number } | { kind: 'pinch'; apart: number; window: Window; anchor: number };

export function useGestures(area: RefObject<HTMLDivElement | null>, options: Gestures): {
  onPointerDown: (event: PointerEvent) => void;
  onPointerMove: (event: PointerEvent) => void;
  onPointerUp: (event: PointerEvent) => void;
  onPointerCancel: (event: PointerEvent) => void;
  onPointerLeave: () => void;
} {
  const latest = useRef(options);
  const mode = useRef<Mode>({ kind: 'none' });
  const fingers = useRef(new Map<number, { x: number; y: number }>());
  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    const element = area.current;
    if (!element) return undefined;
    const wheel = (event: WheelEvent): void => {
      event.preventDefault();
      const { window, onWindow } = latest.current;
      const box = element.getBoundingClientRect();
      const pixels = event.deltaMode === 1 ? 16 : 1;
      const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
      const now = Date.now() * 1000;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        const by = ((sideways * pixels) / box.width) * length(window);
        onWindow(limited({ start: window.start + by, end: window.end + by }, now));
      } else {
        const anchor = timeAt((event.clientX - box.left) / box.width, window);
        onWindow(zoomed(window, WHEEL ** (event.deltaY * pixels), anchor, now));
      }
    };
    // React's own listener is passive: the page would scroll as well.
    element.addEventListener('wheel', wheel, { passive: false });
    return () => element.removeEventListener('wheel', wheel);
  }, [area]);
  const place = (event: PointerEvent): { x: number; y: number; width: number } => {
    const box = area.current?.getBoundingClientRect();
    return { x: event.clientX - (box?.left ?? 0), y: event.clientY - (box?.top ?? 0), width: box?.width ?? 1 };
  };
  const two = (): { apart: number; middle: number } => {
    const [a, b] = [...fingers.current.values()];
    return { apart: Math.max(10, Math.abs((a?.x ?? 0) - (b?.x ?? 0))), middle: ((a?.x ?? 0) + (b?.x ?? 0)) / 2 };
  };
  const end = (event: PointerEvent, cancelled: boolean): void => {
    const { x, y, width } = place(event);
    const before = mode.current;
    fingers.current.delete(event.pointerId);
    mode.current = { kind: 'none' };
    if (cancelled) return;
    if (before.kind === 'still') latest.current.onClick(x, y);
    else if (before.kind === 'scrub') latest.current.onScrub(timeAt(x / width, latest.current.window), true);
  };
  return {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      const { x, y, width } = place(event);
      area.current?.setPointerCapture(event.pointerId);
      fingers.current.set(event.pointerId, { x, y });
      const { window, cursor } = latest.current;
      if (fingers.current.size === 2) {
        const { apart, middle } = two();
        mode.current = { kind: 'pinch', apart, window, anchor: timeAt(middle / width, window) };
        return;
      }
      const at = cursor === null ? null : ((cursor - window.start) / length(window)) * width;
      const kind = event.shiftKey ? 'select' : at !== null && Math.abs(at - x) <= GRAB ? 'scrub' : 'still';
      mode.current = { kind, x, y, window, time: timeAt(x / width, window) };
    },
    onPointerMove: (event) => {
      const { x, y, width } = place(event);
      const now = Date.now() * 1000;
      if (fingers.current.has(event.pointerId)) fingers.current.set(event.pointerId, { x, y });
      const { current } = mode;
      const { window, onWindow, onScrub, onSelect, onHover } = latest.current;
      onHover(current.kind === 'pan' || current.kind === 'pinch' ? null : x, y);
      if (current.kind === 'pinch') {
        const { apart, middle } = two();
        const size = length(zoomed(current.window, current.apart / apart, current.anchor, now));
        const start = current.anchor - (middle / width) * size;
        onWindow(limited({ start, end: start + size }, now));
      } else if (current.kind === 'still' || current.kind === 'pan') {
        if (current.kind === 'still' && Math.hypot(x - current.x, y - current.y) < STILL) return;
        mode.current = { ...current, kind: 'pan' };
        const by = ((current.x - x) / width) * length(current.window);
        onWindow(limited({ start: current.window.start + by, end: current.window.end + by }, now));
      } else if (current.kind === 'scrub') {
        onScrub(timeAt(x / width, window), false);
      } else if (current.kind === 'select') {
        const time = timeAt(x / width, window);
        onSelect({ start: Math.min(time, current.time), end: Math.max(time, current.time) });
      }
    },
    onPointerUp: (event) => end(event, false),
    onPointerCancel: (event) => end(event, true),
    onPointerLeave: () => latest.current.onHover(null, 0),
  };
}
