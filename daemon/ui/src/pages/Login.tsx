// The door: the first administrator with the setup code, afterwards the login.
import { useState } from 'react';

import { request } from '../api/client';
import type { Session, User } from '../api/types';
import { Button, ErrorNote, Field, fieldError } from '../components/basics';
import { Logo } from '../components/Shell';
import { languages, useI18n, type Language } from '../i18n';
import { useAction } from '../lib/use-data';

export function Login({ setup, onDone }: { setup: boolean; onDone: (user: User) => void }) {
  const { t, language, setLanguage } = useI18n();
  const [code, setCode] = useState('');
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const action = useAction();
  const submit = (): void =>
    action.run(async () => {
      const path = setup ? '/api/admin/setup' : '/api/admin/login';
      const name = username.trim().toLowerCase();
      const body = setup ? { code, username: name, password } : { username: name, password };
      onDone((await request<Session>(path, { method: 'POST', body })).user);
    });
  const fieldShown = ['code', 'username', 'password'].some((field) => fieldError(action.error, field) !== undefined);
  return (
    <div className="door">
      <form
        className="card door-card"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <div className="door-head">
          <Logo />
          <span className="brand-name">{t('app.name')}</span>
        </div>
        <h1>{t(setup ? 'setup.title' : 'login.title')}</h1>
        {setup && <p className="lead">{t('setup.intro')}</p>}
        {setup && (
          <Field
            label={t('setup.code')}
            value={code}
            onChange={(event) => setCode(event.target.value.toUpperCase())}
            placeholder="XXXX-XXXX-XXXX"
            className="code"
            autoComplete="one-time-code"
            autoCapitalize="characters"
            spellCheck={false}
            required
            autoFocus
            error={fieldError(action.error, 'code')}
          />
        )}
        <Field
          label={t('login.username')}
          value={username}
          onChange={(event) => setUsername(event.target.value)}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          autoFocus={!setup}
          error={fieldError(action.error, 'username')}
        />
        <Field
          label={t('login.password')}
          type="password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          autoComplete={setup ? 'new-password' : 'current-password'}
          required
          hint={setup ? t('login.password_hint') : undefined}
          error={fieldError(action.error, 'password')}
        />
        {!fieldShown && <ErrorNote error={action.error} />}
        <Button type="submit" kind="primary" busy={action.busy}>
          {t(setup ? 'setup.submit' : 'login.submit')}
        </Button>
      </form>
      <div className="door-languages">
        {(Object.keys(languages) as Language[]).map((key) => (
          <button key={key} type="button" className="link" lang={key} aria-pressed={language === key} onClick={() => setLanguage(key)}>
            {languages[key].name}
          </button>
        ))}
      </div>
    </div>
  );
}
