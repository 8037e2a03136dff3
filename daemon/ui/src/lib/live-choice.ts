// Pure. Which ways of watching are tried, in which order: the fastest first.
import type { Transport, Why } from './live-state';

export interface Abilities {
  webrtc: boolean;
  /** Media Source Extensions. */
  mse: boolean;
  /** The <video> element plays HLS by itself. */
  nativeHls: boolean;
}

export type Chosen = Transport | 'auto';

export interface Way {
  transport: Transport;
  /** Why the ways before it are not taken. */
  why: Why | null;
}

/** `blocked`: why WebRTC did not work lately in this browser, where it did not. */
export function ways(can: Abilities, chosen: Chosen, blocked: Why | null): Way[] {
  const hls = can.mse || can.nativeHls;
  if (chosen !== 'auto') {
    const able = { webrtc: can.webrtc, mse: can.mse, hls }[chosen];
    if (able) return [{ transport: chosen, why: chosen === 'webrtc' ? null : 'chosen' }];
  }
  const order: Way[] = [];
  let why: Why | null = null;
  if (can.webrtc && blocked === null) order.push({ transport: 'webrtc', why });
  else why = blocked ?? 'no_webrtc';
  if (can.mse) order.push({ transport: 'mse', why });
  else why = 'no_mse';
  if (hls) order.push({ transport: 'hls', why });
  return order;
}

/** Whether a failure of WebRTC lies in the network or browser and not in the camera: then others need not try. */
export function blocksAll(why: Why): boolean {
  return why === 'blocked' || why === 'port';
}
