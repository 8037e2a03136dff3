// A live picture of one camera that says why when there is none.
import { useEffect, useRef, useState } from 'react';

import { useI18n } from '../i18n';
import { LivePlayer, type LiveState } from '../lib/live-player';
import { NoPictureIcon } from './icons';

export function LiveVideo({
  camera,
  stream,
  label,
  latency = false,
  reason,
  onPlaying,
}: {
  camera: string;
  stream: 'main' | 'sub';
  label: string;
  latency?: boolean;
  /** Why the camera sends nothing, in the reader's language; else it is told in the box's words. */
  reason?: string | undefined;
  /** Given, only the picture is shown: whoever asks shows something else while there is none. */
  onPlaying?: (playing: boolean) => void;
}) {
  const { t, locale } = useI18n();
  const video = useRef<HTMLVideoElement>(null);
  const [state, setState] = useState<LiveState>({ kind: 'connecting' });
  useEffect(() => {
    const element = video.current;
    if (!element) return undefined;
    // A hidden page stops watching, so that a forgotten tab costs the box nothing.
    let player: LivePlayer | null = null;
    const follow = (): void => {
      if (document.hidden) {
        player?.destroy();
        player = null;
      } else {
        player ??= new LivePlayer(element, `/api/streaming/cameras/${encodeURIComponent(camera)}/live?stream=${stream}`, setState);
      }
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      player?.destroy();
    };
  }, [camera, stream]);
  const playing = state.kind === 'playing';
  useEffect(() => onPlaying?.(playing), [playing, onPlaying]);
  return (
    <div className={`video ${state.kind}`} data-live={state.kind}>
      <video ref={video} aria-label={label} muted playsInline />
      {state.kind === 'playing' ? (
        latency && (
          <span className="latency">
            {t('live.latency', { seconds: state.latency.toLocaleString(locale, { maximumFractionDigits: 1 }) })}
          </span>
        )
      ) : (
        !onPlaying && <Overlay state={state} reason={reason} />
      )}
    </div>
  );
}

function Overlay({ state, reason }: { state: Exclude<LiveState, { kind: 'playing' }>; reason: string | undefined }) {
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
      return <Reason title={t('live.unsupported', { codec: codecName(state.mime) })} detail={t('live.unsupported_hint')} />;
    case 'lost':
      return <Reason title={t('live.lost')} detail={state.reason} />;
  }
}

function Reason({ title, detail }: { title: string; detail: string }) {
  return (
    <div className="overlay" role="status">
      <NoPictureIcon />
      <p>{title}</p>
      {detail !== '' && <p className="detail">{detail}</p>}
    </div>
  );
}

/** The name people know for the codec in a MIME type. */
export function codecName(mime: string): string {
  if (/hvc1|hev1/i.test(mime)) return 'H.265';
  if (/avc1/i.test(mime)) return 'H.264';
  if (/jpeg|mp4v/i.test(mime)) return 'MJPEG';
  return mime;
}
