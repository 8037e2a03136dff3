// Pure. Watchlists on the page: dates that bound an entry, whether it counts now, and files that are imported.
import type { RejectedLine, WatchlistEntry } from '../api/types';
import { isKey, type Translate } from '../i18n';
import { dayBounds, dayValue } from './time';

export type Validity = 'always' | 'now' | 'later' | 'over';

/** Whether an entry counts at `now`. */
export function validity(entry: Pick<WatchlistEntry, 'valid_from' | 'valid_until'>, now: number): Validity {
  if (entry.valid_until !== null && entry.valid_until <= now) return 'over';
  if (entry.valid_from !== null && entry.valid_from > now) return 'later';
  return entry.valid_from === null && entry.valid_until === null ? 'always' : 'now';
}

/** The dates of a form as the box keeps them: from the first midnight, up to the midnight that ends the last day. */
export function bounds(from: string, until: string): Pick<WatchlistEntry, 'valid_from' | 'valid_until'> {
  return { valid_from: dayBounds(from)?.start ?? null, valid_until: dayBounds(until)?.end ?? null };
}

/** The dates of an entry as a form shows them. */
export function days(entry: Pick<WatchlistEntry, 'valid_from' | 'valid_until'>): { from: string; until: string } {
  return {
    from: entry.valid_from === null ? '' : dayValue(entry.valid_from),
    // The bound itself is the first moment that no longer counts.
    until: entry.valid_until === null ? '' : dayValue(entry.valid_until - 1),
  };
}

/** A day of a form in the way of the language. */
export function date(day: string, locale: string): string {
  const found = dayBounds(day);
  return found ? new Date(found.start / 1000).toLocaleDateString(locale) : '';
}

/** Line `number` (from 1) of a file, short enough to be shown beside what is wrong with it. */
export function line(lines: string[], number: number): string {
  const text = lines[number - 1]?.trim() ?? '';
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** What is wrong with a line of a file, in the language of the page where the page knows it. */
export function problem(rejected: Pick<RejectedLine, 'code' | 'column' | 'problem'>, t: Translate): string {
  const key = `import.bad_${rejected.code}`;
  return isKey(key) ? t(key, { column: rejected.column ?? '' }) : rejected.problem;
}
