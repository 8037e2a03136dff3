// How late a picture is shown: the box says which media time its clock had when, this side says what is on the screen.
import { request } from '../api/client';
import { streamPath, type StreamKind } from './live-state';

interface Answer {
  /** Microseconds UTC. */
  now: number;
  /** The newest picture: its media time in 1/90000 s, and when it was taken. */
  newest: { ticks: number; at: number } | null;
}

export interface ClockReading {
  /** What the box's clock is ahead of this one, ms. */
  offsetMs: number;
  /** Half of the way there and back, ms: the reading is no better than this. */
  errorMs: number;
  ticks: number;
  atMs: number;
}

/** Camera clocks run up to 100 ppm wrong: 6 ms a minute. */
const AGAIN_MS = 60_000;
const SOON_MS = 3000;
const HZ_PER_MS = 90;
const RTP_MODULUS = 2 ** 32;

/** Pure. The newer reading, unless its way was so much longer that the old one still is the better. */
export function better(old: ClockReading | null, now: ClockReading): ClockReading {
  if (!old || now.errorMs <= old.errorMs + 20) return now;
  return { ...now, offsetMs: old.offsetMs, errorMs: old.errorMs };
}

/** Pure. Seconds from the taking of the picture at media time `ticks` until `nowMs` of this side's clock. */
export function delaySeconds(reading: ClockReading, ticks: number, nowMs: number): number {
  const takenMs = reading.atMs + (ticks - reading.ticks) / HZ_PER_MS;
  return Math.max(0, (nowMs + reading.offsetMs - takenMs) / 1000);
}

/** Pure. The media time whose lower 32 bits are `rtp`, near to `near`. */
export function fromRtp(rtp: number, near: number): number {
  const low = ((near % RTP_MODULUS) + RTP_MODULUS) % RTP_MODULUS;
  let step = rtp - low;
  if (step > RTP_MODULUS / 2) step -= RTP_MODULUS;
  if (step < -RTP_MODULUS / 2) step += RTP_MODULUS;
  return near + step;
}

export class MediaClock {
  private reading: ClockReading | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly controller = new AbortController();

  constructor(private readonly camera: string, private readonly stream: StreamKind) {
    void this.ask();
  }

  destroy(): void {
    clearTimeout(this.timer);
    this.controller.abort();
  }

  /** Of the picture at media time `ticks`, shown at `nowMs` (as Date.now()). */
  delay(ticks: number, nowMs = Date.now()): number | null {
    return this.reading && delaySeconds(this.reading, ticks, nowMs);
  }

  delayOfRtp(rtp: number, nowMs = Date.now()): number | null {
    return this.reading && this.delay(fromRtp(rtp, this.reading.ticks), nowMs);
  }

  private async ask(): Promise<void> {
    const before = performance.now();
    try {
      const answer = await request<Answer>(streamPath(this.camera, this.stream, 'clock'), { signal: this.controller.signal });
      const way = (performance.now() - before) / 2;
      if (answer.newest) {
        const offsetMs = answer.now / 1000 - (Date.now() - way);
        this.reading = better(this.reading, { offsetMs, errorMs: way, ticks: answer.newest.ticks, atMs: answer.newest.at / 1000 });
      }
    } catch {
      // Without it the player plays all the same and does not say how late it is.
    }
    if (!this.controller.signal.aborted) this.timer = setTimeout(() => void this.ask(), this.reading ? AGAIN_MS : SOON_MS);
  }
}
