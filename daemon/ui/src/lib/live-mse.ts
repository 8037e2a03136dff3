// Live video through Media Source Extensions: fragments from a WebSocket or from HLS in, always near the newest picture.
import type { LiveEvent } from '../api/types';
import { Arrivals, Margin, decide, isStalled, type Playhead } from './live-buffer';
import { streamPath, type PlayerState, type StreamKind } from './live-state';
import { MediaClock } from './media-clock';
import { keepOpen } from './socket';

const TICK_MS = 100;
const HZ = 90_000;
/** Fragments that wait for the source buffer; beyond it the player starts anew at the live edge. */
const QUEUE_MAX = 120;

/** Safari on phones has only the managed variant. */
export function mediaSourceClass(): typeof MediaSource | undefined {
  const scope = globalThis as { ManagedMediaSource?: typeof MediaSource; MediaSource?: typeof MediaSource };
  return scope.MediaSource ?? scope.ManagedMediaSource;
}

export interface SourceHandlers {
  /** `init` or `waiting`; the data after an `init` is the initialization segment. */
  onEvent: (event: LiveEvent) => void;
  onData: (data: ArrayBuffer) => void;
  onLost: (reason: string) => void;
  /** This source cannot be had here. */
  onFailed: () => void;
}

/** Where fragments come from; the returned function ends it. */
export type Source = (camera: string, stream: StreamKind, handlers: SourceHandlers) => () => void;

/** Handshakes that may fail in a row before WebSockets count as blocked: proxies refuse each. */
const HANDSHAKES = 3;

export const socketSource: Source = (camera, stream, handlers) => {
  let failures = 0;
  let opened = false;
  return keepOpen(streamPath(camera, stream, 'live'), {
    onOpen: () => {
      opened = true;
    },
    onText: (text) => handlers.onEvent(JSON.parse(text) as LiveEvent),
    onBinary: handlers.onData,
    onLost: (reason) => {
      failures += 1;
      if (!opened && failures >= HANDSHAKES && navigator.onLine) handlers.onFailed();
      else handlers.onLost(reason);
    },
  });
};

export class MsePlayer {
  private readonly close: () => void;
  private readonly clock: MediaClock;
  private readonly timer: ReturnType<typeof setInterval>;
  private media: MediaSource | null = null;
  private buffer: SourceBuffer | null = null;
  private url: string | null = null;
  private queue: ArrayBuffer[] = [];
  private expectInit = false;
  private readonly arrivals = new Arrivals();
  private readonly margin = new Margin();
  private lastData = performance.now();
  private size = { width: 0, height: 0 };
  private state: PlayerState = { kind: 'connecting' };

  constructor(
    private readonly video: HTMLVideoElement,
    camera: string,
    stream: StreamKind,
    source: Source,
    private readonly onState: (state: PlayerState) => void,
  ) {
    this.clock = new MediaClock(camera, stream);
    this.close = source(camera, stream, {
      onEvent: (event) => this.event(event),
      onData: (data) => this.data(data),
      onLost: (reason) => this.report({ kind: 'lost', reason }),
      onFailed: () => this.report({ kind: 'failed', why: 'no_websocket' }),
    });
    this.timer = setInterval(() => this.tick(), TICK_MS);
    video.addEventListener('waiting', this.starved);
  }

  private readonly starved = (): void => {
    // Seeking waits too, and means nothing.
    if (!this.video.seeking && this.state.kind === 'playing') this.margin.starved(performance.now());
  };

  destroy(): void {
    this.close();
    this.clock.destroy();
    this.video.removeEventListener('waiting', this.starved);
    clearInterval(this.timer);
    this.reset();
  }

  private report(state: PlayerState): void {
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
        this.pump();
      });
      this.pump();
    });
  }

  private reset(): void {
    this.media = null;
    this.buffer = null;
    this.queue = [];
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.video.removeAttribute('src');
    this.video.load();
  }

  private data(data: ArrayBuffer): void {
    const now = performance.now();
    if (!this.expectInit) this.arrivals.add((now - this.lastData) / 1000);
    this.lastData = now;
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
    return { current: this.video.currentTime, buffered, fragment: this.arrivals.longest(), margin: this.margin.at(performance.now()) };
  }

  private tick(): void {
    const buffer = this.buffer;
    if (!buffer || this.media?.readyState !== 'open') return;
    const head = this.head();
    const wanted = decide(head);
    if (wanted.seekTo !== undefined) this.video.currentTime = wanted.seekTo;
    if (this.video.playbackRate !== wanted.rate) this.video.playbackRate = wanted.rate;
    if (wanted.remove && !buffer.updating) buffer.remove(wanted.remove.start, wanted.remove.end);
    if (this.video.paused && head.buffered.length > 0) void this.video.play().catch(() => undefined);
    if (isStalled(head, performance.now() - this.lastData)) {
      if (this.state.kind === 'playing') this.report({ kind: 'lost', reason: '' });
    } else if (this.video.readyState >= 2 && this.state.kind !== 'waiting') {
      this.report({ kind: 'playing', ...this.size, delay: this.clock.delay(this.video.currentTime * HZ) });
    }
  }
}
