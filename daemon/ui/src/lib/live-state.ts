// What a live player shows and says, whatever brings the pictures.
import type { CameraStateName } from '../api/types';

export type Transport = 'webrtc' | 'mse' | 'hls';

/** Why a player does not use the way before it in the order; each has a text (`live.why.*`). */
export type Why = 'transcoded' | 'no_webrtc' | 'reordered' | 'codec' | 'blocked' | 'unstable' | 'no_picture' | 'port' | 'no_mse' | 'no_websocket' | 'chosen';

/** What one way of watching reports. */
export type PlayerState =
  | { kind: 'connecting' }
  /** `delay`: seconds from the camera's picture at the box to the screen; null where the browser does not tell. */
  | { kind: 'playing'; width: number; height: number; delay: number | null; transcoded?: boolean }
  | { kind: 'waiting'; state: CameraStateName; reason: string }
  | { kind: 'unsupported'; mime: string }
  | { kind: 'lost'; reason: string }
  /** This way does not work here: take the next. */
  | { kind: 'failed'; why: Why };

export type LiveState =
  | Exclude<PlayerState, { kind: 'failed' } | { kind: 'playing' }>
  | { kind: 'playing'; width: number; height: number; delay: number | null; transport: Transport; why: Why | null };

export interface Player {
  destroy: () => void;
  /** Where the sound does not come with the picture anyway. */
  setSound?: (on: boolean) => void;
}

export type StreamKind = 'main' | 'sub';

export function streamPath(camera: string, stream: StreamKind, what: string): string {
  return `/api/streaming/cameras/${encodeURIComponent(camera)}/${what}?stream=${stream}`;
}
