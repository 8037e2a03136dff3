// A WebSocket that comes back: growing pauses with jitter, a fresh session when the old one has ended.
import { renew, socketUrl } from '../api/client';

const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 15_000;
/** The close code for "log in again" (HTTP 401 + 4000). */
const UNAUTHORISED = 4401;

/** Pure. The pause before attempt `n` (from 0); `random` is in 0..1. */
export function pause(attempt: number, random: number): number {
  const full = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(attempt, 10));
  return full / 2 + (full / 2) * random;
}

export interface SocketHandlers {
  onOpen?: () => void;
  onText: (text: string) => void;
  onBinary?: (data: ArrayBuffer) => void;
  /** The connection was lost; `reason` is what the box said, if anything. Another attempt follows. */
  onLost?: (reason: string) => void;
}

/** Opens `path` and keeps it open until the returned function is called. */
export function keepOpen(path: string, handlers: SocketHandlers): () => void {
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;
  let closed = false;

  const connect = (): void => {
    socket = new WebSocket(socketUrl(path));
    socket.binaryType = 'arraybuffer';
    let opened = false;
    socket.onopen = () => {
      opened = true;
      handlers.onOpen?.();
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      attempt = 0;
      if (typeof event.data === 'string') handlers.onText(event.data);
      else handlers.onBinary?.(event.data);
    };
    socket.onclose = (event) => {
      if (closed) return;
      handlers.onLost?.(event.reason);
      const again = (): void => {
        if (closed) return;
        timer = setTimeout(connect, pause(attempt, Math.random()));
        attempt += 1;
      };
      // A handshake refused for its session looks like any failure, so the session is renewed in both cases.
      if (!opened || event.code === UNAUTHORISED) void renew().then(again);
      else again();
    };
  };
  connect();
  return () => {
    closed = true;
    clearTimeout(timer);
    socket?.close();
  };
}
