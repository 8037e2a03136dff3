// A live picture of one camera that says why when there is none.
import { useEffect, useRef, useState } from 'react';

import type { CameraStateName } from '../api/types';
import { useI18n } from '../i18n';
import { LivePlayer, type LiveState } from '../lib/live-player';
import { NoPictureIcon } from './icons';

export function LiveVideo({
  camera,
  stream,
  label,
  latency = false,
}: {
  camera: string;
  stream: 'main' | 'sub';
  label: string;
  latency?: boolean;
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
        <Overlay state={state} />
      )}
    </div>
  );
}

function Overlay({ state }: { state: Exclude<LiveState, { kind: 'playing' }> }) {
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
      return <Reason title={state.state === 'streaming' ? t('live.waiting') : t(`state.${state.state}`)} detail={state.reason} />;
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

/** A still picture, renewed while it is looked at; for tiles, where live video would cost too much. */
export function Still({ camera, state, label, stream }: { camera: string; state: CameraStateName | undefined; label: string; stream: 'main' | 'sub' }) {
  const { t } = useI18n();
  const [turn, setTurn] = useState(0);
  const [loaded, setLoaded] = useState(false);
  const streaming = state === 'streaming';
  useEffect(() => {
    if (!streaming) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) setTurn((n) => n + 1);
    }, 5000);
    return () => clearInterval(timer);
  }, [streaming]);
  return (
    <div className="video still">
      {streaming && (
        <img
          src={`/api/streaming/cameras/${encodeURIComponent(camera)}/snapshot.jpg?stream=${stream}&t=${turn}`}
          alt={label}
          hidden={!loaded}
          onLoad={() => setLoaded(true)}
          onError={() => setLoaded(false)}
        />
      )}
      {(!streaming || !loaded) && (
        <div className="overlay">
          <NoPictureIcon />
          <p>{t('cameras.no_picture')}</p>
        </div>
      )}
    </div>
  );
}
