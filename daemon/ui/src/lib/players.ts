// Several recordings on one clock. The first camera that has pictures leads and its video is the clock; the others follow
// it by a slightly other speed, or by a jump where they are far off. Where nobody has pictures, the clock jumps ahead.
import { request } from '../api/client';
import type { PlaybackInfo, Span } from '../api/types';
import { DAY, MINUTE, SECOND, mediaAt, recordedAt, stretchAt } from './timeline';

/** One request plays at most this much; then the next follows by itself. */
const STRETCH = 15 * MINUTE;
/** The newest seconds may still be on their way to the disk. */
const EDGE = 4 * SECOND;
const TICK_MS = 50;
/** More decoding than this (speed times cameras) is left to key frames: browsers drop frames without saying so. */
const SMOOTH = 4;
/** Seconds off (at normal speed) from which a follower jumps. */
const JUMP_S = 0.6;

export type TrackState = 'empty' | 'loading' | 'ready' | 'gap' | 'failed' | 'unplayable';

/** One camera's part. */
export class Track {
  state: TrackState = 'empty';
  info: PlaybackInfo | null = null;
  error: unknown;
  video: HTMLVideoElement | null = null;
  source = '';
  /** Where this camera's recording goes on when it has nothing now; null: not known, or nowhere. */
  resumes: number | null = null;
  /** The time that the file was asked for; it begins later where that lies in a gap. */
  private from = 0;
  private turn = 0;
  private seekTo: number | null = null;
  /** Media time of the frame on the screen, seconds. */
  private shown: number | null = null;

  constructor(
    readonly camera: string,
    private readonly changed: () => void,
  ) {}

  attach(video: HTMLVideoElement | null): void {
    this.video = video;
    if (!video) return;
    const frame = (_: number, meta: VideoFrameCallbackMetadata): void => {
      this.shown = meta.mediaTime;
      if (this.video === video) video.requestVideoFrameCallback(frame);
    };
    // Not in every browser; without it steps count from the player's own time.
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(frame);
  }

  /** The recorded time on the screen. */
  now(): number | null {
    if (!this.info || !this.video || this.state !== 'ready') return null;
    return recordedAt(this.video.currentTime * SECOND, this.info.stretches);
  }

  covers(time: number): boolean {
    return this.info !== null && this.state === 'ready' && stretchAt(time, this.info.stretches) !== null;
  }

  spans(time: number): boolean {
    return this.info !== null && time >= Math.min(this.from, this.info.start) && time < this.info.end;
  }

  async load(time: number, keys: boolean): Promise<void> {
    this.turn += 1;
    const { turn } = this;
    this.state = 'loading';
    this.info = null;
    this.resumes = null;
    this.from = time;
    this.changed();
    const base = `/api/streaming/cameras/${encodeURIComponent(this.camera)}`;
    const from = Math.round(time);
    const to = Math.round(Math.max(time + SECOND, Math.min(time + STRETCH, Date.now() * 1000 - EDGE)));
    const query = `from=${from}&to=${to}${keys ? '&keys=true' : ''}`;
    try {
      const info = await request<PlaybackInfo>(`${base}/playback?${query}`);
      if (turn !== this.turn) return;
      this.info = info;
      if (document.createElement('video').canPlayType(info.mime) === '') {
        this.state = 'unplayable';
      } else {
        this.shown = null;
        this.seekTo = (mediaAt(time, info.stretches) ?? 0) / SECOND;
        this.source = `${base}/playback.mp4?${query}`;
        this.state = 'loading';
      }
    } catch (error) {
      if (turn !== this.turn) return;
      if ((error as { status?: number }).status === 404) {
        this.state = 'gap';
        const next = await request<{ spans: Span[] }>(`${base}/recordings?from=${from}&to=${from + 31 * DAY}`).catch(() => ({ spans: [] }));
        if (turn !== this.turn) return;
        const starts = next.spans.filter((span) => span.end > from).map((span) => Math.max(span.start, from));
        this.resumes = starts.length > 0 ? Math.min(...starts) : null;
      } else {
        this.state = 'failed';
        this.error = error;
      }
    }
    this.changed();
  }

  /** The file's index is there. */
  loaded(): void {
    if (!this.video) return;
    if (this.seekTo !== null && Math.abs(this.video.currentTime - this.seekTo) > 0.001) this.video.currentTime = this.seekTo;
    this.seekTo = null;
    this.state = 'ready';
    this.changed();
  }

  failed(): void {
    if (this.source === '' || this.state === 'gap') return;
    this.state = 'failed';
    this.changed();
  }

  seek(time: number): void {
    const media = this.info && mediaAt(time, this.info.stretches);
    if (media === null || !this.video) return;
    if (this.state === 'ready') this.video.currentTime = media / SECOND;
    else this.seekTo = media / SECOND;
  }

  /** The recorded time of the frame so many after (or before) the one on the screen, a little inside of it. */
  beside(frames: number): number | null {
    if (!this.info || !this.video) return null;
    const media = (this.shown ?? this.video.currentTime) * SECOND;
    const recorded = recordedAt(media, this.info.stretches);
    const frame = recorded === null ? null : (stretchAt(recorded, this.info.stretches) ?? this.info.stretches[0])?.frame;
    return recorded === null || frame === undefined || frame === null ? null : recorded + (frames + 0.5) * frame;
  }
}

export class Players {
  tracks: Track[] = [];
  time: number;
  playing = false;
  speed = 1;
  /** Nothing more is recorded after the clock's time. */
  atEdge = false;
  /** Only the first camera is ever heard. */
  muted = true;
  private readonly listeners = new Set<() => void>();
  private version = 0;
  /** Frames to step once there is a picture to step from. */
  private owed = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(time: number) {
    this.time = time;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): number => this.version;

  private readonly notify = (): void => {
    this.version += 1;
    this.listeners.forEach((listener) => listener());
  };

  /** Something changed at a camera. */
  private readonly settled = (): void => {
    if (this.owed !== 0 && !this.playing) this.stepBy(this.owed);
    this.notify();
  };

  /** Only key frames are shown at this speed. */
  get keys(): boolean {
    return this.speed > 1 && this.speed * Math.max(1, this.tracks.length) > SMOOTH;
  }

  setCameras(cameras: string[]): void {
    this.tracks = cameras.map((camera) => this.tracks.find((track) => track.camera === camera) ?? new Track(camera, this.settled));
    this.notify();
  }

  start(): void {
    this.timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  seek(time: number): void {
    this.owed = 0;
    this.time = Math.min(time, Date.now() * 1000 - EDGE);
    this.atEdge = false;
    for (const track of this.tracks) {
      if (track.spans(this.time) && track.state !== 'failed') track.seek(this.time);
      else void track.load(this.time, this.keys);
    }
    this.notify();
  }

  play(): void {
    this.playing = true;
    this.owed = 0;
    if (this.tracks.some((track) => track.state === 'empty')) this.seek(this.time);
    this.notify();
  }

  pause(): void {
    this.playing = false;
    this.tracks.forEach((track) => track.video?.pause());
    this.notify();
  }

  toggleSound(): void {
    this.muted = !this.muted;
    this.notify();
  }

  setSpeed(speed: number): void {
    const before = this.keys;
    this.speed = speed;
    if (this.keys !== before) this.tracks.filter((track) => track.state !== 'empty').forEach((track) => void track.load(this.time, this.keys));
    this.notify();
  }

  step(direction: 1 | -1): void {
    this.pause();
    if (this.keys) this.setSpeed(1);
    this.stepBy(this.owed + direction);
  }

  private stepBy(frames: number): void {
    const target = this.leader()?.beside(frames);
    if (target !== null && target !== undefined) this.seek(target);
    // Pressed while a recording loads: kept for when it is there.
    else this.owed = this.tracks.some((track) => track.state === 'loading') ? frames : 0;
  }

  private leader(): Track | undefined {
    return this.tracks.find((track) => track.covers(this.time));
  }

  private tick(): void {
    if (!this.playing) return;
    let leader = this.leader();
    if (leader) {
      const now = leader.now() ?? this.time;
      const stretch = leader.info ? stretchAt(this.time, leader.info.stretches) : null;
      const end = stretch ? stretch.start + stretch.duration : now;
      // Over a pause of the leader, whoever has pictures of it leads on.
      const other = now > end ? this.tracks.find((track) => track !== leader && track.covers(end)) : undefined;
      this.time = other ? end : now;
      if (other) leader = other;
      if (leader.video?.ended || (leader.info && this.time >= leader.info.end - 1000)) this.time = Math.max(this.time, leader.info?.end ?? 0);
    }
    if (this.time >= Date.now() * 1000 - EDGE - SECOND) {
      this.atEdge = true;
      this.pause();
      return;
    }
    for (const track of this.tracks) {
      if (track.state === 'loading' || track.state === 'failed' || track.state === 'unplayable') continue;
      const waits = track.resumes !== null && this.time < track.resumes;
      if (track.state === 'gap' ? !waits && track.resumes !== null : !track.spans(this.time)) void track.load(this.time, this.keys);
      else this.drive(track, track === leader);
    }
    if (!leader && !this.tracks.some((track) => track.state === 'loading')) this.skip();
    this.notify();
  }

  /** Nobody has pictures: on to the first who has. */
  private skip(): void {
    const next = this.tracks.flatMap((track) => {
      if (track.state === 'gap') return track.resumes ?? [];
      return track.info?.stretches.find((stretch) => stretch.start > this.time)?.start ?? [];
    });
    const known = this.tracks.every((track) => track.state !== 'ready' || track.spans(this.time));
    if (next.length > 0) this.seek(Math.min(...next));
    else if (known && this.tracks.every((track) => track.state === 'gap' || track.state === 'failed' || track.state === 'unplayable')) {
      this.atEdge = true;
      this.pause();
    }
  }

  private drive(track: Track, leads: boolean): void {
    const { video } = track;
    if (!video) return;
    if (!track.covers(this.time)) {
      if (!video.paused) video.pause();
      return;
    }
    let rate = this.speed;
    const media = track.info && mediaAt(this.time, track.info.stretches);
    if (!leads && media !== null) {
      const ahead = video.currentTime - media / SECOND;
      if (Math.abs(ahead) > JUMP_S * Math.max(1, this.speed) && !video.seeking) video.currentTime = media / SECOND;
      else rate *= 1 - Math.max(-0.2, Math.min(0.2, ahead));
    }
    rate = Math.max(0.0625, Math.min(16, rate));
    if (Math.abs(video.playbackRate - rate) > 0.01) video.playbackRate = rate;
    if (video.paused && !video.ended) void video.play().catch(() => undefined);
  }
}
