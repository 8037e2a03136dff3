// Pure. Undo and redo. Edits with the same name in a row (a drag, typing a word) are one step.

const STEPS_MAX = 200;

export interface History<T> {
  past: T[];
  now: T;
  future: T[];
  /** Name of the edit that made `now`; empty edits never join. */
  step: string;
}

export function begin<T>(now: T): History<T> {
  return { past: [], now, future: [], step: '' };
}

export function edit<T>(history: History<T>, now: T, step = ''): History<T> {
  const joins = step !== '' && step === history.step;
  const past = joins ? history.past : [...history.past, history.now].slice(-STEPS_MAX);
  return { past, now, future: [], step };
}

export function undo<T>(history: History<T>): History<T> {
  const now = history.past.at(-1);
  if (now === undefined) return history;
  return { past: history.past.slice(0, -1), now, future: [history.now, ...history.future], step: '' };
}

export function redo<T>(history: History<T>): History<T> {
  const [now, ...future] = history.future;
  if (now === undefined) return history;
  return { past: [...history.past, history.now], now, future, step: '' };
}
