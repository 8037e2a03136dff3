// Addresses of the page: real paths, so that back, reload and links work.
import { useSyncExternalStore } from 'react';

const changed = new Set<() => void>();

let mayLeave: (() => boolean) | null = null;

/** The address on the page; while a step back is being refused, the browser's is another one. */
let shown = location.href;
/** Where in the browser's history that is, counted from where the page was opened. */
let place = placeOf(history.state);
/** The browser is on its way back to where it was. */
let returning = false;

function placeOf(state: unknown): number {
  const place = typeof state === 'object' && state !== null && 'place' in state ? state.place : 0;
  return typeof place === 'number' ? place : 0;
}

window.addEventListener('popstate', (event) => {
  const to = placeOf(event.state);
  if (returning) {
    returning = false;
  } else if (mayLeave && to !== place && !mayLeave()) {
    // The step has been made already: it is taken back.
    returning = true;
    history.go(place - to);
  } else {
    place = to;
    show();
  }
});

function show(): void {
  shown = location.href;
  changed.forEach((listener) => listener());
}

/** Asks `question` before another page of this app is shown, by a link or by the browser's back and forward; one at a
 * time, until the returned function is called. */
export function guard(question: () => boolean): () => void {
  mayLeave = question;
  return () => {
    if (mayLeave === question) mayLeave = null;
  };
}

export function navigate(to: string, replace = false): void {
  if (mayLeave && !mayLeave()) return;
  if (!replace) place += 1;
  if (replace) history.replaceState({ place }, '', to);
  else history.pushState({ place }, '', to);
  show();
  if (!replace) window.scrollTo(0, 0);
}

function subscribe(listener: () => void): () => void {
  changed.add(listener);
  return () => changed.delete(listener);
}

export function useLocation(): URL {
  const href = useSyncExternalStore(subscribe, () => shown);
  return new URL(href);
}

/** The parts of a path without empty ones: `/plates/1` is `['plates', '1']`. */
export function parts(path: string): string[] {
  return path.split('/').filter(Boolean).map(decodeURIComponent);
}
