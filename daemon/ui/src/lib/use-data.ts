// Data of the box in components: load, reload, repeat; late answers of an older request are dropped.
import { useCallback, useEffect, useRef, useState } from 'react';

import { request } from '../api/client';

export interface Data<T> {
  data: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

/** Loads `path` (null: nothing yet) and again every `everyMs` while the page is visible. */
export function useData<T>(path: string | null, everyMs?: number): Data<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: unknown }>({ path: null });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  useEffect(() => {
    if (path === null) return undefined;
    const controller = new AbortController();
    request<T>(path, { signal: controller.signal })
      .then((data) => setState({ path, data }))
      .catch((error: unknown) => {
        if (!controller.signal.aborted) {
          setState((old) => (old.path === path && old.data !== undefined ? { ...old, error } : { path, error }));
        }
      });
    return () => controller.abort();
  }, [path, turn]);
  useEffect(() => {
    if (everyMs === undefined) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);
  const mine = state.path === path;
  return {
    data: mine ? state.data : undefined,
    error: mine ? state.error : undefined,
    loading: path !== null && (!mine || (state.data === undefined && state.error === undefined)),
    reload,
  };
}

/** A value that follows the given one after it has been still for a while. */
export function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** One action at a time, with its error. */
export function useAction(): {
  busy: boolean;
  error: unknown;
  run: (work: () => Promise<void>) => void;
  clear: () => void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const running = useRef(false);
  const run = useCallback((work: () => Promise<void>) => {
    if (running.current) return;
    running.current = true;
    setBusy(true);
    setError(undefined);
    work()
      .catch((caught: unknown) => setError(caught))
      .finally(() => {
        running.current = false;
        setBusy(false);
      });
  }, []);
  const clear = useCallback(() => setError(undefined), []);
  return { busy, error, run, clear };
}
