// How much of each hour was recorded, of the cameras on the timeline, from the coverage ledger.
import { useEffect, useState } from 'react';

import { request } from '../api/client';
import type { Coverage } from '../api/types';
import { HOUR, length, type Window } from './timeline';

/** Beyond this an hour is too narrow for a number. */
const SHOWN = 48 * HOUR;
const SETTLE_MS = 300;
const AGAIN_MS = 60_000;
/** Less is the rounding of frames at an hour's ends. */
const WHOLE = 0.9995;

const NONE: LackingHour[] = [];

/** An hour that is not whole. */
export interface LackingHour {
  camera: string;
  start: number;
  /** Below 1. */
  share: number;
}

/** Pure. The hours of an answer in which something is missing. */
export function lacking(camera: string, coverage: Coverage): LackingHour[] {
  return coverage.hours
    .filter((hour) => hour.expected_s > 0 && hour.stored_s < hour.expected_s * WHOLE)
    .map((hour) => ({ camera, start: hour.start, share: Math.max(0, hour.stored_s) / hour.expected_s }));
}

export function useCoverage(cameras: { camera: string; stream: string }[], window: Window): LackingHour[] {
  const [hours, setHours] = useState<LackingHour[]>([]);
  const from = Math.floor(window.start / HOUR) * HOUR;
  const to = Math.ceil(window.end / HOUR) * HOUR;
  const wanted = length(window) > SHOWN ? '' : cameras.map(({ camera, stream }) => `${camera}/${stream}`).join(',');
  useEffect(() => {
    if (wanted === '') return undefined;
    const controller = new AbortController();
    const load = (): void => {
      const asked = wanted.split(',').map(async (name) => {
        const [camera = '', stream = ''] = name.split('/');
        const query = new URLSearchParams({ camera, stream, from: String(from), to: String(to) });
        return lacking(camera, await request<Coverage>(`/api/streaming/coverage?${query}`, { signal: controller.signal }));
      });
      // The timeline itself tells what goes wrong with the box.
      Promise.all(asked).then((found) => setHours(found.flat()), () => undefined);
    };
    const settled = setTimeout(load, SETTLE_MS);
    const again = setInterval(load, AGAIN_MS);
    return () => {
      controller.abort();
      clearTimeout(settled);
      clearInterval(again);
    };
  }, [wanted, from, to]);
  return wanted === '' ? NONE : hours;
}
