// Adding a camera: found on the network or typed, asked for its streams with one try of the password, then stored.
import { useState } from 'react';

import { request } from '../api/client';
import type { Camera, CameraInput, DeviceProfile, DeviceReport, FoundDevice } from '../api/types';
import { Button, Check, ErrorNote, Field, Link, Select, fieldError } from '../components/basics';
import { BackIcon, SearchIcon } from '../components/icons';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { navigate } from '../lib/router';
import { useAction } from '../lib/use-data';

export function AddCamera() {
  const { t } = useI18n();
  const [found, setFound] = useState<FoundDevice[] | null>(null);
  const [address, setAddress] = useState('');
  const [chosen, setChosen] = useState('');
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [profiles, setProfiles] = useState<DeviceReport | null>(null);
  const search = useAction();
  const ask = useAction();
  const rtsp = /^rtsps?:\/\//i.test(address.trim());

  const choose = (device: FoundDevice): void => {
    setAddress(device.onvif_url);
    setChosen(device.name ?? '');
    setProfiles(null);
    document.getElementById('credentials')?.scrollIntoView({ behavior: 'smooth', block: 'center' });
  };
  const discover = (): void =>
    search.run(async () => {
      setFound(null);
      const result = await request<{ devices: FoundDevice[] }>('/api/cidades/discover', { method: 'POST', body: {} });
      setFound(result.devices);
    });
  const probe = (): void =>
    ask.run(async () => {
      const body = { url: address, username, password };
      setProfiles(await request<DeviceReport>('/api/cidades/discover/probe', { method: 'POST', body }));
    });

  return (
    <div className="narrow">
      <PageHead
        title={t('add.title')}
        back={
          <Link to="/cameras" className="button quiet" label={t('common.back')}>
            <BackIcon />
          </Link>
        }
      />
      <section className="card pad">
        <div className="row-between">
          <h2>{t('add.network')}</h2>
          <Button onClick={discover} busy={search.busy} kind={found ? 'normal' : 'primary'}>
            {!search.busy && <SearchIcon />}
            {t(search.busy ? 'add.searching' : 'add.search')}
          </Button>
        </div>
        <ErrorNote error={search.error} />
        {found?.length === 0 && <p className="lead">{t('add.none')}</p>}
        {found && found.length > 0 && (
          <ul className="found" aria-label={t('add.found', { count: found.length })}>
            {found.map((device) => (
              <li key={device.onvif_url} className={device.onvif_url === address ? 'chosen' : ''}>
                <div>
                  <strong>{device.name ?? device.hardware ?? device.host}</strong>
                  <span className="meta">
                    {[device.hardware, new URL(device.onvif_url).host].filter(Boolean).join(' · ')}
                  </span>
                </div>
                {device.camera === null ? (
                  <Button onClick={() => choose(device)}>{t('add.choose')}</Button>
                ) : (
                  <span className="chip">{t('add.known')}</span>
                )}
              </li>
            ))}
          </ul>
        )}
      </section>
      <section className="card pad">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (rtsp) {
              const profile = { name: '', token: '', codec: null, width: null, height: null, rtsp_url: address.trim() };
              setProfiles({ onvif_url: '', manufacturer: '', model: '', profiles: [profile], clock_offset_ms: null });
            } else {
              probe();
            }
          }}
        >
          <h2>{t('add.by_address')}</h2>
          <Field
            label={t('add.address')}
            hint={t('add.address_hint')}
            value={address}
            onChange={(event) => {
              setAddress(event.target.value);
              setChosen('');
              setProfiles(null);
            }}
            inputMode="url"
            autoCapitalize="none"
            spellCheck={false}
            required
            error={fieldError(ask.error, 'url')}
          />
          <fieldset id="credentials">
            <legend>{t('add.credentials')}</legend>
            <div className="columns">
              <Field label={t('camera.username')} value={username} onChange={(event) => setUsername(event.target.value)} autoComplete="off" autoCapitalize="none" spellCheck={false} />
              <Field label={t('camera.password')} type="password" value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="new-password" error={fieldError(ask.error, 'password')} />
            </div>
            <p className="hint">{t('add.credentials_hint')}</p>
          </fieldset>
          {fieldError(ask.error, 'url') === undefined && fieldError(ask.error, 'password') === undefined && <ErrorNote error={ask.error} />}
          {!profiles && (
            <Button type="submit" kind={found?.length === 0 || address !== '' ? 'primary' : 'normal'} busy={ask.busy}>
              {t(ask.busy ? 'add.asking' : 'add.ask')}
            </Button>
          )}
        </form>
        {profiles && (
          <Choose
            key={address}
            profiles={profiles}
            name={chosen || `${profiles.manufacturer} ${profiles.model}`.trim()}
            credentials={{ username, password }}
            onvif={rtsp ? undefined : profiles.onvif_url}
          />
        )}
      </section>
    </div>
  );
}

function Choose({
  profiles,
  name: suggested,
  credentials,
  onvif,
}: {
  profiles: DeviceReport;
  name: string;
  credentials: { username: string; password: string };
  onvif: string | undefined;
}) {
  const { t } = useI18n();
  // The sharpest profile is recorded; the smallest is for looking at.
  const pixels = (profile: DeviceProfile): number => (profile.width ?? 0) * (profile.height ?? 0);
  const sorted = [...profiles.profiles].sort((a, b) => pixels(b) - pixels(a));
  const largest = sorted[0];
  const smallest = sorted.length > 1 ? sorted.at(-1) : undefined;
  const [name, setName] = useState(suggested);
  const [main, setMain] = useState(largest?.rtsp_url ?? '');
  const [sub, setSub] = useState(smallest?.rtsp_url ?? '');
  const [lpr, setLpr] = useState(true);
  const [record, setRecord] = useState(true);
  const save = useAction();
  const submit = (): void =>
    save.run(async () => {
      const body: CameraInput = {
        name: name.trim(),
        main_url: main,
        sub_url: sub,
        lpr: lpr ? 'main' : 'off',
        record: record ? 'main' : 'off',
      };
      if (onvif !== undefined) body.onvif_url = onvif;
      // An address may carry its own user; empty fields must not wipe it out.
      if (credentials.username !== '') body.username = credentials.username;
      if (credentials.password !== '') body.password = credentials.password;
      const camera = await request<Camera>('/api/cidades/cameras', { method: 'POST', body });
      navigate(`/cameras/${camera.id}`, true);
    });
  const label = (profile: DeviceProfile): string =>
    profile.codec === null ? profile.name || profile.rtsp_url : `${profile.name} · ${profile.codec.toUpperCase()} ${profile.width ?? '?'}×${profile.height ?? '?'}`;
  const options = sorted.map((profile) => [profile.rtsp_url, label(profile)] as const);
  return (
    <form
      className="chosen-profiles"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {profiles.model !== '' && (
        <p className="lead">
          {profiles.manufacturer} {profiles.model}
        </p>
      )}
      <Field label={t('camera.name')} value={name} onChange={(event) => setName(event.target.value)} required maxLength={128} error={fieldError(save.error, 'name')} />
      <Select label={t('add.main')} value={main} options={options} onChange={setMain} />
      {sorted.length > 1 && <Select label={t('add.sub')} value={sub} options={[['', t('add.no_sub')], ...options]} onChange={setSub} />}
      <Check label={t('cameras.recording')} checked={record} onChange={setRecord} />
      <Check label={t('cameras.lpr')} checked={lpr} onChange={setLpr} />
      <ErrorNote error={save.error} />
      <Button type="submit" kind="primary" busy={save.busy}>
        {t('cameras.add')}
      </Button>
    </form>
  );
}
