// Where a camera's plates are read: zones and the smallest plate, drawn on a still of its picture.
import { useEffect, useState } from 'react';

import { request } from '../api/client';
import type { Camera, Point, Zone } from '../api/types';
import { Button, ErrorNote, Link, Loading } from '../components/basics';
import { BackIcon, RedoIcon, UndoIcon } from '../components/icons';
import { PlateBox } from '../components/PlateBox';
import { PageHead } from '../components/Shell';
import { Snapshot } from '../components/Snapshot';
import { ZoneCanvas } from '../components/ZoneCanvas';
import { MinPlate, ZoneList } from '../components/ZoneList';
import { useI18n } from '../i18n';
import { begin, edit, redo, undo } from '../lib/history';
import { useAction, useData } from '../lib/use-data';
import { useUnsaved } from '../lib/use-unsaved';
import { useMay } from '../lib/user';
import { cleaned, faults, freeName, rectangle, same, withoutPoint, POINTS_MIN, ZONES_MAX, type Drawing } from '../lib/zones';

export function Zones({ id }: { id: string }) {
  const { t } = useI18n();
  const camera = useData<Camera>(`/api/cidades/cameras/${encodeURIComponent(id)}`);
  return (
    <>
      <PageHead
        title={camera.data ? `${t('zones.title')}: ${camera.data.name}` : t('zones.title')}
        back={
          <Link to={`/cameras/${id}`} className="button quiet" label={t('common.back')}>
            <BackIcon />
          </Link>
        }
      />
      <ErrorNote error={camera.error} />
      {camera.loading && <Loading />}
      {camera.data && <Editor camera={camera.data} />}
    </>
  );
}

function Editor({ camera }: { camera: Camera }) {
  const { t } = useI18n();
  const mayChange = useMay('operator');
  const [stored, setStored] = useState<Drawing>({ zones: camera.zones, min_plate_width: camera.min_plate_width });
  const [history, setHistory] = useState(() => begin(stored));
  const [selected, setSelected] = useState<number | null>(null);
  const [point, setPoint] = useState<number | null>(null);
  const [sketch, setSketch] = useState<Point[] | null>(null);
  const [saved, setSaved] = useState(false);
  const save = useAction();
  const { zones, min_plate_width: width } = history.now;
  const wrong = faults(zones);
  const dirty = !same(stored, history.now);
  useUnsaved(dirty, t('zones.unsaved'));

  const change = (next: Partial<Drawing>, step = ''): void => {
    setSaved(false);
    setHistory((old) => edit(old, { ...old.now, ...next }, step));
  };
  const select = (index: number | null): void => {
    setSelected(index);
    setPoint(null);
  };
  const setZone = (index: number, zone: Zone, step: string): void =>
    change({ zones: zones.map((old, i) => (i === index ? zone : old)) }, step === '' ? '' : `${index} ${step}`);
  const add = (points: Point[]): void => {
    change({ zones: [...zones, { name: freeName(t('zones.zone'), zones), kind: 'watch', points }] });
    setSketch(null);
    select(zones.length);
  };
  const remove = (index: number): void => {
    change({ zones: zones.filter((_, i) => i !== index) });
    select(null);
  };
  const step = (which: typeof undo): void => {
    setSaved(false);
    setHistory((old) => which(old));
    select(null);
  };
  useShortcuts(
    () => step(undo),
    () => step(redo),
    () => setSketch(null),
  );
  const submit = (): void =>
    save.run(async () => {
      const body = cleaned(history.now);
      await request(`/api/cidades/cameras/${encodeURIComponent(camera.id)}`, { method: 'PUT', body });
      setStored(body);
      setSaved(true);
    });
  const current = selected === null ? undefined : zones[selected];
  const pictureWidth = (camera.lpr === 'sub' ? camera.status?.sub : camera.status?.main)?.width;

  return (
    <div className="zones-page">
      <div className="zones-picture">
        <ZoneCanvas
          zones={zones}
          selected={selected}
          point={point}
          sketch={sketch}
          editable={mayChange}
          onSelect={select}
          onPoint={setPoint}
          onZone={(zone, name) => selected !== null && setZone(selected, zone, name)}
          onSketch={setSketch}
          onClose={() => sketch && add(sketch)}
        >
          <Snapshot camera={camera} />
          {width > 0 && !sketch && <PlateBox width={width} onWidth={(next, name) => mayChange && change({ min_plate_width: next }, name)} />}
        </ZoneCanvas>
        {mayChange && (
          <div className="zones-bar">
            {sketch ? (
              <>
                <Button kind="primary" disabled={sketch.length < POINTS_MIN} onClick={() => add(sketch)}>
                  {t('zones.done')}
                </Button>
                <Button disabled={sketch.length === 0} onClick={() => setSketch(sketch.slice(0, -1))}>
                  <UndoIcon />
                  {t('zones.last_point')}
                </Button>
                {sketch.length === 0 && <Button onClick={() => add(rectangle())}>{t('zones.rectangle')}</Button>}
                <Button onClick={() => setSketch(null)}>{t('common.cancel')}</Button>
              </>
            ) : (
              <>
                <Button disabled={zones.length >= ZONES_MAX} onClick={() => setSketch([])}>
                  {t('zones.add')}
                </Button>
                <Button kind="quiet" aria-label={t('zones.undo')} title={t('zones.undo')} disabled={history.past.length === 0} onClick={() => step(undo)}>
                  <UndoIcon />
                </Button>
                <Button kind="quiet" aria-label={t('zones.redo')} title={t('zones.redo')} disabled={history.future.length === 0} onClick={() => step(redo)}>
                  <RedoIcon />
                </Button>
                {current && point !== null && (
                  <Button
                    disabled={current.points.length <= POINTS_MIN}
                    onClick={() => {
                      if (selected !== null) setZone(selected, withoutPoint(current, point), '');
                      setPoint(null);
                    }}
                  >
                    {t('zones.remove_point')}
                  </Button>
                )}
              </>
            )}
          </div>
        )}
        <p className="meta zones-hint" role="status">
          {t(sketch ? (sketch.length < POINTS_MIN ? 'zones.sketch_hint' : 'zones.close_hint') : current ? 'zones.edit_hint' : zones.length > 0 ? 'zones.select_hint' : 'zones.none')}
          {current && !sketch && mayChange && <span className="keys-hint"> {t('zones.keys_hint')}</span>}
        </p>
      </div>
      <aside>
        <ZoneList zones={zones} selected={selected} faults={wrong} onSelect={select} onZone={mayChange ? setZone : undefined} onRemove={remove} />
        <MinPlate width={width} pictureWidth={pictureWidth} onWidth={mayChange ? (next, name) => change({ min_plate_width: next }, name) : undefined} />
        {mayChange && (
          <div className="save-bar">
            <ErrorNote error={save.error} />
            {camera.lpr === 'off' && <p className="note">{t('zones.lpr_off')}</p>}
            <div className="form-actions">
              <Button kind="primary" busy={save.busy} disabled={!dirty || wrong.size > 0 || sketch !== null} onClick={submit}>
                {t('common.save')}
              </Button>
              <span className="meta" role="status">
                {t(wrong.size > 0 ? 'zones.fix' : dirty ? 'zones.changed' : saved ? 'zones.saved' : 'zones.stored')}
              </span>
            </div>
          </div>
        )}
      </aside>
    </div>
  );
}

/** Ctrl+Z, Ctrl+Shift+Z and Escape, except where text is typed. */
function useShortcuts(onUndo: () => void, onRedo: () => void, onEscape: () => void): void {
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      if (event.target instanceof HTMLInputElement && event.target.type === 'text') return;
      if (event.key === 'Escape') onEscape();
      else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') (event.shiftKey ? onRedo : onUndo)();
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', keys);
    return () => window.removeEventListener('keydown', keys);
  });
}
