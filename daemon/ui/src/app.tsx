// Which page is shown: setup until there is an administrator, login until somebody is known, then the address decides.
import { useCallback, useEffect, useMemo, useState } from 'react';

import { onLoggedOut, request } from './api/client';
import type { BoxStatus, User } from './api/types';
import { ErrorNote, Loading, Button } from './components/basics';
import { Shell } from './components/Shell';
import { Toasts } from './components/Toasts';
import { I18nContext, fill, languages, pick, useI18n, type I18n, type Language } from './i18n';
import { parts, useLocation } from './lib/router';
import { settings } from './lib/settings';
import { AlertsContext, useAlertCenter } from './lib/use-alerts';
import { useData } from './lib/use-data';
import { UserContext } from './lib/user';
import { AddCamera } from './pages/AddCamera';
import { Alerts } from './pages/Alerts';
import { CameraPage } from './pages/CameraPage';
import { Cameras } from './pages/Cameras';
import { Login } from './pages/Login';
import { PlateDetail } from './pages/PlateDetail';
import { Plates } from './pages/Plates';
import { Recordings } from './pages/Recordings';
import { System } from './pages/System';
import { WatchlistPage } from './pages/WatchlistPage';
import { Watchlists } from './pages/Watchlists';
import { Zones } from './pages/Zones';

type Phase = { kind: 'starting' } | { kind: 'setup' } | { kind: 'login' } | { kind: 'in'; user: User } | { kind: 'failed'; error: unknown };

export function App() {
  const [language, setLanguageState] = useState<Language>(() => {
    const saved = settings.language();
    return saved === 'pt-BR' || saved === 'en' ? saved : pick(navigator.languages);
  });
  const i18n = useMemo<I18n>(() => {
    const { texts } = languages[language];
    return {
      language,
      // English speakers keep the date order of their browser.
      locale: language === 'pt-BR' ? 'pt-BR' : (navigator.languages.find((tag) => tag.startsWith('en')) ?? 'en'),
      t: (key, values) => fill(texts[key], values),
      setLanguage: (next) => {
        settings.setLanguage(next);
        setLanguageState(next);
      },
    };
  }, [language]);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  return (
    <I18nContext value={i18n}>
      <Gate />
    </I18nContext>
  );
}

function Gate() {
  const { t } = useI18n();
  const [phase, setPhase] = useState<Phase>({ kind: 'starting' });
  const start = useCallback(async () => {
    try {
      const { needed } = await request<{ needed: boolean }>('/api/admin/setup');
      if (needed) {
        setPhase({ kind: 'setup' });
        return;
      }
      setPhase({ kind: 'in', user: await request<User>('/api/admin/me') });
    } catch (error) {
      const status = (error as { status?: number }).status;
      setPhase(status === 401 ? { kind: 'login' } : { kind: 'failed', error });
    }
  }, []);
  useEffect(() => {
    // The first question to the box is what decides the page.
    void start(); // eslint-disable-line react-hooks/set-state-in-effect
    return onLoggedOut(() => setPhase((old) => (old.kind === 'in' ? { kind: 'login' } : old)));
  }, [start]);
  const entered = useCallback((user: User) => setPhase({ kind: 'in', user }), []);
  switch (phase.kind) {
    case 'starting':
      return (
        <div className="door">
          <Loading />
        </div>
      );
    case 'failed':
      return (
        <div className="door">
          <ErrorNote error={phase.error} />
          <Button onClick={() => void start()}>{t('common.retry')}</Button>
        </div>
      );
    case 'setup':
    case 'login':
      return <Login setup={phase.kind === 'setup'} onDone={entered} />;
    case 'in':
      return (
        <UserContext value={phase.user}>
          <Inside />
        </UserContext>
      );
  }
}

function Inside() {
  const { t } = useI18n();
  const url = useLocation();
  const status = useData<BoxStatus>('/api/admin/status', 15_000);
  const [section = 'cameras', id, extra] = parts(url.pathname);
  const alerts = useAlertCenter();
  const name = status.data?.name ?? '';
  useEffect(() => {
    document.title = name === '' ? t('app.name') : `${name} · ${t('app.name')}`;
  }, [name, t]);
  return (
    <AlertsContext value={alerts}>
      <Shell section={section} boxName={name}>
        <Page section={section} id={id} extra={extra} url={url} />
      </Shell>
      <Toasts hidden={section === 'alerts'} />
    </AlertsContext>
  );
}

function Page({ section, id, extra, url }: { section: string; id: string | undefined; extra: string | undefined; url: URL }) {
  switch (section) {
    case 'plates':
      return id === undefined ? <Plates key={url.search} search={url.searchParams.get('q') ?? ''} /> : <PlateDetail id={id} />;
    case 'alerts':
      return <Alerts />;
    case 'watchlists':
      return id === undefined ? <Watchlists /> : <WatchlistPage key={id} id={id} />;
    case 'recordings':
      return <Recordings camera={id} at={Number(url.searchParams.get('at')) || undefined} />;
    case 'system':
      return <System />;
    default:
      if (id === undefined) return <Cameras />;
      if (id === 'add' && extra === undefined) return <AddCamera />;
      if (extra === 'zones') return <Zones key={id} id={id} />;
      return <CameraPage key={id} id={id} />;
  }
}
