// All cameras: picture, state and why.
import type { Camera } from '../api/types';
import { Empty, ErrorNote, Link, Loading, StateBadge } from '../components/basics';
import { PlusIcon } from '../components/icons';
import { PageHead } from '../components/Shell';
import { TilePicture } from '../components/Tile';
import { useI18n } from '../i18n';
import { reasonOf } from '../lib/reason';
import { bits, brief } from '../lib/time';
import { useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { useNow } from '../lib/use-now';

export function Cameras() {
  const { t } = useI18n();
  const list = useData<{ cameras: Camera[] }>('/api/cidades/cameras', 3000);
  const mayAdd = useMay('operator');
  const add = mayAdd && (
    <Link to="/cameras/add" className="button primary">
      <PlusIcon />
      {t('cameras.add')}
    </Link>
  );
  return (
    <>
      <PageHead title={t('cameras.title')}>{list.data && list.data.cameras.length > 0 && add}</PageHead>
      <ErrorNote error={list.error} />
      {list.loading && <Loading />}
      {list.data?.cameras.length === 0 && (
        <Empty title={t('cameras.empty')}>
          <p>{t('cameras.empty_hint')}</p>
          {add}
        </Empty>
      )}
      <ul className="tiles">{list.data?.cameras.map((camera) => <Tile key={camera.id} camera={camera} />)}</ul>
    </>
  );
}

function Tile({ camera }: { camera: Camera }) {
  const { t, locale, language } = useI18n();
  const now = useNow();
  const { status } = camera;
  const stream = status?.main;
  const state = camera.enabled ? status?.state : 'disabled';
  const reason = state === 'streaming' ? null : reasonOf(status, t, language);
  return (
    <li className="card tile">
      <Link to={`/cameras/${camera.id}`} className="tile-link">
        <TilePicture camera={camera} state={state} />
        <div className="tile-body">
          <div className="tile-title">
            <h2>{camera.name}</h2>
            <StateBadge state={state} />
          </div>
          {reason && <p className="reason">{reason.text}</p>}
          <p className="meta">
            {state === 'streaming' && stream ? (
              <>
                {stream.codec.toUpperCase()} {stream.width}×{stream.height} · {bits(stream.bitrate_bps, locale)}
              </>
            ) : (
              status && t('cameras.since', { time: brief(status.since, now, locale) })
            )}
          </p>
          {state === 'streaming' && (
            <p className="chips">
              {camera.record !== 'off' && <span className="chip">{t('cameras.recording')}</span>}
              {camera.lpr !== 'off' && <span className="chip">{t('cameras.lpr')}</span>}
            </p>
          )}
        </div>
      </Link>
    </li>
  );
}
