// The picture of a camera in a list: live while it is on the screen, a still before that and where live cannot be.
import { useEffect, useRef, useState } from 'react';

import type { Camera, CameraStateName } from '../api/types';
import { useI18n } from '../i18n';
import { NoPictureIcon } from './icons';
import { LiveVideo } from './LiveVideo';

/** How often a still is renewed. */
const STILL_MS = 5000;

export function TilePicture({ camera, state }: { camera: Camera; state: CameraStateName | undefined }) {
  const root = useRef<HTMLDivElement>(null);
  const [visible, setVisible] = useState(false);
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    const element = root.current;
    if (!element) return undefined;
    const observer = new IntersectionObserver(([entry]) => setVisible(entry?.isIntersecting ?? false));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // The small stream where there is one: a wall of full pictures would be the box's and the phone's whole network.
  const stream = camera.sub_url === null ? 'main' : 'sub';
  const live = useLiveSeat(visible && state === 'streaming' && !savesData());
  const shown = live && playing;
  return (
    <div ref={root} className="video tile-video" data-live={shown ? 'playing' : 'still'}>
      <Still camera={camera} state={state} renew={visible && !shown} />
      {live && (
        <div className={playing ? 'front' : 'behind'}>
          <LiveVideo camera={camera.id} stream={stream} label={camera.name} detail="delay" onPlaying={setPlaying} />
        </div>
      )}
    </div>
  );
}

/** Live pictures at the same time; further tiles show stills. A browser decodes no more than some tens of them. */
const LIVE_MAX = 16;
let taken = 0;
const waiting = new Set<() => void>();

/** One of the live places while `wanted`, once one is free. */
function useLiveSeat(wanted: boolean): boolean {
  const [seated, setSeated] = useState(false);
  useEffect(() => {
    if (!wanted) return undefined;
    let mine = false;
    const take = (): void => {
      if (mine || taken >= LIVE_MAX) return;
      mine = true;
      taken += 1;
      waiting.delete(take);
      setSeated(true);
    };
    waiting.add(take);
    take();
    return () => {
      waiting.delete(take);
      setSeated(false);
      if (!mine) return;
      taken -= 1;
      [...waiting][0]?.();
    };
  }, [wanted]);
  return seated;
}

/** Phones tell when their owner pays for every byte. */
function savesData(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;
}

function Still({ camera, state, renew }: { camera: Camera; state: CameraStateName | undefined; renew: boolean }) {
  const { t } = useI18n();
  const [turn, setTurn] = useState(0);
  const [loaded, setLoaded] = useState(false);
  const streaming = state === 'streaming';
  useEffect(() => {
    if (!streaming || !renew) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) setTurn((n) => n + 1);
    }, STILL_MS);
    return () => clearInterval(timer);
  }, [streaming, renew]);
  const stream = camera.sub_url === null ? 'main' : 'sub';
  return (
    <>
      {streaming && (
        <img
          src={`/api/streaming/cameras/${encodeURIComponent(camera.id)}/snapshot.jpg?stream=${stream}&t=${turn}`}
          alt={camera.name}
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
    </>
  );
}
