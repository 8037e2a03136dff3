// What belongs to the person at the page: language and appearance of this browser, the password.
import { useState } from 'react';

import { request } from '../../api/client';
import { Button, ErrorNote, Field, Select, fieldError } from '../../components/basics';
import { languages, useI18n, type Language } from '../../i18n';
import { settings, type Theme } from '../../lib/settings';
import { useAction } from '../../lib/use-data';
import { useUser } from '../../lib/user';
import { Card } from './parts';

export function Preferences() {
  const { t, language, setLanguage } = useI18n();
  const [theme, setTheme] = useState<Theme>(settings.theme());
  return (
    <Card title={t('system.preferences')}>
      <div className="columns">
        <Select
          label={t('system.language')}
          value={language}
          options={(Object.keys(languages) as Language[]).map((key) => [key, languages[key].name] as const)}
          onChange={setLanguage}
        />
        <Select
          label={t('system.theme')}
          value={theme}
          options={(['auto', 'light', 'dark'] as const).map((key) => [key, t(`system.theme.${key}`)] as const)}
          onChange={(next) => {
            settings.setTheme(next);
            setTheme(next);
          }}
        />
      </div>
    </Card>
  );
}

export function Password() {
  const { t } = useI18n();
  const user = useUser();
  const [current, setCurrent] = useState('');
  const [password, setPassword] = useState('');
  const [done, setDone] = useState(false);
  const save = useAction();
  return (
    <Card title={t('system.change_password')} state={<span className="chip">{user.username}</span>}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setDone(false);
          save.run(async () => {
            await request('/api/admin/me/password', { method: 'PUT', body: { current, password } });
            setCurrent('');
            setPassword('');
            setDone(true);
          });
        }}
      >
        <input type="text" className="visually-hidden" autoComplete="username" value={user.username} readOnly tabIndex={-1} aria-hidden="true" />
        <div className="columns">
          <Field label={t('system.current_password')} type="password" value={current} onChange={(e) => setCurrent(e.target.value)} autoComplete="current-password" required error={fieldError(save.error, 'current')} />
          <Field label={t('system.new_password')} type="password" value={password} onChange={(e) => setPassword(e.target.value)} autoComplete="new-password" required hint={t('login.password_hint')} error={fieldError(save.error, 'password')} />
        </div>
        {fieldError(save.error, 'current') === undefined && fieldError(save.error, 'password') === undefined && <ErrorNote error={save.error} />}
        {done && (
          <p className="note good" role="status">
            {t('system.password_changed')}
          </p>
        )}
        <Button type="submit" busy={save.busy}>
          {t('common.save')}
        </Button>
      </form>
    </Card>
  );
}
