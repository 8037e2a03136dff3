// Recordings of one camera and day: a bar of what exists, and a player for any stretch of it.
import { useEffect, useMemo, useRef, useState } from 'react';

import type { Camera, DetectionPage, PlaybackInfo, Span } from '../api/types';
import { Button, Empty, ErrorNote, Loading, Select } from '../components/basics';
import { codecName } from '../components/LiveVideo';
import { BackIcon, ForwardIcon } from '../components/icons';
import { PageHead } from '../components/Shell';
import { Timeline } from '../components/Timeline';
import { useI18n } from '../i18n';
import { query } from '../lib/detections';
import { navigate } from '../lib/router';
import { clock, dayBounds, dayValue } from '../lib/time';
import { mediaAt, recordedAt, toPlay, zoom } from '../lib/timeline';
import { useData } from '../lib/use-data';
import { useNow } from '../lib/use-now';

/** One request plays at most this much; then the next follows by itself. */
const STRETCH_US = 15 * 60_000_000;
/** The newest seconds may still be on their way to the disk. */
const EDGE_US = 4_000_000;
const HOUR_US = 3_600_000_000;
const SPEEDS = ['1', '2', '4', '8'] as const;

export function Recordings({ camera, at }: { camera: string | undefined; at: number | undefined }) {
  const { t } = useI18n();
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const list = cameras.data?.cameras;
  const chosen = camera ?? list?.[0]?.id;
  return (
    <>
      <PageHead title={t('recordings.title')}>
        {list && list.length > 0 && (
          <Select
            label={t('plates.camera')}
            hideLabel
            value={chosen ?? ''}
            options={list.map((c) => [c.id, c.name] as const)}
            onChange={(id) => navigate(`/recordings/${id}`, true)}
          />
        )}
      </PageHead>
      <ErrorNote error={cameras.error} />
      {cameras.loading && <Loading />}
      {list?.length === 0 && chosen === undefined && <Empty title={t('cameras.empty')} />}
      {chosen !== undefined && <Day key={`${chosen} ${at ?? ''}`} camera={chosen} at={at} />}
    </>
  );
}

function Day({ camera, at }: { camera: string; at: number | undefined }) {
  const { t, locale } = useI18n();
  const today = dayValue(useNow());
  const [day, setDay] = useState(() => dayValue(at ?? Date.now() * 1000));
  const [length, setLength] = useState<'day' | '6' | '1'>(at === undefined ? 'day' : '1');
  const [time, setTime] = useState<number | null>(at ?? null);
  const [wish, setWish] = useState<number | null>(at ?? null);
  const bounds = useMemo(() => dayBounds(day), [day]);
  const path = bounds && `/api/streaming/cameras/${encodeURIComponent(camera)}/recordings?from=${bounds.start}&to=${bounds.end}`;
  const recorded = useData<{ spans: Span[] }>(path, 10_000);
  const plates = useData<DetectionPage>(bounds && query({ text: '', similar: false, camera, from: bounds.start, to: bounds.end }, null, 200));
  const spans = useMemo(() => {
    const all = recorded.data?.spans ?? [];
    const main = all.filter((span) => span.stream === 'main');
    return main.length > 0 ? main : all;
  }, [recorded.data]);
  const stream = spans[0]?.stream ?? 'main';
  const moveDay = (days: number): void => {
    if (!bounds) return;
    const middle = (bounds.start + bounds.end) / 2;
    setDay(dayValue(middle + days * 24 * HOUR_US));
    setTime(null);
    setWish(null);
  };
  const latest = spans.at(-1)?.end;
  const window = bounds && (length === 'day' ? bounds : zoom(time ?? latest ?? bounds.start, Number(length) * HOUR_US, bounds));
  const marks = useMemo(() => plates.data?.detections.map((row) => row.best_at) ?? [], [plates.data]);
  return (
    <div className="recordings">
      <div className="day-bar">
        <Button kind="quiet" onClick={() => moveDay(-1)} aria-label={t('recordings.previous')}>
          <BackIcon />
        </Button>
        <input type="date" value={day} max={today} onChange={(event) => setDay(event.target.value)} aria-label={t('recordings.day')} />
        <Button kind="quiet" onClick={() => moveDay(1)} aria-label={t('recordings.next')} disabled={day >= today}>
          <ForwardIcon />
        </Button>
        <span className="grow" />
        <div className="segmented" role="group" aria-label={t('recordings.zoom')}>
          {(['day', '6', '1'] as const).map((key) => (
            <button key={key} type="button" aria-pressed={length === key} onClick={() => setLength(key)}>
              {key === 'day' ? t('recordings.day_zoom') : `${key} h`}
            </button>
          ))}
        </div>
      </div>
      {window && (
        <Timeline
          window={window}
          spans={spans}
          marks={marks}
          value={time}
          onPick={(picked) => {
            setTime(picked);
            setWish(picked);
          }}
        />
      )}
      <p className="meta timeline-note">
        {time !== null && clock(time, locale)}
        {time !== null && marks.length > 0 && ' · '}
        {marks.length > 0 && t('recordings.plates', { count: marks.length })}
      </p>
      <ErrorNote error={recorded.error} />
      {recorded.data?.spans.length === 0 && <Empty title={t('recordings.none')} />}
      {wish === null && spans.length > 0 && (
        <div className="player">
          <div className="video">
            <div className="overlay">
              <p>{t('recordings.pick')}</p>
            </div>
          </div>
        </div>
      )}
      {wish !== null && spans.length > 0 && <Player key={`${camera} ${wish}`} camera={camera} stream={stream} wish={wish} spans={spans} onTime={setTime} onWish={setWish} />}
    </div>
  );
}

function Player({
  camera,
  stream,
  wish,
  spans,
  onTime,
  onWish,
}: {
  camera: string;
  stream: 'main' | 'sub';
  wish: number;
  spans: Span[];
  onTime: (time: number) => void;
  onWish: (time: number) => void;
}) {
  const { t } = useI18n();
  // What is played is decided once: spans grow while one watches.
  const [query] = useState(() => {
    const edge = Date.now() * 1000 - EDGE_US;
    const found = toPlay(wish, spans, STRETCH_US);
    if (!found) return null;
    const to = Math.max(found.start + 1_000_000, Math.min(found.start + STRETCH_US, edge));
    return `from=${found.start}&to=${to}&stream=${stream}`;
  });
  const base = `/api/streaming/cameras/${encodeURIComponent(camera)}/playback`;
  const info = useData<PlaybackInfo>(query && `${base}?${query}`);
  if (query === null) return <p className="note">{t('recordings.gap')}</p>;
  if (info.error !== undefined) return <ErrorNote error={info.error} />;
  if (!info.data) return <Loading />;
  if (document.createElement('video').canPlayType(info.data.mime) === '') {
    return <p className="note bad">{t('recordings.unplayable', { codec: codecName(info.data.mime) })}</p>;
  }
  return <Film source={`${base}.mp4?${query}`} info={info.data} wish={wish} spans={spans} onTime={onTime} onWish={onWish} />;
}

function Film({
  source,
  info,
  wish,
  spans,
  onTime,
  onWish,
}: {
  source: string;
  info: PlaybackInfo;
  wish: number;
  spans: Span[];
  onTime: (time: number) => void;
  onWish: (time: number) => void;
}) {
  const { t } = useI18n();
  const video = useRef<HTMLVideoElement>(null);
  const [failed, setFailed] = useState(false);
  const [speed, setSpeed] = useState<(typeof SPEEDS)[number]>('1');
  useEffect(() => {
    if (video.current) video.current.playbackRate = Number(speed);
  }, [speed]);
  const now = (): number => recordedAt((video.current?.currentTime ?? 0) * 1_000_000, info.stretches) ?? wish;
  const jump = (seconds: number): void => {
    const target = now() + seconds * 1_000_000;
    const media = mediaAt(target, info.stretches);
    if (video.current && media !== null && target >= info.start) video.current.currentTime = media / 1_000_000;
    else onWish(target);
  };
  const follow = (): void => {
    const next = info.next ?? info.end;
    if (toPlay(next, spans, STRETCH_US) && next < Date.now() * 1000 - 2 * EDGE_US) onWish(next);
  };
  return (
    <div className="player">
      {failed && (
        <p className="note bad" role="alert">
          {t('recordings.failed')}
        </p>
      )}
      <div className="video recorded" hidden={failed}>
        <video
          ref={video}
          src={source}
          controls
          autoPlay
          muted
          playsInline
          onTimeUpdate={() => onTime(now())}
          onError={() => setFailed(true)}
          onLoadedMetadata={(event) => {
            event.currentTarget.playbackRate = Number(speed);
            // The file begins at the key frame before the wish.
            const media = mediaAt(wish, info.stretches);
            if (media !== null && media > 0) event.currentTarget.currentTime = media / 1_000_000;
          }}
          onEnded={follow}
        />
      </div>
      <div className="live-bar">
        <Button onClick={() => jump(-10)}>{t('recordings.back10')}</Button>
        <Button onClick={() => jump(10)}>{t('recordings.forward10')}</Button>
        <span className="grow" />
        <div className="segmented" role="group" aria-label={t('recordings.speed')}>
          {SPEEDS.map((key) => (
            <button key={key} type="button" aria-pressed={speed === key} onClick={() => setSpeed(key)}>
              {key}×
            </button>
          ))}
        </div>
      </div>
    </div>
  );
}
