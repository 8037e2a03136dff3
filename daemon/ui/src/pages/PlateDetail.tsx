// One passage: the frame with the plate marked, the clip, what else the reader considered.
import { useEffect, useState } from 'react';

import type { Camera, Detection } from '../api/types';
import { Confidence, ErrorNote, Link, Loading, Plate } from '../components/basics';
import { BackIcon } from '../components/icons';
import { useTrait } from '../components/Passage';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { listen } from '../lib/events';
import { twin } from '../lib/plate';
import { clock, dayAndClock, percent } from '../lib/time';
import { useData } from '../lib/use-data';

export function PlateDetail({ id }: { id: string }) {
  const { t, locale } = useI18n();
  const detail = useData<Detection>(`/api/ai/lpr/detections/${encodeURIComponent(id)}`);
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const { reload } = detail;
  const waiting = detail.data?.clip === 'pending';
  useEffect(() => {
    if (!waiting) return undefined;
    return listen({
      onEvent: (event) => {
        if (event.type === 'missed' || (event.type === 'clip' && event.id === id)) reload();
      },
    });
  }, [waiting, id, reload]);
  const row = detail.data;
  const name = cameras.data?.cameras.find((c) => c.id === row?.camera)?.name ?? row?.camera ?? '';
  const trait = useTrait();
  const other = row ? twin(row.plate) : null;
  return (
    <>
      <PageHead
        title={t('plates.title')}
        back={
          <Link to="/plates" className="button quiet" label={t('common.back')}>
            <BackIcon />
          </Link>
        }
      />
      <ErrorNote error={detail.error} />
      {detail.loading && <Loading />}
      {row && (
        <div className="plate-page">
          <Evidence row={row} />
          <aside className="card pad">
            <Plate text={row.plate} layout={row.layout} category={row.category} size="large" />
            {other !== null && <p className="meta same-vehicle">{t('plates.twin', { plate: other })}</p>}
            {row.single && <p className="note">{t('plates.single_hint')}</p>}
            {row.has_crop && <img className="crop-large" src={`/api/ai/lpr/detections/${row.id}/crop.jpg`} alt={t('plates.crop', { plate: row.plate })} />}
            <dl className="facts">
              <Fact name={t('plates.confidence')}>
                <Confidence value={row.confidence} />
              </Fact>
              <Fact name={t('plates.camera')}>
                <Link to={`/cameras/${row.camera}`}>{name}</Link>
              </Fact>
              <Fact name={t('plates.seen')}>
                {dayAndClock(row.first_seen, locale)} – {clock(row.last_seen, locale)}
              </Fact>
              {row.direction !== null && <Fact name={t('plates.direction')}>{trait('direction', row.direction)}</Fact>}
              <Fact name={t('plates.layout')}>{trait('layout', row.layout)}</Fact>
              <Fact name={t('plates.category')}>{row.category === null ? t('plates.category_unknown') : trait('category', row.category)}</Fact>
              <Fact name={t('plates.reads')}>{row.reads.toLocaleString(locale)}</Fact>
              <Fact name={t('plates.alternatives')}>
                {row.alternatives.length === 0 ? (
                  t('plates.no_alternatives')
                ) : (
                  <ul className="alternatives">
                    {row.alternatives.map((other) => (
                      <li key={other.text}>
                        <span className="plate-text" translate="no">
                          {other.text}
                        </span>
                        <span className="meta">{percent(other.p, locale)}</span>
                      </li>
                    ))}
                  </ul>
                )}
              </Fact>
            </dl>
            <Link to={`/plates?q=${row.plate}`} className="button">
              {t('plates.others')}
            </Link>
            <Link to={`/recordings/${row.camera}?at=${Math.max(0, row.first_seen - 3_000_000)}`} className="button">
              {t('plates.in_recordings')}
            </Link>
          </aside>
        </div>
      )}
    </>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Evidence({ row }: { row: Detection }) {
  const { t } = useI18n();
  const [tab, setTab] = useState<'frame' | 'clip'>('frame');
  return (
    <section>
      <div className="segmented" role="tablist">
        {(['frame', 'clip'] as const).map((key) => (
          <button key={key} type="button" role="tab" aria-selected={tab === key} aria-pressed={tab === key} onClick={() => setTab(key)}>
            {t(key === 'frame' ? 'plates.frame_tab' : 'plates.clip')}
          </button>
        ))}
      </div>
      <div role="tabpanel">{tab === 'frame' ? <Frame row={row} /> : <Clip row={row} />}</div>
    </section>
  );
}

function Frame({ row }: { row: Detection }) {
  const { t } = useI18n();
  const points = row.quad.map(([x, y]) => `${x},${y}`).join(' ');
  return (
    <div className="frame" style={{ aspectRatio: `${row.frame_width} / ${row.frame_height}` }}>
      {row.has_frame && <img src={`/api/ai/lpr/detections/${row.id}/frame.jpg`} alt={t('plates.frame', { plate: row.plate })} />}
      <svg viewBox={`0 0 ${row.frame_width} ${row.frame_height}`} aria-hidden="true">
        <polygon points={points} className="quad-shadow" vectorEffect="non-scaling-stroke" />
        <polygon points={points} className="quad" vectorEffect="non-scaling-stroke" />
      </svg>
    </div>
  );
}

function Clip({ row }: { row: Detection }) {
  const { t } = useI18n();
  const [failed, setFailed] = useState(false);
  const source = `/api/ai/lpr/detections/${row.id}/clip.mp4`;
  if (row.clip === 'unavailable') return <p className="note">{t('plates.clip.unavailable')}</p>;
  if (row.clip === 'pending') {
    return (
      <p className="loading" role="status">
        <span className="spinner" aria-hidden="true" />
        {t('plates.clip.pending')}
      </p>
    );
  }
  return (
    <div className="clip">
      {failed ? <p className="note bad">{t('plates.clip.unplayable')}</p> : <video src={source} controls autoPlay muted playsInline onError={() => setFailed(true)} />}
      <a className="button" href={source} download={`${row.plate}-${row.id}.mp4`}>
        {t('plates.save_clip')}
      </a>
    </div>
  );
}
