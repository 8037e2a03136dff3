// Addresses of the page: real paths, so that back, reload and links work.
import { useSyncExternalStore } from 'react';

const changed = new Set<() => void>();

let mayLeave: (() => boolean) | null = null;

/** Asks `question` before another page of this app is shown; one at a time, until the returned function is called. */
export function guard(question: () => boolean): () => void {
  mayLeave = question;
  return () => {
    if (mayLeave === question) mayLeave = null;
  };
}

export function navigate(to: string, replace = false): void {
  if (mayLeave && !mayLeave()) return;
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  changed.forEach((listener) => listener());
  if (!replace) window.scrollTo(0, 0);
}

function subscribe(listener: () => void): () => void {
  changed.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    changed.delete(listener);
    window.removeEventListener('popstate', listener);
  };
}

export function useLocation(): URL {
  const href = useSyncExternalStore(subscribe, () => location.href);
  return new URL(href);
}

/** The parts of a path without empty ones: `/plates/1` is `['plates', '1']`. */
export function parts(path: string): string[] {
  return path.split('/').filter(Boolean).map(decodeURIComponent);
}
