// One camera of the recordings page: its video, or why there is none at this time.
import { useCallback } from 'react';

import { useI18n } from '../i18n';
import { clock, dayAndClock } from '../lib/time';
import type { Track } from '../lib/players';
import { codecName } from './LiveVideo';

export function RecordedVideo({ track, name, time, single, muted }: { track: Track; name: string; time: number; single: boolean; muted: boolean }) {
  const { t, locale } = useI18n();
  const attach = useCallback((video: HTMLVideoElement | null) => track.attach(video), [track]);
  const covered = track.covers(time);
  const now = track.now();
  const text =
    track.state === 'failed'
      ? t('recordings.failed')
      : track.state === 'unplayable'
        ? t('recordings.unplayable', { codec: codecName(track.info?.mime ?? '') })
        : track.state === 'gap' || (track.state === 'ready' && !covered && now !== null && Math.abs(now - time) > 1_000_000)
          ? t('recordings.gap')
          : '';
  return (
    <div className="video recorded" data-state={track.state} data-time={now === null ? '' : Math.round(now)}>
      <video
        ref={attach}
        src={track.source === '' ? undefined : track.source}
        muted={muted}
        playsInline
        preload="auto"
        onLoadedMetadata={() => track.loaded()}
        onError={() => track.failed()}
        aria-label={name}
      />
      {text !== '' && (
        <div className="overlay">
          <p>{text}</p>
        </div>
      )}
      {track.state === 'loading' && <span className="spinner video-busy" aria-hidden="true" />}
      <span className="video-name">
        {!single && <strong>{name}</strong>}
        {now !== null && covered && <time>{single ? dayAndClock(now, locale) : clock(now, locale)}</time>}
      </span>
    </div>
  );
}
