// A still of a camera as the ground to draw on; where there is none, a dark field of the picture's shape that says so.
import { useState } from 'react';

import type { Camera } from '../api/types';
import { useI18n } from '../i18n';
import { Button } from './basics';
import { NoPictureIcon } from './icons';

export function Snapshot({ camera }: { camera: Camera }) {
  const { t } = useI18n();
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<'loading' | 'there' | 'failed'>('loading');
  // Zones are shares of the picture; main and second stream show the same view, the stream that is read decides.
  const stream = camera.lpr === 'sub' ? 'sub' : 'main';
  const size = camera.status?.[stream];
  const again = (): void => {
    setState('loading');
    setTurn((n) => n + 1);
  };
  return (
    <>
      <div className="snapshot" style={{ aspectRatio: size ? `${size.width} / ${size.height}` : '16 / 9' }}>
        <img
          src={`/api/streaming/cameras/${encodeURIComponent(camera.id)}/snapshot.jpg?stream=${stream}&t=${turn}`}
          alt={camera.name}
          draggable={false}
          hidden={state !== 'there'}
          onLoad={() => setState('there')}
          onError={() => setState('failed')}
        />
        {state === 'loading' && (
          <div className="overlay" role="status">
            <span className="spinner" aria-hidden="true" />
          </div>
        )}
        {state === 'failed' && (
          <div className="overlay" role="status">
            <NoPictureIcon />
            <p>{t('zones.no_picture')}</p>
          </div>
        )}
      </div>
      {state !== 'loading' && (
        <Button
          className="snapshot-again"
          onClick={(event) => {
            event.stopPropagation();
            again();
          }}
        >
          {t('zones.new_picture')}
        </Button>
      )}
    </>
  );
}
