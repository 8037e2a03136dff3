// Pure. The newest alerts on the page: each once, newest first, bounded; which of them wait for somebody.
import type { Alert, Severity } from '../api/types';

/** As many as the box gives at once; what is older is read on the page of alerts. */
export const RECENT_MAX = 100;

export function merge(rows: Alert[], more: Alert[]): Alert[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const row of more) byId.set(row.id, row);
  return [...byId.values()].sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
}

export function waiting(rows: Alert[]): number {
  return rows.filter((row) => row.acknowledged_at === null).length;
}

/** The number beside the word "alerts"; where only the newest are known, how many at least. */
export function badge(rows: Alert[], complete: boolean): string {
  const count = waiting(rows);
  return count === 0 ? '' : complete || count < rows.length ? String(Math.min(count, 99)) + (count > 99 ? '+' : '') : `${Math.min(count, 99)}+`;
}

/** How long a message about an alert stays; the worst stay until somebody puts them away. */
export function staysMs(severity: Severity): number | null {
  return severity === 'critical' ? null : severity === 'warning' ? 20_000 : 10_000;
}

/** As many messages at once as leave the page usable; the newest push the oldest out. */
export const TOASTS_MAX = 3;

export function pushed(toasts: Alert[], alert: Alert): Alert[] {
  return [alert, ...toasts.filter((other) => other.id !== alert.id)].slice(0, TOASTS_MAX);
}
