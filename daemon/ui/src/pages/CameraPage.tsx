// One camera: live picture, state and why, settings.
import { useRef, useState } from 'react';

import { request } from '../api/client';
import type { Camera, CameraInput } from '../api/types';
import { Button, Check, ErrorNote, Field, Link, Loading, Select, StateBadge, fieldError } from '../components/basics';
import { BackIcon, FullscreenIcon, MutedIcon, RecordingsIcon, SoundIcon } from '../components/icons';
import { LiveVideo } from '../components/LiveVideo';
import { PushFields } from '../components/PushFields';
import { RecordFields } from '../components/RecordFields';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { navigate } from '../lib/router';
import { reasonOf } from '../lib/reason';
import { settings } from '../lib/settings';
import { bits, brief } from '../lib/time';
import { useAction, useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { useNow } from '../lib/use-now';

export function CameraPage({ id }: { id: string }) {
  const { t, language } = useI18n();
  const camera = useData<Camera>(`/api/cidades/cameras/${encodeURIComponent(id)}`, 3000);
  const [stream, setStream] = useState<'main' | 'sub'>('main');
  const [chosen, setChosen] = useState(settings.transport);
  const [sound, setSound] = useState(false);
  const [editing, setEditing] = useState(false);
  const mayChange = useMay('operator');
  const frame = useRef<HTMLDivElement>(null);
  const data = camera.data;
  return (
    <>
      <PageHead
        title={data?.name ?? id}
        back={
          <Link to="/cameras" className="button quiet" label={t('common.back')}>
            <BackIcon />
          </Link>
        }
      >
        {data && <StateBadge state={data.enabled ? data.status?.state : 'disabled'} />}
      </PageHead>
      {!data && <ErrorNote error={camera.error} />}
      {camera.loading && <Loading />}
      {data && (
        <div className="camera-page">
          <div>
            <div ref={frame} className="live-frame">
              <LiveVideo camera={id} stream={stream} label={`${t('live.title')}: ${data.name}`} chosen={chosen} sound={sound} detail="all" reason={reasonOf(data.status, t, language)?.text} onOther={data.sub_url !== null ? () => setStream(stream === 'main' ? 'sub' : 'main') : undefined} />
            </div>
            <div className="live-bar">
              {data.sub_url !== null && (
                <div className="segmented" role="group" aria-label={t('camera.stream')}>
                  {(['main', 'sub'] as const).map((kind) => (
                    <button key={kind} type="button" aria-pressed={stream === kind} onClick={() => setStream(kind)}>
                      {t(`live.${kind}`)}
                    </button>
                  ))}
                </div>
              )}
              <Select
                label={t('live.transport')}
                hideLabel
                value={chosen}
                options={(['auto', 'webrtc', 'mse', 'hls'] as const).map((way) => [way, t(`live.transport.${way}`)] as const)}
                onChange={(way) => {
                  settings.setTransport(way);
                  setChosen(way);
                }}
              />
              <div className="live-tools">
                {data.status?.[stream]?.has_audio && (
                  <Button kind="quiet" aria-label={t('live.sound')} title={t('live.sound')} aria-pressed={sound} onClick={() => setSound(!sound)}>
                    {sound ? <SoundIcon /> : <MutedIcon />}
                  </Button>
                )}
                <Link to={`/recordings/${id}`} className="button quiet" label={t('nav.recordings')}>
                  <RecordingsIcon />
                  <span className="wide-label">{t('nav.recordings')}</span>
                </Link>
                <Button kind="quiet" aria-label={t('live.fullscreen')} title={t('live.fullscreen')} onClick={() => void frame.current?.requestFullscreen()}>
                  <FullscreenIcon />
                </Button>
              </div>
            </div>
          </div>
          <aside>
            <Details camera={data} />
            <Link to={`/cameras/${id}/zones`} className="button">
              {t('zones.title')}
            </Link>
            {mayChange && !editing && <Button onClick={() => setEditing(true)}>{t('cameras.edit')}</Button>}
            {editing && (
              <Edit
                camera={data}
                onDone={() => {
                  setEditing(false);
                  camera.reload();
                }}
                onCancel={() => setEditing(false)}
              />
            )}
          </aside>
        </div>
      )}
    </>
  );
}

function Details({ camera }: { camera: Camera }) {
  const { t, locale, language } = useI18n();
  const now = useNow();
  const { status } = camera;
  const reason = reasonOf(status, t, language);
  return (
    <section className="card pad">
      <h2>{t('camera.details')}</h2>
      {status && reason && (
        <div className={status.state === 'streaming' ? 'lead' : 'note bad'}>
          {reason.text}
          {reason.detail !== '' && (
            <p className="meta" lang="en">
              {reason.detail}
            </p>
          )}
        </div>
      )}
      <dl className="facts">
        {status && (
          <div>
            <dt>{t(`state.${status.state}`)}</dt>
            <dd>{t('cameras.since', { time: brief(status.since, now, locale) })}</dd>
          </div>
        )}
        {(['main', 'sub'] as const).map((kind) => {
          const stream = status?.[kind];
          return stream ? (
            <div key={kind}>
              <dt>{t(`camera.record.${kind}`)}</dt>
              <dd>
                {stream.codec.toUpperCase()} {stream.width}×{stream.height}, {Math.round(stream.fps)} fps, {bits(stream.bitrate_bps, locale)}
                <span className="meta" lang="en" title={t('live.client')}>
                  {' '}
                  · {stream.client}
                </span>
              </dd>
            </div>
          ) : null;
        })}
        <div>
          <dt>{t('camera.record')}</dt>
          <dd>{t(`camera.record.${camera.record}`)}</dd>
        </div>
        {(['main', 'sub'] as const)
          .filter((kind) => camera.record === kind || camera.record === 'both')
          .map((kind) => (
            <div key={`mode-${kind}`}>
              <dt>{camera.record === 'both' ? `${t('camera.mode')} (${t(`camera.record.${kind}`)})` : t('camera.mode')}</dt>
              <dd>{t(`camera.mode.${camera[`record_${kind}`].mode}`)}</dd>
            </div>
          ))}
        <div>
          <dt>{t('camera.lpr')}</dt>
          <dd>{t(`camera.lpr.${camera.lpr}`)}</dd>
        </div>
        {camera.push.status && (
          <div>
            <dt>{t('push.title')}</dt>
            <dd>
              {t(`push.${camera.push.status.state}`)}
              {camera.push.status.reason !== '' && (
                <span className="meta" lang="en">
                  : {camera.push.status.reason}
                </span>
              )}
            </dd>
          </div>
        )}
        {camera.zones.length > 0 && (
          <div>
            <dt>{t('zones.list')}</dt>
            <dd>{camera.zones.map((zone) => zone.name || t(`zones.${zone.kind}`)).join(', ')}</dd>
          </div>
        )}
        {status?.decoder && (
          <div>
            <dt>{t('camera.decoder')}</dt>
            <dd>{status.decoder}</dd>
          </div>
        )}
        {typeof status?.clock_offset_ms === 'number' && (
          <div>
            <dt>{t('camera.clock')}</dt>
            <dd>{(status.clock_offset_ms / 1000).toLocaleString(locale, { maximumFractionDigits: 1 })} s</dd>
          </div>
        )}
      </dl>
    </section>
  );
}

function Edit({ camera, onDone, onCancel }: { camera: Camera; onDone: () => void; onCancel: () => void }) {
  const { t } = useI18n();
  const [form, setForm] = useState<CameraInput>({
    name: camera.name,
    enabled: camera.enabled,
    main_url: camera.main_url,
    sub_url: camera.sub_url ?? '',
    username: camera.username,
    transport: camera.transport,
    record: camera.record,
    lpr: camera.lpr,
    audio: camera.audio,
    max_bytes: camera.max_bytes,
    record_main: camera.record_main,
    record_sub: camera.record_sub,
    push: { url: camera.push.url, stream: camera.push.stream, username: camera.push.username },
  });
  const [password, setPassword] = useState('');
  const save = useAction();
  const set = (change: CameraInput): void => setForm((old) => ({ ...old, ...change }));
  const path = `/api/cidades/cameras/${encodeURIComponent(camera.id)}`;
  const submit = (): void =>
    save.run(async () => {
      const body = password === '' ? form : { ...form, password };
      await request(path, { method: 'PUT', body });
      onDone();
    });
  const remove = (): void => {
    if (!window.confirm(t('camera.remove_confirm', { name: camera.name }))) return;
    save.run(async () => {
      await request(path, { method: 'DELETE' });
      navigate('/cameras', true);
    });
  };
  const streams = (['main', 'sub', 'off'] as const).filter((kind) => kind !== 'sub' || form.sub_url !== '');
  const records = (['main', 'sub', 'both', 'off'] as const).filter((kind) => (kind !== 'sub' && kind !== 'both') || form.sub_url !== '');
  const known = ['name', 'main_url', 'sub_url'].some((field) => fieldError(save.error, field) !== undefined);
  return (
    <form
      className="card pad"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <h2>{t('cameras.edit')}</h2>
      <Field label={t('camera.name')} value={form.name ?? ''} onChange={(e) => set({ name: e.target.value })} maxLength={128} required error={fieldError(save.error, 'name')} />
      <Field label={t('camera.main_url')} value={form.main_url ?? ''} onChange={(e) => set({ main_url: e.target.value })} inputMode="url" spellCheck={false} required error={fieldError(save.error, 'main_url')} />
      <Field label={`${t('camera.sub_url')} (${t('common.optional')})`} value={form.sub_url ?? ''} onChange={(e) => set({ sub_url: e.target.value })} inputMode="url" spellCheck={false} error={fieldError(save.error, 'sub_url')} />
      <div className="columns">
        <Field label={t('camera.username')} value={form.username ?? ''} onChange={(e) => set({ username: e.target.value })} autoComplete="off" autoCapitalize="none" spellCheck={false} />
        <Field label={t('camera.password')} type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="new-password" hint={camera.has_password ? t('camera.password_kept') : undefined} />
      </div>
      <div className="columns">
        <Select label={t('camera.record')} value={form.record ?? 'main'} options={records.map((kind) => [kind, t(`camera.record.${kind}`)] as const)} onChange={(record) => set({ record })} />
        <Select label={t('camera.lpr')} value={form.lpr ?? 'off'} options={streams.map((kind) => [kind, t(`camera.lpr.${kind}`)] as const)} onChange={(lpr) => set({ lpr })} />
      </div>
      <RecordFields form={form} onChange={set} error={save.error} />
      <PushFields form={form} camera={camera} onChange={(push) => set({ push })} error={save.error} />
      <Select label={t('camera.transport')} value={form.transport ?? 'tcp'} options={[['tcp', 'TCP'], ['udp', 'UDP']] as const} onChange={(transport) => set({ transport })} />
      <Check label={t('camera.audio')} checked={form.audio ?? true} onChange={(audio) => set({ audio })} />
      <Check label={t('camera.enabled')} checked={form.enabled ?? true} onChange={(enabled) => set({ enabled })} />
      {!known && <ErrorNote error={save.error} />}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={save.busy}>
          {t('common.save')}
        </Button>
        <Button onClick={onCancel}>{t('common.cancel')}</Button>
        <span className="grow" />
        <Button kind="danger" onClick={remove}>
          {t('camera.remove')}
        </Button>
      </div>
    </form>
  );
}
