// The time as components may use it: it changes every half minute, for all of them at once.
import { useSyncExternalStore } from 'react';

const EVERY_MS = 30_000;
let now = Date.now() * 1000;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now() * 1000;
    listeners.forEach((call) => call());
  }, EVERY_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** Microseconds UTC by the browser's clock. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}
