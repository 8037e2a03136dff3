// Names and passwords for other systems that read the cameras by RTSP, for administrators.
import { useState } from 'react';

import { request } from '../../api/client';
import type { Camera, NewStreamLogin, StreamLogin, StreamLogins as List } from '../../api/types';
import { Button, Check, ErrorNote, Field, fieldError } from '../../components/basics';
import { useI18n } from '../../i18n';
import { useAction, useData } from '../../lib/use-data';
import { Card } from './parts';

export function StreamLogins() {
  const { t } = useI18n();
  const list = useData<List>('/api/admin/stream-logins');
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<NewStreamLogin | null>(null);
  const change = useAction();
  const remove = (login: StreamLogin): void => {
    if (!window.confirm(t('streams.remove', { name: login.name }))) return;
    change.run(async () => {
      await request(`/api/admin/stream-logins/${login.id}`, { method: 'DELETE' });
      setMade(null);
      list.reload();
    });
  };
  const port = list.data?.listen?.match(/\d+$/)?.[0];
  return (
    <Card title={t('streams.title')} state={!adding && <Button onClick={() => setAdding(true)}>{t('streams.add')}</Button>}>
      <ErrorNote error={list.error ?? change.error} />
      {list.data && (
        <p className="meta">
          {port === undefined ? t('streams.off') : t('streams.address')} {port !== undefined && <code>{`rtsp://${location.hostname}:${port}/CAMERA/main`}</code>}
        </p>
      )}
      {made && (
        <div className="note good" role="status">
          {t('streams.once', { name: made.login.name })} <code className="secret">{made.password}</code>
        </div>
      )}
      <ul className="users">
        {list.data?.logins.map((login) => (
          <li key={login.id}>
            <span className="user-name">
              {login.name}
              <span className="chip">{login.cameras === null ? t('streams.all') : login.cameras.join(', ')}</span>
            </span>
            <Button kind="danger" onClick={() => remove(login)}>
              {t('common.remove')}
            </Button>
          </li>
        ))}
      </ul>
      {adding && (
        <NewLogin
          onDone={(login) => {
            setAdding(false);
            setMade(login);
            list.reload();
          }}
          onCancel={() => setAdding(false)}
        />
      )}
    </Card>
  );
}

function NewLogin({ onDone, onCancel }: { onDone: (made: NewStreamLogin) => void; onCancel: () => void }) {
  const { t } = useI18n();
  const cameras = useData<{ cameras: Camera[] }>('/api/cidades/cameras');
  const [name, setName] = useState('');
  const [all, setAll] = useState(true);
  const [chosen, setChosen] = useState<string[]>([]);
  const save = useAction();
  const toggle = (id: string, on: boolean): void => setChosen((old) => (on ? [...old, id] : old.filter((other) => other !== id)));
  return (
    <form
      className="inset"
      onSubmit={(event) => {
        event.preventDefault();
        save.run(async () => {
          const body = { name: name.trim().toLowerCase(), cameras: all ? null : chosen };
          onDone(await request<NewStreamLogin>('/api/admin/stream-logins', { method: 'POST', body }));
        });
      }}
    >
      <Field label={t('streams.name')} value={name} onChange={(e) => setName(e.target.value)} autoComplete="off" autoCapitalize="none" spellCheck={false} required hint={t('streams.hint')} error={fieldError(save.error, 'name')} />
      <Check label={t('streams.all')} checked={all} onChange={setAll} />
      {!all && cameras.data?.cameras.map((camera) => <Check key={camera.id} label={camera.name} checked={chosen.includes(camera.id)} onChange={(on) => toggle(camera.id, on)} />)}
      {fieldError(save.error, 'name') === undefined && <ErrorNote error={save.error} />}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={save.busy}>
          {t('streams.add')}
        </Button>
        <Button onClick={onCancel}>{t('common.cancel')}</Button>
      </div>
    </form>
  );
}
