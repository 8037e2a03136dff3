// Live video by LL-HLS: the browser's own player where it has one, else the parts of the playlist through MSE.
import { ApiError, respond } from '../api/client';
import type { Source } from './live-mse';
import { streamPath, type PlayerState, type StreamKind } from './live-state';
import { pause } from './socket';

/** What is used of a media playlist. */
export interface Playlist {
  /** Parts and whole segments in order, each named once. */
  pieces: Piece[];
  /** For the blocking reload. */
  next: { msn: number; part: number };
}

export interface Piece {
  uri: string;
  msn: number;
  init: string;
  /** A segment, not a part of one. */
  whole: boolean;
}

/** Pure. Reads a media playlist of the box. Segments that have parts are taken by their parts. */
export function parsePlaylist(text: string): Playlist {
  const pieces: Piece[] = [];
  let msn = 0;
  let init = '';
  let parts = 0;
  for (const line of text.split('\n')) {
    const uri = /URI="([^"]+)"/.exec(line)?.[1] ?? '';
    if (line.startsWith('#EXT-X-MEDIA-SEQUENCE:')) msn = Number(line.slice(line.indexOf(':') + 1));
    else if (line.startsWith('#EXT-X-MAP:')) init = uri;
    else if (line.startsWith('#EXT-X-PART:')) {
      pieces.push({ uri, msn, init, whole: false });
      parts += 1;
    } else if (line !== '' && !line.startsWith('#')) {
      if (parts === 0) pieces.push({ uri: line, msn, init, whole: true });
      msn += 1;
      parts = 0;
    }
  }
  return { pieces, next: { msn, part: parts } };
}

/** Pure. Where to begin: the newest segment, so that the first picture is a key frame. */
export function beginning(pieces: Piece[]): Piece[] {
  const last = pieces.at(-1)?.msn;
  return pieces.filter((piece) => piece.msn === last);
}

/** Pure. The variant of a multivariant playlist. */
export function parseVariant(text: string): { uri: string; codecs: string; width: number; height: number } | null {
  const found = /#EXT-X-STREAM-INF:([^\n]*)\n([^\n]+)/.exec(text);
  if (!found) return null;
  const [, attributes = '', uri = ''] = found;
  const size = /RESOLUTION=(\d+)x(\d+)/.exec(attributes);
  return { uri, codecs: /CODECS="([^"]+)"/.exec(attributes)?.[1] ?? '', width: Number(size?.[1] ?? 0), height: Number(size?.[2] ?? 0) };
}

export const hlsSource: Source = (camera, stream, handlers) => {
  const controller = new AbortController();
  const { signal } = controller;
  const over = (): boolean => signal.aborted;
  const base = new URL(streamPath(camera, stream, 'hls/index.m3u8'), location.href);
  const get = (uri: string | URL): Promise<Response> => respond(new URL(uri, base).href, { signal });

  async function follow(): Promise<void> {
    const variant = parseVariant(await (await get(base)).text());
    if (!variant) throw new ApiError(0, 'hls', 'The playlist names no stream.', '');
    const playlist = new URL(variant.uri, base);
    let init = '';
    let seen: string[] = [];
    let first = true;
    // The newest segment of which something was taken.
    let last = -1;
    for (;;) {
      const list = parsePlaylist(await (await get(playlist)).text());
      const fresh = first ? beginning(list.pieces) : list.pieces.filter((piece) => !seen.includes(piece.uri));
      seen = [...new Set([...seen, ...list.pieces.map((piece) => piece.uri)])].slice(-400);
      for (const piece of fresh) {
        // A segment that was taken by its parts comes again whole once they leave the playlist.
        if (piece.whole && piece.msn <= last) continue;
        last = piece.msn;
        if (piece.init !== init) {
          init = piece.init;
          handlers.onEvent({ type: 'init', mime: `video/mp4; codecs="${variant.codecs}"`, stream, width: variant.width, height: variant.height });
          handlers.onData(await (await get(init)).arrayBuffer());
        }
        handlers.onData(await (await get(piece.uri)).arrayBuffer());
      }
      first = false;
      playlist.searchParams.set('_HLS_msn', String(list.next.msn));
      playlist.searchParams.set('_HLS_part', String(list.next.part));
    }
  }

  void (async () => {
    for (let attempt = 0; !over(); attempt += 1) {
      const began = performance.now();
      try {
        await follow();
      } catch (error) {
        if (over()) return;
        const known = error instanceof ApiError ? error : null;
        if (known?.status === 503) handlers.onEvent({ type: 'waiting', state: 'streaming', reason: known.message });
        else handlers.onLost(known?.message ?? '');
        if (performance.now() - began > 30_000) attempt = 0;
        await new Promise((resolve) => setTimeout(resolve, pause(attempt, Math.random())));
      }
    }
  })();
  return () => controller.abort();
};

const HLS_MIME = 'application/vnd.apple.mpegurl';
const TICK_MS = 1000;

export function playsHls(video: HTMLVideoElement): boolean {
  return video.canPlayType(HLS_MIME) !== '';
}

/** Safari on phones without MSE. */
export class NativeHlsPlayer {
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly video: HTMLVideoElement,
    camera: string,
    stream: StreamKind,
    private readonly report: (state: PlayerState) => void,
  ) {
    video.src = streamPath(camera, stream, 'hls/index.m3u8');
    video.addEventListener('error', this.failed);
    this.timer = setInterval(() => this.tick(), TICK_MS);
    void video.play().catch(() => undefined);
  }

  destroy(): void {
    clearInterval(this.timer);
    this.video.removeEventListener('error', this.failed);
    this.video.removeAttribute('src');
    this.video.load();
  }

  private readonly failed = (): void => {
    this.report({ kind: 'lost', reason: this.video.error?.message ?? '' });
    const { src } = this.video;
    setTimeout(() => {
      if (this.video.src === src) this.video.load();
    }, TICK_MS);
  };

  private tick(): void {
    const { video } = this;
    if (video.readyState < 2) return;
    const start = (video as { getStartDate?: () => Date }).getStartDate?.().getTime();
    const known = start !== undefined && !Number.isNaN(start);
    const delay = known ? Math.max(0, (Date.now() - start) / 1000 - video.currentTime) : null;
    this.report({ kind: 'playing', width: video.videoWidth, height: video.videoHeight, delay });
  }
}
