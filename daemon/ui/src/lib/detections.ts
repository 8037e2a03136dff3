// Pure. The list of plates on the page: pages from the box, new ones from the socket, each once, newest first.
import type { Detection } from '../api/types';
import { answers, twin } from './plate';

/** More than this many rows on the page slow a phone down; the oldest go and can be loaded again. */
const ROWS_MAX = 400;

export function merge(rows: Detection[], more: Detection[]): Detection[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const row of more) byId.set(row.id, row);
  // Ids are UUIDs of version 7: their order is the order of creation.
  return [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
}

export function withNew(rows: Detection[], row: Detection): Detection[] {
  return merge(rows, [row]).slice(0, ROWS_MAX);
}

/** Pages of a search for similar plates keep the box's order: the most likely first. */
export function appended(rows: Detection[], more: Detection[]): Detection[] {
  const known = new Set(rows.map((row) => row.id));
  return [...rows, ...more.filter((row) => !known.has(row.id))];
}

export interface Filter {
  /** As `searchText` makes it. */
  text: string;
  similar: boolean;
  camera: string;
  from: number | null;
  to: number | null;
}

/** Whether rows come in the order of their score. */
export function ranked(filter: Filter): boolean {
  return filter.similar && filter.text !== '';
}

/** Whether a row that has just come belongs in the list that is shown. */
export function fits(row: Detection, filter: Filter): boolean {
  if (ranked(filter)) return false; // Only the box can tell how similar it is.
  const texts = [row.plate, twin(row.plate), ...row.alternatives.map((a) => a.text)];
  return (
    (filter.text === '' || texts.some((text) => text !== null && answers(text, filter.text))) &&
    (filter.camera === '' || row.camera === filter.camera) &&
    (filter.from === null || row.best_at >= filter.from) &&
    (filter.to === null || row.best_at < filter.to)
  );
}

export function query(filter: Filter, cursor: string | null, limit: number): string {
  const params = new URLSearchParams({ limit: String(limit) });
  if (filter.text !== '') params.set('plate', filter.text);
  if (ranked(filter)) params.set('match', 'similar');
  if (filter.camera !== '') params.set('camera', filter.camera);
  if (filter.from !== null) params.set('from', String(filter.from));
  if (filter.to !== null) params.set('to', String(filter.to));
  if (cursor !== null) params.set('cursor', cursor);
  return `/api/ai/lpr/detections?${params}`;
}
