// The frame of every page: navigation at the side, or at the bottom of a phone.
import type { ReactNode } from 'react';

import { useI18n, type Key } from '../i18n';
import { useAlerts } from '../lib/use-alerts';
import { Link } from './basics';
import { AlertIcon, CameraIcon, ListIcon, PlateIcon, RecordingsIcon, SystemIcon } from './icons';

const pages: { to: string; key: Key; icon: () => ReactNode }[] = [
  { to: '/cameras', key: 'nav.cameras', icon: CameraIcon },
  { to: '/plates', key: 'nav.plates', icon: PlateIcon },
  { to: '/alerts', key: 'nav.alerts', icon: AlertIcon },
  { to: '/watchlists', key: 'nav.watchlists', icon: ListIcon },
  { to: '/recordings', key: 'nav.recordings', icon: RecordingsIcon },
  { to: '/system', key: 'nav.system', icon: SystemIcon },
];

export function Shell({ section, boxName, children }: { section: string; boxName: string; children: ReactNode }) {
  const { t } = useI18n();
  const { badge } = useAlerts();
  return (
    <div className="shell">
      <nav className="nav" aria-label={t('nav.main')}>
        <div className="brand">
          <Logo />
          <div>
            <span className="brand-name">{t('app.name')}</span>
            <span className="brand-box">{boxName}</span>
          </div>
        </div>
        <ul>
          {pages.map(({ to, key, icon: Icon }) => (
            <li key={to}>
              <Link to={to} className={to === `/${section}` ? 'current' : ''}>
                <Icon />
                <span>{t(key)}</span>
                {to === '/alerts' && badge !== '' && (
                  <span className="count" aria-label={t('alerts.count', { count: badge })}>
                    {badge}
                  </span>
                )}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <main>{children}</main>
    </div>
  );
}

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <path d="M7 16c2.500-4.600 5.600-7 9-7s6.500 2.400 9 7c-2.500 4.600-5.600 7-9 7s-6.500-2.400-9-7z" fill="none" stroke="#fff" strokeWidth="2.200" />
      <circle cx="16" cy="16" r="3.400" fill="#fff" />
    </svg>
  );
}

export function PageHead({ title, back, children }: { title: string; back?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      {back}
      <h1>{title}</h1>
      <div className="actions">{children}</div>
    </header>
  );
}
