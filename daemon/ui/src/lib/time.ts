// Times of the box (microseconds UTC) as people read them, in the browser's own time zone.

export const DAY_US = 86_400_000_000;

export function toDate(us: number): Date {
  return new Date(us / 1000);
}

export function fromDate(date: Date): number {
  return date.getTime() * 1000;
}

// Recordings are searched by the 24-hour clock, whatever the language.
export function clock(us: number, locale: string): string {
  return toDate(us).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
}

export function hourAndMinute(us: number, locale: string): string {
  return toDate(us).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
}

export function dayAndClock(us: number, locale: string): string {
  return toDate(us).toLocaleString(locale, {
    day: '2-digit',
    month: '2-digit',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

/** Today as a clock, other days with their date. */
export function brief(us: number, now: number, locale: string): string {
  return toDate(us).toDateString() === toDate(now).toDateString() ? clock(us, locale) : dayAndClock(us, locale);
}

/** The day of a time as an <input type="date"> takes it, in local time. */
export function dayValue(us: number): string {
  const date = toDate(us);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** A time as an <input type="datetime-local"> with seconds takes it, in local time. */
export function localInput(us: number): string {
  const date = toDate(us);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${dayValue(us)}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Midnight to midnight in local time (23 or 25 hours when the clocks change); null for a half-typed date. */
export function dayBounds(value: string): { start: number; end: number } | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(value);
  if (!match) return null;
  const [year, month, day] = [Number(match[1]), Number(match[2]) - 1, Number(match[3])];
  const start = new Date(year, month, day);
  if (start.getMonth() !== month || start.getDate() !== day) return null;
  return { start: fromDate(start), end: fromDate(new Date(year, month, day + 1)) };
}

/** `1:02:03` or `2:03`. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `3 d 4 h`, `4 h 5 min`, `5 min`, `30 s`: two units at most. */
export function roughly(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor((s % 86_400) / 3600), Math.floor((s % 3600) / 60)];
  if (d > 0) return h > 0 ? `${d} d ${h} h` : `${d} d`;
  if (h > 0) return m > 0 ? `${h} h ${m} min` : `${h} h`;
  return `${m} min`;
}

export function bytes(value: number, locale: string): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit > 1 && amount < 100 ? 1 : 0;
  return `${amount.toLocaleString(locale, { maximumFractionDigits: digits })} ${units[unit] ?? ''}`;
}

export function bits(value: number, locale: string): string {
  return value >= 1e6
    ? `${(value / 1e6).toLocaleString(locale, { maximumFractionDigits: 1 })} Mb/s`
    : `${Math.round(value / 1e3).toLocaleString(locale)} kb/s`;
}

/** A probability; small ones as `< 0.1%` instead of a nought that is none. */
export function percent(p: number, locale: string): string {
  const small = 0.001;
  const shown = Math.max(p, small).toLocaleString(locale, { style: 'percent', maximumFractionDigits: 1 });
  return p > 0 && p < small ? `< ${shown}` : p === 0 ? (0).toLocaleString(locale, { style: 'percent' }) : shown;
}
