// Pure. Where a live player should be: near the newest picture, over gaps, with a bounded buffer behind it.

export interface Range {
  start: number;
  end: number;
}

export interface Playhead {
  /** Seconds on the media timeline. */
  current: number;
  buffered: Range[];
  /** The longest wait for data of late; the player must stay that far behind the end or it starves. */
  fragment: number;
  /** Kept behind the newest picture beyond that, against jitter. */
  margin: number;
}

export interface Decision {
  seekTo?: number;
  rate: number;
  /** What may be dropped from the buffer. */
  remove?: Range;
}

/** Farther behind than this (beyond fragment and margin) the player jumps instead of hurrying. */
const JUMP = 1;
/** Within this of where it should be, the player is left alone. */
const SLACK = 0.1;
const HURRY = 1.1;
const KEEP_BEHIND = 20;
/** Removing in larger steps keeps the source buffer from being busy all the time. */
const REMOVE_STEP = 10;

export function decide(head: Playhead): Decision {
  const last = head.buffered.at(-1);
  const first = head.buffered[0];
  if (!last || !first) return { rate: 1 };
  const target = Math.max(last.start, last.end - head.fragment - head.margin);
  const inside = head.buffered.some((r) => head.current >= r.start - 0.05 && head.current < r.end);
  const behind = last.end - head.current;
  const decision: Decision = { rate: 1 };
  if (!inside && !(head.current >= last.end && head.current < last.end + 1)) {
    // Outside of everything (the start, a gap, a new timeline): go where pictures are.
    const next = head.buffered.find((r) => r.start > head.current);
    decision.seekTo = next && next !== last ? next.start : target;
  } else if (behind > head.fragment + head.margin + JUMP) {
    decision.seekTo = target;
  } else if (behind > head.fragment + head.margin + SLACK) {
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

/** Arrivals that are looked at for the longest wait; about two seconds of parts. */
const RECENT_ARRIVALS = 16;

/** How long data lets itself be waited for: the longest of the last few waits. */
export class Arrivals {
  private readonly recent: number[] = [];

  add(seconds: number): void {
    this.recent.push(seconds);
    if (this.recent.length > RECENT_ARRIVALS) this.recent.shift();
  }

  longest(): number {
    return Math.min(4, Math.max(0.1, ...this.recent));
  }
}

const MARGIN_LEAST = 0.12;
const MARGIN_MOST = 1.5;
const MARGIN_STEP = 0.12;
/** Without starving for this long, one step is given back. */
const MARGIN_CALM_MS = 20_000;
/** Pauses within this are one. */
const MARGIN_SAME_MS = 1000;

/** The margin grows each time the player starves, and shrinks while it does not. */
export class Margin {
  private steps = 0;
  private since = -Infinity;

  starved(nowMs: number): void {
    if (nowMs - this.since < MARGIN_SAME_MS) return;
    this.steps = Math.min(this.steps + 1, Math.round((MARGIN_MOST - MARGIN_LEAST) / MARGIN_STEP));
    this.since = nowMs;
  }

  at(nowMs: number): number {
    if (this.steps > 0 && nowMs - this.since > MARGIN_CALM_MS) {
      this.steps -= 1;
      this.since = nowMs;
    }
    return MARGIN_LEAST + this.steps * MARGIN_STEP;
  }
}
