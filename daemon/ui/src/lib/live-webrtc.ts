// Live video by WebRTC: a WHEP offer to the box, its pictures in the <video> element the moment they come.
import { ApiError, renew, respond } from '../api/client';
import { streamPath, type PlayerState, type StreamKind, type Why } from './live-state';
import { MediaClock } from './media-clock';
import { pause } from './socket';

const TICK_MS = 500;
/** Pictures come at once where UDP comes through at all. */
const CONNECT_MS = 6000;
/** A group of pictures may be this long. */
const FIRST_PICTURE_MS = 9000;
const STALL_MS = 4000;
/** Two breaks within this time: the network does not carry it. */
const UNSTABLE_MS = 45_000;
const WAIT_MS = 2000;

interface FrameInfo {
  rtpTimestamp?: number;
}

interface FrameVideo {
  /** Not in older browsers. */
  requestVideoFrameCallback?: (callback: (now: number, info: FrameInfo) => void) => number;
}

/** Pure. What a refusal of the box means for this player; null: wait and ask again. */
export function refusal(error: unknown): Why | null {
  if (!(error instanceof ApiError)) return 'no_webrtc';
  if (error.code === 'reordered') return 'reordered';
  if (error.code === 'codec_not_offered') return 'codec';
  if (error.code === 'webrtc_unavailable') return 'port';
  // The stream does not run, too many watch, no connection to the box: another way would not help.
  return null;
}

export class WebRtcPlayer {
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly clock: MediaClock;
  private peer: RTCPeerConnection | null = null;
  private session: string | null = null;
  private again: ReturnType<typeof setTimeout> | undefined;
  private begun = 0;
  private attempt = 0;
  private frames = 0;
  private lastFrame = 0;
  private lastBreak = -Infinity;
  private delay: number | null = null;
  private transcoded = false;
  private size = { width: 0, height: 0 };
  private destroyed = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly camera: string,
    private readonly stream: StreamKind,
    private sound: boolean,
    private readonly report: (state: PlayerState) => void,
  ) {
    this.clock = new MediaClock(camera, stream);
    this.timer = setInterval(() => void this.tick(), TICK_MS);
    this.watchFrames();
    void this.connect();
  }

  destroy(): void {
    this.destroyed = true;
    clearInterval(this.timer);
    this.clock.destroy();
    this.close();
    this.video.srcObject = null;
  }

  /** The box makes the sound only for those who listen: a session is with or without. */
  setSound(on: boolean): void {
    if (on === this.sound) return;
    this.sound = on;
    void this.connect();
  }

  private close(): void {
    clearTimeout(this.again);
    this.peer?.close();
    this.peer = null;
    // The box would notice by itself, after seconds in which the seat is taken.
    if (this.session) void respond(this.session, { method: 'DELETE' }).catch(() => undefined);
    this.session = null;
  }

  private async connect(): Promise<void> {
    this.close();
    this.begun = performance.now();
    this.frames = 0;
    this.lastFrame = 0;
    const peer = new RTCPeerConnection();
    this.peer = peer;
    const media = new MediaStream();
    peer.addEventListener('track', ({ track, receiver }) => {
      // As small a buffer as the network allows; browsers without the key decide by themselves.
      if (track.kind === 'video') (receiver as { jitterBufferTarget?: number | null }).jitterBufferTarget = 0;
      media.addTrack(track);
      if (this.video.srcObject !== media) this.video.srcObject = media;
      void this.video.play().catch(() => undefined);
    });
    try {
      peer.addTransceiver('video', { direction: 'recvonly' });
      if (this.sound) peer.addTransceiver('audio', { direction: 'recvonly' });
      await peer.setLocalDescription();
      const offer = new Blob([peer.localDescription?.sdp ?? '']);
      const response = await respond(streamPath(this.camera, this.stream, 'whep'), { method: 'POST', file: { data: offer, type: 'application/sdp' } });
      const session = response.headers.get('Location');
      if (this.peer !== peer) {
        if (session) void respond(session, { method: 'DELETE' }).catch(() => undefined);
        return;
      }
      this.session = session;
      this.transcoded = response.headers.has('X-GTV-Transcoded');
      await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    } catch (error) {
      if (this.peer === peer) this.refused(error);
    }
  }

  private refused(error: unknown): void {
    const why = refusal(error);
    if (why) {
      this.report({ kind: 'failed', why });
      return;
    }
    const { status, message } = error as ApiError;
    this.close();
    this.report(status === 503 ? { kind: 'waiting', state: 'streaming', reason: message } : { kind: 'lost', reason: message });
    const wait = status === 503 ? WAIT_MS : pause(this.attempt, Math.random());
    this.attempt += 1;
    const go = (): void => {
      if (!this.destroyed) this.again = setTimeout(() => void this.connect(), wait);
    };
    if (status === 401) void renew().then(go);
    else go();
  }

  private watchFrames(): void {
    const video: FrameVideo = this.video;
    const next = (_: number, info: FrameInfo): void => {
      if (this.destroyed) return;
      if (info.rtpTimestamp !== undefined) this.delay = this.clock.delayOfRtp(info.rtpTimestamp);
      video.requestVideoFrameCallback?.(next);
    };
    video.requestVideoFrameCallback?.(next);
  }

  private async tick(): Promise<void> {
    const peer = this.peer;
    if (!peer || !this.session) return;
    const decoded = await framesDecoded(peer);
    if (this.peer !== peer) return;
    const now = performance.now();
    if (decoded > this.frames) {
      this.frames = decoded;
      this.lastFrame = now;
      this.attempt = 0;
      this.size = { width: this.video.videoWidth, height: this.video.videoHeight };
      if (this.size.width > 0) this.report({ kind: 'playing', ...this.size, delay: this.delay, transcoded: this.transcoded });
    } else if (this.lastFrame === 0) {
      const connected = peer.connectionState === 'connected';
      if (!connected && now - this.begun > CONNECT_MS) this.report({ kind: 'failed', why: 'blocked' });
      else if (now - this.begun > FIRST_PICTURE_MS) this.report({ kind: 'failed', why: 'no_picture' });
    } else if (now - this.lastFrame > STALL_MS || peer.connectionState === 'failed' || peer.connectionState === 'closed') {
      this.broken(now);
    }
  }

  /** The camera, the box or the network stopped: begin anew, and say so. The box tells which it was. */
  private broken(now: number): void {
    const connected = this.peer?.connectionState === 'connected';
    if (!connected && now - this.lastBreak < UNSTABLE_MS) {
      this.report({ kind: 'failed', why: 'unstable' });
      return;
    }
    if (!connected) this.lastBreak = now;
    this.report({ kind: 'lost', reason: '' });
    void this.connect();
  }
}

async function framesDecoded(peer: RTCPeerConnection): Promise<number> {
  let frames = 0;
  const stats = await peer.getStats();
  stats.forEach((entry: { type: string; framesDecoded?: number }) => {
    if (entry.type === 'inbound-rtp') frames += entry.framesDecoded ?? 0;
  });
  return frames;
}
