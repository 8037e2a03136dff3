// A live picture of one camera that says why when there is none.
import { useEffect, useRef, useState, type ReactNode } from 'react';

import { useI18n } from '../i18n';
import type { Chosen } from '../lib/live-choice';
import { LivePlayer } from '../lib/live-player';
import type { LiveState } from '../lib/live-state';
import { Button } from './basics';
import { NoPictureIcon } from './icons';

export function LiveVideo({
  camera,
  stream,
  label,
  chosen = 'auto',
  sound = false,
  detail = 'none',
  reason,
  onPlaying,
  onOther,
}: {
  camera: string;
  stream: 'main' | 'sub';
  label: string;
  chosen?: Chosen;
  /** Whether the camera is heard. */
  sound?: boolean;
  /** What is told over the picture: nothing, a delay of a second and more, or always and also how it comes and why not faster. */
  detail?: 'none' | 'delay' | 'all';
  /** Why the camera sends nothing, in the reader's language; else it is told in the box's words. */
  reason?: string | undefined;
  /** Given, only the picture is shown: whoever asks shows something else while there is none. */
  onPlaying?: (playing: boolean) => void;
  /** Shows the camera's other stream, where this one cannot be played. */
  onOther?: (() => void) | undefined;
}) {
  const video = useRef<HTMLVideoElement>(null);
  const running = useRef<LivePlayer | null>(null);
  const heard = useRef(sound);
  const [state, setState] = useState<LiveState>({ kind: 'connecting' });
  useEffect(() => {
    const element = video.current;
    if (!element) return undefined;
    // A hidden page stops watching, so that a forgotten tab costs the box nothing.
    const follow = (): void => {
      if (document.hidden) {
        running.current?.destroy();
        running.current = null;
      } else {
        running.current ??= new LivePlayer(element, camera, stream, chosen, heard.current, setState);
      }
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      running.current?.destroy();
      running.current = null;
    };
  }, [camera, stream, chosen]);
  useEffect(() => {
    heard.current = sound;
    running.current?.setSound(sound);
  }, [sound]);
  const playing = state.kind === 'playing';
  useEffect(() => onPlaying?.(playing), [playing, onPlaying]);
  return (
    <div className={`video ${state.kind}`} data-live={state.kind} data-transport={playing ? state.transport : undefined}>
      <video ref={video} aria-label={label} muted playsInline />
      {state.kind === 'playing'
        ? detail !== 'none' && <Mark state={state} all={detail === 'all'} />
        : !onPlaying && <Overlay state={state} reason={reason} onOther={onOther} />}
    </div>
  );
}

/** The clocks of box and browser are not compared better than this. */
const LEAST_S = 0.1;
/** From here on a tile tells that it is late. */
const LATE_S = 1;

/** How the picture comes, how late it is, and why not faster. */
function Mark({ state, all }: { state: Extract<LiveState, { kind: 'playing' }>; all: boolean }) {
  const { t, locale } = useI18n();
  const { delay, transport, why } = state;
  const seconds = (value: number): string => value.toLocaleString(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const late = delay === null ? null : t('live.latency', { seconds: delay < LEAST_S ? `< ${seconds(LEAST_S)}` : seconds(delay) });
  const name = t(`live.transport.${transport}`);
  // A wall of figures that are all well tells nothing.
  if (!all) return late !== null && delay !== null && delay >= LATE_S && <span className="latency">{late}</span>;
  return (
    <span className="latency" data-delay={delay?.toFixed(3)}>
      {late ? `${name} · ${late}` : name}
      {why && why !== 'chosen' && <span className="why">{t(`live.why.${why}`)}</span>}
    </span>
  );
}

function Overlay({ state, reason, onOther }: { state: Exclude<LiveState, { kind: 'playing' }>; reason: string | undefined; onOther: (() => void) | undefined }) {
  const { t } = useI18n();
  switch (state.kind) {
    case 'connecting':
      return (
        <div className="overlay" role="status">
          <span className="spinner" aria-hidden="true" />
          <p>{t('live.connecting')}</p>
        </div>
      );
    case 'waiting':
      return <Reason title={state.state === 'streaming' ? t('live.waiting') : t(`state.${state.state}`)} detail={reason ?? state.reason} />;
    case 'unsupported':
      return (
        <Reason title={t('live.unsupported', { codec: codecName(state.mime) })} detail={t('live.unsupported_hint')}>
          {onOther && <Button onClick={onOther}>{t('live.watch_other')}</Button>}
        </Reason>
      );
    case 'lost':
      return <Reason title={t('live.lost')} detail={state.reason} />;
  }
}

function Reason({ title, detail, children }: { title: string; detail: string; children?: ReactNode }) {
  return (
    <div className="overlay" role="status">
      <NoPictureIcon />
      <p>{title}</p>
      {detail !== '' && <p className="detail">{detail}</p>}
      {children}
    </div>
  );
}

/** The name people know for the codec in a MIME type. */
export function codecName(mime: string): string {
  if (/hvc1|hev1/i.test(mime)) return 'H.265';
  if (/avc1/i.test(mime)) return 'H.264';
  if (/jpeg|mp4v/i.test(mime)) return 'MJPEG';
  return mime === '' ? 'HLS' : mime;
}
