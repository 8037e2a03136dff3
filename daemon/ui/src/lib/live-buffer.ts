// Pure. Where a live player should be: near the newest picture, over gaps, with a bounded buffer behind it.

export interface Range {
  start: number;
  end: number;
}

export interface Playhead {
  /** Seconds on the media timeline. */
  current: number;
  buffered: Range[];
  /** Longest fragment seen; the player must stay that far behind the end or it starves. */
  fragment: number;
}

export interface Decision {
  seekTo?: number;
  rate: number;
  /** What may be dropped from the buffer. */
  remove?: Range;
}

/** Time kept behind the newest picture beyond one fragment, against network jitter. */
const MARGIN = 0.3;
/** Farther behind than this (plus one fragment) the player jumps instead of hurrying. */
const JUMP = 1.5;
const HURRY = 1.1;
const KEEP_BEHIND = 20;
/** Removing in larger steps keeps the source buffer from being busy all the time. */
const REMOVE_STEP = 10;

export function decide(head: Playhead): Decision {
  const last = head.buffered.at(-1);
  const first = head.buffered[0];
  if (!last || !first) return { rate: 1 };
  const target = Math.max(last.start, last.end - head.fragment - MARGIN);
  const inside = head.buffered.some((r) => head.current >= r.start - 0.05 && head.current < r.end);
  const behind = last.end - head.current;
  const decision: Decision = { rate: 1 };
  if (!inside && !(head.current >= last.end && head.current < last.end + 1)) {
    // Outside of everything (the start, a gap, a new timeline): go where pictures are.
    const next = head.buffered.find((r) => r.start > head.current);
    decision.seekTo = next && next !== last ? next.start : target;
  } else if (behind > head.fragment + JUMP) {
    decision.seekTo = target;
  } else if (behind > head.fragment + 2 * MARGIN + 0.2) {
    decision.rate = HURRY;
  }
  const keepFrom = (decision.seekTo ?? head.current) - KEEP_BEHIND;
  if (first.start < keepFrom - REMOVE_STEP) {
    decision.remove = { start: 0, end: keepFrom };
  }
  return decision;
}

/** Whether a stall is worth reporting: playing, nothing to show, for longer than any fragment takes to arrive. */
export function isStalled(head: Playhead, sinceDataMs: number): boolean {
  const last = head.buffered.at(-1);
  const left = last ? last.end - head.current : 0;
  return left < 0.1 && sinceDataMs > 4000 + head.fragment * 2000;
}

/** Appends that are looked at for the fragment length; about two seconds of parts. */
const RECENT_APPENDS = 8;

/** The fragment length to plan with after another append: the longest of the last few, so that one pause counts. */
export class FragmentLength {
  private readonly recent: number[] = [];

  add(seconds: number): number {
    this.recent.push(seconds);
    if (this.recent.length > RECENT_APPENDS) this.recent.shift();
    return Math.min(4, Math.max(0.1, ...this.recent));
  }
}
