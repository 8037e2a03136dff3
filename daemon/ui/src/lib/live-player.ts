// Live video in a <video> element: WebSocket in, Media Source Extensions out, always near the newest picture.
import type { CameraStateName, LiveEvent } from '../api/types';
import { FragmentLength, decide, isStalled, type Playhead } from './live-buffer';
import { keepOpen } from './socket';

export type LiveState =
  | { kind: 'connecting' }
  | { kind: 'playing'; width: number; height: number; latency: number }
  | { kind: 'waiting'; state: CameraStateName; reason: string }
  | { kind: 'unsupported'; mime: string }
  | { kind: 'lost'; reason: string };

const TICK_MS = 250;
/** Fragments that wait for the source buffer; beyond it the player starts anew at the live edge. */
const QUEUE_MAX = 120;

/** Safari on phones has only the managed variant. */
function mediaSourceClass(): typeof MediaSource | undefined {
  const scope = globalThis as { ManagedMediaSource?: typeof MediaSource; MediaSource?: typeof MediaSource };
  return scope.MediaSource ?? scope.ManagedMediaSource;
}

export class LivePlayer {
  private readonly close: () => void;
  private readonly timer: ReturnType<typeof setInterval>;
  private media: MediaSource | null = null;
  private buffer: SourceBuffer | null = null;
  private url: string | null = null;
  private queue: ArrayBuffer[] = [];
  private expectInit = false;
  private fragment = 0.5;
  private length = new FragmentLength();
  private lastData = performance.now();
  private lastEnd = 0;
  private size = { width: 0, height: 0 };
  private state: LiveState = { kind: 'connecting' };

  constructor(
    private readonly video: HTMLVideoElement,
    path: string,
    private readonly onState: (state: LiveState) => void,
  ) {
    video.muted = true;
    video.playsInline = true;
    video.disableRemotePlayback = true;
    this.close = keepOpen(path, {
      onText: (text) => this.event(JSON.parse(text) as LiveEvent),
      onBinary: (data) => this.data(data),
      onLost: (reason) => this.report({ kind: 'lost', reason }),
    });
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  destroy(): void {
    this.close();
    clearInterval(this.timer);
    this.reset();
  }

  private report(state: LiveState): void {
    this.state = state;
    this.onState(state);
  }

  private event(event: LiveEvent): void {
    if (event.type === 'waiting') {
      this.report({ kind: 'waiting', state: event.state, reason: event.reason });
      return;
    }
    this.size = { width: event.width, height: event.height };
    this.expectInit = true;
    this.start(event.mime);
  }

  /** A new initialization segment may come with a new timeline: a new media source is the only sure way. */
  private start(mime: string): void {
    this.reset();
    const Source = mediaSourceClass();
    if (!Source?.isTypeSupported(mime)) {
      this.report({ kind: 'unsupported', mime });
      return;
    }
    this.report({ kind: 'connecting' });
    const media = new Source();
    this.media = media;
    this.url = URL.createObjectURL(media);
    this.video.src = this.url;
    media.addEventListener('sourceopen', () => {
      if (this.media !== media) return;
      this.buffer = media.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => {
        this.measure();
        this.pump();
      });
      this.pump();
    });
  }

  private reset(): void {
    this.media = null;
    this.buffer = null;
    this.queue = [];
    this.lastEnd = 0;
    this.fragment = 0.5;
    this.length = new FragmentLength();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.video.removeAttribute('src');
    this.video.load();
  }

  private data(data: ArrayBuffer): void {
    this.lastData = performance.now();
    if (!this.media) return;
    if (this.queue.length >= QUEUE_MAX && !this.expectInit) this.queue.splice(1, this.queue.length - 1);
    this.expectInit = false;
    this.queue.push(data);
    this.pump();
  }

  private pump(): void {
    const buffer = this.buffer;
    if (!buffer || buffer.updating || this.media?.readyState !== 'open') return;
    const next = this.queue[0];
    if (!next) return;
    try {
      buffer.appendBuffer(next);
      this.queue.shift();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError') {
        const head = this.head();
        const first = head.buffered[0];
        if (first && head.current - first.start > 1) buffer.remove(first.start, head.current - 1);
        else this.queue = [];
      } else {
        this.queue.shift();
      }
    }
  }

  private head(): Playhead {
    const ranges = this.buffer ? this.buffer.buffered : this.video.buffered;
    const buffered = Array.from({ length: ranges.length }, (_, i) => ({
      start: ranges.start(i),
      end: ranges.end(i),
    }));
    return { current: this.video.currentTime, buffered, fragment: this.fragment };
  }

  /** The step by which an append moves the end is the length of its fragment. */
  private measure(): void {
    const end = this.head().buffered.at(-1)?.end ?? 0;
    if (this.lastEnd > 0 && end > this.lastEnd) this.fragment = this.length.add(end - this.lastEnd);
    this.lastEnd = end;
  }

  private tick(): void {
    const buffer = this.buffer;
    if (!buffer || this.media?.readyState !== 'open') return;
    const head = this.head();
    const end = head.buffered.at(-1)?.end ?? 0;
    const wanted = decide(head);
    if (wanted.seekTo !== undefined) this.video.currentTime = wanted.seekTo;
    if (this.video.playbackRate !== wanted.rate) this.video.playbackRate = wanted.rate;
    if (wanted.remove && !buffer.updating) buffer.remove(wanted.remove.start, wanted.remove.end);
    if (this.video.paused && head.buffered.length > 0) void this.video.play().catch(() => undefined);
    if (isStalled(head, performance.now() - this.lastData)) {
      if (this.state.kind === 'playing') this.report({ kind: 'lost', reason: '' });
    } else if (this.video.readyState >= 2 && this.state.kind !== 'waiting') {
      this.report({ kind: 'playing', ...this.size, latency: Math.max(0, end - this.video.currentTime) });
    }
  }
}
