// Plates, newest first: they appear by themselves; a part, a wildcard or a plate that looks alike finds them again.
import { useEffect, useMemo, useRef, useState } from 'react';

import { request } from '../api/client';
import type { Camera, Detection, DetectionPage } from '../api/types';
import { Button, Confidence, Empty, ErrorNote, Link, Loading, Plate, Select } from '../components/basics';
import { SearchIcon } from '../components/icons';
import { Score, Traits } from '../components/Passage';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { appended, fits, merge, query, ranked, withNew, type Filter } from '../lib/detections';
import { listen } from '../lib/events';
import { isWildcard, searchText } from '../lib/plate';
import { brief, dayBounds } from '../lib/time';
import { useData, useDebounced } from '../lib/use-data';
import { useNow } from '../lib/use-now';

const PAGE = 48;

export function Plates({ search }: { search: string }) {
  const { t } = useI18n();
  const [text, setText] = useState(search);
  const [similar, setSimilar] = useState(false);
  const [camera, setCamera] = useState('');
  const [day, setDay] = useState('');
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const settled = useDebounced(searchText(text), 250);
  const filter = useMemo<Filter>(() => {
    const bounds = dayBounds(day);
    return { text: settled, similar: similar && !isWildcard(settled), camera, from: bounds?.start ?? null, to: bounds?.end ?? null };
  }, [settled, similar, camera, day]);
  const names = new Map(cameras.data?.cameras.map((c) => [c.id, c.name]));
  const list = useDetections(filter);
  const filtered = filter.text !== '' || filter.camera !== '' || filter.from !== null;
  return (
    <>
      <PageHead title={t('plates.title')}>
        {!ranked(filter) && (
          <span className={`live-mark ${list.live ? 'on' : ''}`} role="status">
            <span className="dot" aria-hidden="true" />
            {t(list.live ? 'plates.live_on' : 'plates.live_off')}
          </span>
        )}
      </PageHead>
      <search className="filters">
        <div className="search-box">
          <SearchIcon />
          <input
            type="search"
            value={text}
            onChange={(event) => setText(event.target.value)}
            placeholder={t('plates.search')}
            aria-label={t('plates.search')}
            autoCapitalize="characters"
            autoComplete="off"
            spellCheck={false}
          />
        </div>
        <Select
          label={t('plates.camera')}
          hideLabel
          value={camera}
          options={[['', `${t('plates.camera')}: ${t('common.all')}`], ...(cameras.data?.cameras ?? []).map((c) => [c.id, c.name] as const)]}
          onChange={setCamera}
        />
        <input type="date" value={day} onChange={(event) => setDay(event.target.value)} aria-label={t('plates.day')} />
      </search>
      <div className="search-mode">
        <div className="segmented" role="group" aria-label={t('plates.match')}>
          <button type="button" aria-pressed={!similar} onClick={() => setSimilar(false)}>
            {t('plates.match.part')}
          </button>
          <button type="button" aria-pressed={similar} onClick={() => setSimilar(true)}>
            {t('plates.match.similar')}
          </button>
        </div>
        <p className="meta">{t(similar ? 'plates.match.similar_hint' : 'plates.match.part_hint')}</p>
      </div>
      <ErrorNote error={list.error} />
      {list.rows === null && list.error === undefined && <Loading />}
      {list.rows?.length === 0 && <Empty title={t(list.next !== null ? 'plates.none_yet' : filtered ? 'plates.empty' : 'plates.empty_all')} />}
      <ul className="plates">
        {list.rows?.map((row) => <Row key={row.id} row={row} camera={names.get(row.camera) ?? row.camera} searched={filter.text} fresh={list.fresh.has(row.id)} />)}
      </ul>
      {list.next !== null && (
        <div className="more">
          <Button onClick={list.more} busy={list.busy}>
            {t('common.more')}
          </Button>
        </div>
      )}
    </>
  );
}

function Row({ row, camera, searched, fresh }: { row: Detection; camera: string; searched: string; fresh: boolean }) {
  const { t, locale } = useI18n();
  const now = useNow();
  return (
    <li className={`card sighting ${fresh ? 'fresh' : ''}`} data-plate={row.plate}>
      <Link to={`/plates/${row.id}`} className="sighting-link">
        <div className="crop">
          {row.has_crop && <img src={`/api/ai/lpr/detections/${row.id}/crop.jpg`} alt={t('plates.crop', { plate: row.plate })} loading="lazy" decoding="async" />}
        </div>
        <div className="sighting-body">
          <Plate text={row.plate} layout={row.layout} category={row.category} size="small" />
          <Traits row={row} searched={searched} />
          <span className="meta">{camera}</span>
          <span className="meta">
            <time dateTime={new Date(row.best_at / 1000).toISOString()}>{brief(row.best_at, now, locale)}</time>
            {row.score === undefined ? <Confidence value={row.confidence} /> : <Score value={row.score} />}
          </span>
        </div>
      </Link>
    </li>
  );
}

interface Detections {
  rows: Detection[] | null;
  next: string | null;
  error: unknown;
  live: boolean;
  busy: boolean;
  /** What came by the socket since the list was opened. */
  fresh: Set<string>;
  more: () => void;
}

/** The list for a filter, kept up to date by the box. */
function useDetections(filter: Filter): Detections {
  const [page, setPage] = useState<{ filter: Filter; rows: Detection[]; next: string | null } | null>(null);
  const [error, setError] = useState<unknown>(undefined);
  const [live, setLive] = useState(false);
  const [busy, setBusy] = useState(false);
  const [fresh, setFresh] = useState<Set<string>>(new Set());
  const [turn, setTurn] = useState(0);
  const current = useRef(filter);
  useEffect(() => {
    current.current = filter;
    const controller = new AbortController();
    request<DetectionPage>(query(filter, null, PAGE), { signal: controller.signal })
      .then(({ detections, next }) => {
        // Rows that came by the socket meanwhile must stay; a ranking is read as a whole.
        setPage((old) => ({ filter, next, rows: old?.filter === filter && !ranked(filter) ? merge(old.rows, detections) : detections }));
        setError(undefined);
      })
      .catch((caught: unknown) => {
        if (!controller.signal.aborted) setError(caught);
      });
    return () => controller.abort();
  }, [filter, turn]);
  useEffect(
    () =>
      listen({
        onOpen: () => {
          setLive(true);
          // Whatever was stored while the socket was away is in the list again.
          setTurn((n) => n + 1);
        },
        onLost: () => setLive(false),
        onEvent: (event) => {
          if (event.type === 'missed') setTurn((n) => n + 1);
          if (event.type !== 'detection' || !fits(event.detection, current.current)) return;
          setFresh((old) => new Set(old).add(event.detection.id));
          setPage((old) => (old ? { ...old, rows: withNew(old.rows, event.detection) } : old));
        },
      }),
    [],
  );
  const shown = page?.filter === filter ? page : null;
  const more = (): void => {
    if (!shown?.next || busy) return;
    setBusy(true);
    request<DetectionPage>(query(filter, shown.next, PAGE))
      .then(({ detections, next }) => setPage((old) => (old?.filter === filter ? { filter, next, rows: ranked(filter) ? appended(old.rows, detections) : merge(old.rows, detections) } : old)))
      .catch(setError)
      .finally(() => setBusy(false));
  };
  // While a new filter loads, the old rows stay visible instead of flashing away.
  return { rows: (shown ?? page)?.rows ?? null, next: shown?.next ?? null, error, live, busy, fresh, more };
}
