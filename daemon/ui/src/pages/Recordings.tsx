// Recordings of up to four cameras on one timeline and one clock. The address holds cameras and time.
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';

import { request } from '../api/client';
import type { Camera, EvidenceLock } from '../api/types';
import { Button, Empty, ErrorNote, Loading, Select } from '../components/basics';
import { CloseIcon } from '../components/icons';
import { RecordedVideo } from '../components/RecordedVideo';
import { PageHead } from '../components/Shell';
import { TimelineView } from '../components/timeline/TimelineView';
import { useI18n } from '../i18n';
import { Players } from '../lib/players';
import { navigate } from '../lib/router';
import { HOUR, MINUTE, SECOND, around, length, limited, zoomed, type Span, type Window } from '../lib/timeline';
import { useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { useTimeline } from '../lib/use-timeline';
import { useCoverage } from '../lib/use-coverage';
import { ExportCard } from './recordings/ExportCard';
import { Locks } from './recordings/Locks';
import { Transport } from './recordings/Transport';
import { useKeys } from './recordings/keys';

const CAMERAS_MAX = 4;
/** What led here wants to see how it came about. */
const LEAD = 3 * SECOND;
const RANGES: [string, number][] = [
  ['1 min', MINUTE],
  ['10 min', 10 * MINUTE],
  ['1 h', HOUR],
  ['24 h', 24 * HOUR],
  ['7 d', 7 * 24 * HOUR],
  ['30 d', 30 * 24 * HOUR],
];

export function Recordings({ camera, at }: { camera: string | undefined; at: number | undefined }) {
  const { t } = useI18n();
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const list = cameras.data?.cameras;
  const chosen = useMemo(() => (camera ?? list?.[0]?.id ?? '').split(',').filter(Boolean).slice(0, CAMERAS_MAX), [camera, list]);
  const named = chosen.map((id) => ({ id, name: list?.find((c) => c.id === id)?.name ?? id }));
  const others = (list ?? []).filter((c) => !chosen.includes(c.id));
  const show = (ids: string[]): void => navigate(`/recordings/${ids.join(',')}${location.search}`, true);
  const more = others.length > 0 && chosen.length < CAMERAS_MAX && (
    <Select
      label={t('recordings.add_camera')}
      hideLabel
      value=""
      options={[['', t('recordings.add_camera')] as const, ...others.map((c) => [c.id, c.name] as const)]}
      onChange={(id) => id !== '' && show([...chosen, id])}
    />
  );
  return (
    <>
      <PageHead title={t('recordings.title')}>
        {named.length === 1 && list && (
          <Select label={t('plates.camera')} hideLabel value={chosen[0] ?? ''} options={list.map((c) => [c.id, c.name] as const)} onChange={(id) => show([id])} />
        )}
      </PageHead>
      {named.length > 1 && (
        <ul className="chips wrap camera-chips">
          {named.map(({ id, name }) => (
            <li key={id} className="chip">
              {name}
              <button type="button" aria-label={t('recordings.remove_camera', { name })} onClick={() => show(chosen.filter((other) => other !== id))}>
                <CloseIcon />
              </button>
            </li>
          ))}
        </ul>
      )}
      <ErrorNote error={cameras.error} />
      {cameras.loading && chosen.length === 0 && <Loading />}
      {list?.length === 0 && chosen.length === 0 && <Empty title={t('cameras.empty')} />}
      {chosen.length > 0 && <Watch cameras={named} at={at} more={more} />}
    </>
  );
}

function Watch({ cameras, at, more }: { cameras: { id: string; name: string }[]; at: number | undefined; more: ReactNode }) {
  const { t } = useI18n();
  const mayExport = useMay('operator');
  const stage = useRef<HTMLDivElement>(null);
  const [players] = useState(() => new Players(at ?? Date.now() * 1000));
  const version = useSyncExternalStore(players.subscribe, players.snapshot);
  const [window, setWindow] = useState<Window>(() => (at === undefined ? limited({ start: Date.now() * 1000 - 24 * HOUR, end: Date.now() * 1000 }, Date.now() * 1000) : around(at, HOUR, Date.now() * 1000)));
  const [started, setStarted] = useState(false);
  const [selection, setSelection] = useState<Span | null>(null);
  const [scrub, setScrub] = useState<number | null>(null);
  const [note, setNote] = useState<'none_next' | 'none_previous' | null>(null);
  const written = useRef(at);
  const ids = cameras.map(({ id }) => id).join(',');
  const { data, error } = useTimeline(ids.split(','), window);
  const lacking = useCoverage(data?.cameras ?? [], window);
  const locks = useData<{ locks: EvidenceLock[] }>('/api/streaming/locks', 60_000);
  const kept = useMemo(() => locks.data?.locks ?? [], [locks.data]);
  const drawn = useMemo(() => kept.map((lock) => ({ camera: lock.camera, start: lock.from, end: lock.to })), [kept]);
  const begun = started || at !== undefined;
  const value = scrub ?? (begun ? players.time : null);

  useEffect(() => {
    players.setCameras(ids.split(','));
    if (players.tracks.some((track) => track.state !== 'empty')) players.seek(players.time);
    players.start();
    return () => players.stop();
  }, [players, ids]);

  const seek = useCallback(
    (time: number) => {
      setStarted(true);
      setNote(null);
      players.seek(time);
      players.play();
    },
    [players],
  );
  // An address that somebody opened or went back to; not the one that this page wrote itself.
  useEffect(() => {
    if (at === undefined || (at === written.current && players.tracks.some((track) => track.state !== 'empty'))) return;
    written.current = at;
    players.seek(at);
    players.play();
  }, [at, players]);
  // The address follows, so that it can be copied, but not with each picture.
  const settled = begun ? Math.floor(players.time / SECOND / (players.playing ? 10 : 1)) : null;
  useEffect(() => {
    if (settled === null || players.tracks.every((track) => track.state === 'empty')) return;
    const time = Math.round(players.time);
    written.current = time;
    navigate(`/recordings/${ids}?at=${time}`, true);
  }, [settled, ids, players]);
  // What plays stays in view.
  const { time } = players;
  useEffect(() => {
    if (!players.playing || scrub !== null) return;
    const share = (time - window.start) / length(window);
    if (share > 0.95 && share < 1.3) setWindow(limited({ start: time - 0.1 * length(window), end: time + 0.9 * length(window) }, Date.now() * 1000)); // eslint-disable-line react-hooks/set-state-in-effect
  }, [version]); // eslint-disable-line react-hooks/exhaustive-deps

  const jump = useCallback(
    (next: number) => {
      seek(next);
      setWindow((old) => (next < old.start || next > old.end ? around(next, length(old), Date.now() * 1000) : old));
    },
    [seek],
  );
  const passage = (direction: 'next' | 'previous'): void => {
    const from = Math.round(direction === 'next' ? players.time + LEAD + SECOND / 2 : players.time + LEAD - SECOND / 2);
    void request<{ passage: { at: number } | null }>(`/api/streaming/timeline/passage?cameras=${ids}&at=${from}&direction=${direction}`).then((answer) => {
      if (answer.passage) jump(answer.passage.at - LEAD);
      else setNote(direction === 'next' ? 'none_next' : 'none_previous');
    });
  };
  const zoom = (factor: number): void => setWindow(zoomed(window, factor, value !== null && value > window.start && value < window.end ? value : (window.start + window.end) / 2, Date.now() * 1000));
  const mark = (which: 'start' | 'end'): void => {
    const here = players.time;
    const old = selection ?? { start: here, end: here + MINUTE };
    const next = { ...old, [which]: here };
    setSelection(next.end > next.start ? next : which === 'start' ? { start: here, end: here + MINUTE } : { start: here - MINUTE, end: here });
  };
  const onScrub = (to: number, done: boolean): void => {
    setScrub(done ? null : to);
    if (done) jump(to);
  };
  useKeys({
    ' ': () => (players.playing ? players.pause() : begun ? players.play() : jump(window.end - 30 * SECOND)),
    ',': () => players.step(-1),
    '.': () => players.step(1),
    n: () => passage('next'),
    p: () => passage('previous'),
    i: () => mayExport && mark('start'),
    o: () => mayExport && mark('end'),
  });
  const nothing = data?.cameras.every((camera) => camera.spans.length === 0) === true;
  return (
    <div className="recordings">
      <div ref={stage} className={`stage of-${cameras.length}`}>
        {begun ? (
          players.tracks.map((track, index) => (
            <RecordedVideo key={track.camera} track={track} name={cameras.find(({ id }) => id === track.camera)?.name ?? track.camera} time={players.time} single={cameras.length === 1} muted={players.muted || index > 0} />
          ))
        ) : (
          <div className="video">
            <div className="overlay">
              <p>{nothing ? t('recordings.none') : t('recordings.pick')}</p>
            </div>
          </div>
        )}
      </div>
      <Transport players={players} onPassage={passage} onSeek={jump} onZoom={zoom} onFullscreen={() => void stage.current?.requestFullscreen()} />
      <TimelineView
        cameras={cameras}
        data={data}
        window={window}
        value={value}
        selection={selection}
        locks={drawn}
        lacking={lacking}
        onWindow={setWindow}
        onPick={jump}
        onScrub={onScrub}
        onSelect={(span) => mayExport && setSelection(span)}
        onPassage={(id) => navigate(`/plates/${id}`)}
      />
      <div className="below-timeline">
        <div className="segmented" role="group" aria-label={t('recordings.zoom')}>
          {RANGES.map(([label, size]) => (
            <button
              key={label}
              type="button"
              aria-pressed={Math.abs(length(window) / size - 1) < 0.02}
              onClick={() => setWindow(around(value !== null && value >= window.start && value <= window.end ? value : (window.start + Math.min(window.end, Date.now() * 1000)) / 2, size, Date.now() * 1000))}
            >
              {label}
            </button>
          ))}
        </div>
        <Button kind="quiet" onClick={() => setWindow(limited({ start: Date.now() * 1000 - length(window), end: Date.now() * 1000 }, Date.now() * 1000))}>
          {t('recordings.now')}
        </Button>
        <span className="meta grow" role="status">
          {players.keys ? t('recordings.keys') : players.atEdge ? t('recordings.edge') : note ? t(`recordings.${note}`) : ''}
        </span>
        {more}
        {mayExport && begun && (
          <>
            <Button onClick={() => mark('start')} title="I">
              {t('recordings.mark_start')}
            </Button>
            <Button onClick={() => mark('end')} title="O">
              {t('recordings.mark_end')}
            </Button>
          </>
        )}
      </div>
      <ErrorNote error={error} />
      {selection && <ExportCard cameras={cameras} span={selection} onSpan={setSelection} onClose={() => setSelection(null)} onLocked={locks.reload} />}
      <Locks locks={kept} cameras={cameras} window={window} onChange={locks.reload} />
    </div>
  );
}
