// Live video in a <video> element by whatever works here and is fastest: WebRTC, MSE, LL-HLS; it says which and why.
import { blocksAll, ways, type Chosen, type Way } from './live-choice';
import { hlsSource, NativeHlsPlayer, playsHls } from './live-hls';
import { mediaSourceClass, MsePlayer, socketSource } from './live-mse';
import type { LiveState, Player, PlayerState, StreamKind, Transport, Why } from './live-state';
import { WebRtcPlayer } from './live-webrtc';

/** What stopped WebRTC once in this network stops it for the next tile too, for a while. */
const BLOCKED_MS = 5 * 60_000;
let blocked: { why: Why; until: number } | null = null;

export class LivePlayer {
  private readonly ways: Way[];
  private player: Player | null = null;
  private destroyed = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly camera: string,
    private readonly stream: StreamKind,
    chosen: Chosen,
    private sound: boolean,
    private readonly onState: (state: LiveState) => void,
  ) {
    video.muted = !sound;
    video.playsInline = true;
    video.disableRemotePlayback = true;
    const can = { webrtc: typeof RTCPeerConnection === 'function', mse: mediaSourceClass() !== undefined, nativeHls: playsHls(video) };
    this.ways = ways(can, chosen, blocked && blocked.until > Date.now() ? blocked.why : null);
    this.next(null);
  }

  destroy(): void {
    this.destroyed = true;
    this.player?.destroy();
    this.player = null;
  }

  setSound(on: boolean): void {
    this.sound = on;
    this.video.muted = !on;
    this.player?.setSound?.(on);
  }

  /** Takes the next way; `why` the one before it failed. */
  private next(why: Why | null): void {
    this.player?.destroy();
    this.player = null;
    const way = this.ways.shift();
    if (!way) {
      this.onState({ kind: 'unsupported', mime: '' });
      return;
    }
    this.onState({ kind: 'connecting' });
    const reason = why ?? way.why;
    // A player may fail before its constructor returns.
    queueMicrotask(() => {
      if (this.destroyed) return;
      this.player = this.start(way.transport, (state) => this.heard(way.transport, reason, state));
    });
  }

  private start(transport: Transport, report: (state: PlayerState) => void): Player {
    const { video, camera, stream } = this;
    switch (transport) {
      case 'webrtc':
        return new WebRtcPlayer(video, camera, stream, this.sound, report);
      case 'mse':
        return new MsePlayer(video, camera, stream, socketSource, report);
      case 'hls':
        return mediaSourceClass() ? new MsePlayer(video, camera, stream, hlsSource, report) : new NativeHlsPlayer(video, camera, stream, report);
    }
  }

  private heard(transport: Transport, why: Why | null, state: PlayerState): void {
    if (this.destroyed) return;
    if (state.kind === 'failed') {
      if (transport === 'webrtc' && blocksAll(state.why)) blocked = { why: state.why, until: Date.now() + BLOCKED_MS };
      if (this.ways.length > 0) this.next(state.why);
      else this.onState({ kind: 'lost', reason: '' });
    } else if (state.kind === 'playing') {
      this.onState({ ...state, transport, why: state.transcoded ? 'transcoded' : why });
    } else {
      this.onState(state);
    }
  }
}
