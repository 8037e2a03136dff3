// The people who may log in, for administrators.
import { useState } from 'react';

import { request } from '../../api/client';
import type { Role, User } from '../../api/types';
import { Button, ErrorNote, Field, Select, fieldError } from '../../components/basics';
import { useI18n } from '../../i18n';
import { useAction, useData } from '../../lib/use-data';
import { useUser } from '../../lib/user';
import { Card } from './parts';

const roles: Role[] = ['viewer', 'operator', 'administrator'];

export function Users() {
  const { t } = useI18n();
  const me = useUser();
  const list = useData<{ users: User[] }>('/api/admin/users');
  const [adding, setAdding] = useState(false);
  const change = useAction();
  const update = (user: User, body: object): void =>
    change.run(async () => {
      await request(`/api/admin/users/${user.id}`, { method: 'PUT', body });
      list.reload();
    });
  const remove = (user: User): void => {
    if (!window.confirm(t('system.remove_user', { name: user.username }))) return;
    change.run(async () => {
      await request(`/api/admin/users/${user.id}`, { method: 'DELETE' });
      list.reload();
    });
  };
  return (
    <Card title={t('system.users')} state={!adding && <Button onClick={() => setAdding(true)}>{t('system.add_user')}</Button>}>
      <ErrorNote error={list.error ?? change.error} />
      <ul className="users">
        {list.data?.users.map((user) => (
          <li key={user.id} className={user.disabled ? 'off' : ''}>
            <span className="user-name">
              {user.username}
              {user.disabled && <span className="chip">{t('system.disabled')}</span>}
            </span>
            <Select
              label={t('system.role')}
              hideLabel
              value={user.role}
              options={roles.map((role) => [role, t(`system.role.${role}`)] as const)}
              onChange={(role) => update(user, { role })}
            />
            {user.id !== me.id && (
              <>
                <Button onClick={() => update(user, { disabled: !user.disabled })}>{t(user.disabled ? 'system.enable' : 'system.disable')}</Button>
                <Button kind="danger" onClick={() => remove(user)}>
                  {t('common.remove')}
                </Button>
              </>
            )}
          </li>
        ))}
      </ul>
      {adding && (
        <NewUser
          onDone={() => {
            setAdding(false);
            list.reload();
          }}
          onCancel={() => setAdding(false)}
        />
      )}
    </Card>
  );
}

function NewUser({ onDone, onCancel }: { onDone: () => void; onCancel: () => void }) {
  const { t } = useI18n();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<Role>('operator');
  const save = useAction();
  return (
    <form
      className="inset"
      onSubmit={(event) => {
        event.preventDefault();
        save.run(async () => {
          await request('/api/admin/users', { method: 'POST', body: { username: username.trim().toLowerCase(), password, role } });
          onDone();
        });
      }}
    >
      <div className="columns">
        <Field label={t('login.username')} value={username} onChange={(e) => setUsername(e.target.value)} autoComplete="off" autoCapitalize="none" spellCheck={false} required error={fieldError(save.error, 'username')} />
        <Field label={t('login.password')} type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="new-password" required hint={t('login.password_hint')} error={fieldError(save.error, 'password')} />
      </div>
      <Select label={t('system.role')} value={role} options={roles.map((key) => [key, t(`system.role.${key}`)] as const)} onChange={setRole} />
      {fieldError(save.error, 'username') === undefined && fieldError(save.error, 'password') === undefined && <ErrorNote error={save.error} />}
      <div className="form-actions">
        <Button type="submit" kind="primary" busy={save.busy}>
          {t('system.add_user')}
        </Button>
        <Button onClick={onCancel}>{t('common.cancel')}</Button>
      </div>
    </form>
  );
}
