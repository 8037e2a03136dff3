// The box itself: health, storage, plate reading, centre, users, audit log, preferences.
import { useState, type ReactNode } from 'react';

import { request } from '../api/client';
import type { AuditEntry, BoxStatus, Role, User } from '../api/types';
import { Button, ErrorNote, Field, Loading, Select, fieldError } from '../components/basics';
import { PageHead } from '../components/Shell';
import { languages, useI18n, type Language } from '../i18n';
import { settings, type Theme } from '../lib/settings';
import { brief, bytes, dayAndClock, roughly } from '../lib/time';
import { useAction, useData } from '../lib/use-data';
import { useMay, useUser } from '../lib/user';
import { useNow } from '../lib/use-now';

const lprBadge = { off: 'disabled', starting: 'connecting', running: 'streaming', failed: 'unreachable' } as const;
const roles: Role[] = ['viewer', 'operator', 'administrator'];

export function System() {
  const { t } = useI18n();
  const status = useData<BoxStatus>('/api/admin/status', 3000);
  const administrator = useMay('administrator');
  const logout = useAction();
  return (
    <>
      <PageHead title={t('system.title')}>
        <Button
          busy={logout.busy}
          onClick={() =>
            logout.run(async () => {
              await request('/api/admin/logout', { method: 'POST' });
              location.assign('/');
            })
          }
        >
          {t('login.logout')}
        </Button>
      </PageHead>
      <ErrorNote error={status.error ?? logout.error} />
      {status.loading && <Loading />}
      <div className="system">
        {status.data && <Health status={status.data} />}
        <Preferences />
        <Password />
        {administrator && <Users />}
        {administrator && <Audit />}
        {administrator && <Configuration />}
      </div>
    </>
  );
}

function Card({ title, state, children }: { title: string; state?: ReactNode; children: ReactNode }) {
  return (
    <section className="card pad">
      <div className="row-between">
        <h2>{title}</h2>
        {state}
      </div>
      {children}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Health({ status }: { status: BoxStatus }) {
  const { t, locale } = useI18n();
  const { disk, lpr, sync } = status;
  const used = disk.total_bytes > 0 ? 1 - disk.free_bytes / disk.total_bytes : 0;
  const low = disk.free_bytes < disk.floor_bytes * 1.1;
  const pending = sync.waiting.reduce((sum, n) => sum + n, sync.in_flight);
  return (
    <>
      <Card
        title={t('system.box')}
        state={
          <span className={`badge ${status.ready ? 'streaming' : 'stalled'}`}>
            <span className="dot" aria-hidden="true" />
            {t(status.ready ? 'system.ready' : 'system.not_ready')}
          </span>
        }
      >
        {status.reason !== null && <p className="note bad">{status.reason}</p>}
        <dl className="facts">
          <Fact name={t('camera.name')}>{[status.name, status.site].filter(Boolean).join(', ')}</Fact>
          <Fact name={t('system.cameras')}>
            {status.cameras.streaming} / {status.cameras.configured}
          </Fact>
          <Fact name={t('system.uptime')}>{roughly(status.uptime_seconds)}</Fact>
          <Fact name={t('system.clock')}>{dayAndClock(status.now, locale)}</Fact>
          <Fact name={t('system.version')}>{status.version}</Fact>
        </dl>
      </Card>
      <Card title={t('system.disk')}>
        <div className={`meter ${low ? 'bad' : ''}`} role="img" aria-label={used.toLocaleString(locale, { style: 'percent' })}>
          <span style={{ width: `${used * 100}%` }} />
        </div>
        <p className="lead">{t('system.disk_free', { free: bytes(disk.free_bytes, locale), total: bytes(disk.total_bytes, locale) })}</p>
        <dl className="facts">
          <Fact name={t('system.recorded')}>{bytes(disk.recorded_bytes, locale)}</Fact>
          {disk.oldest_recording !== null && <Fact name={t('system.oldest')}>{brief(disk.oldest_recording, status.now, locale)}</Fact>}
        </dl>
      </Card>
      <Card
        title={t('system.lpr')}
        state={
          <span className={`badge ${lprBadge[lpr.state]}`}>
            <span className="dot" aria-hidden="true" />
            {t(`system.lpr.${lpr.state}`)}
          </span>
        }
      >
        {lpr.reason !== '' && <p className={lpr.state === 'failed' ? 'note bad' : 'lead'}>{lpr.reason}</p>}
        <dl className="facts">
          {lpr.provider !== '' && <Fact name={t('system.provider')}>{lpr.provider.toUpperCase()}</Fact>}
          {lpr.models.length > 0 && <Fact name={t('system.models')}>{lpr.models.join(', ')}</Fact>}
        </dl>
        {lpr.stages.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>{t('system.stage')}</th>
                <th>p50</th>
                <th>p95</th>
              </tr>
            </thead>
            <tbody>
              {lpr.stages.map((stage) => (
                <tr key={stage.stage}>
                  <td>{stage.stage}</td>
                  <td>{stage.p50_ms.toLocaleString(locale, { maximumFractionDigits: 1 })} ms</td>
                  <td>{stage.p95_ms.toLocaleString(locale, { maximumFractionDigits: 1 })} ms</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Card>
      <Card
        title={t('system.sync')}
        state={
          sync.configured && (
            <span className={`badge ${sync.connected ? 'streaming' : 'unreachable'}`}>
              <span className="dot" aria-hidden="true" />
              {t(sync.connected ? 'system.connected' : 'system.disconnected')}
            </span>
          )
        }
      >
        {!sync.configured && <p className="lead">{t('system.sync_off')}</p>}
        {sync.problem !== null && <p className="note bad">{sync.problem}</p>}
        {sync.configured && (
          <dl className="facts">
            <Fact name={t('system.pending')}>
              {pending === 0
                ? t('system.nothing_pending')
                : t('system.pending_counts', { alerts: sync.waiting[0], detections: sync.waiting[1], clips: sync.waiting[2], flight: sync.in_flight })}
            </Fact>
            <Fact name={t('system.acknowledged')}>{sync.acknowledged_seq.toLocaleString(locale)}</Fact>
          </dl>
        )}
      </Card>
    </>
  );
}

function Preferences() {
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

function Password() {
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

function Users() {
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

interface AuditPage {
  entries: AuditEntry[];
  next: string | null;
}

function Audit() {
  const { t, locale } = useI18n();
  const now = useNow();
  const first = useData<AuditPage>('/api/admin/audit?limit=20', 15_000);
  const [older, setOlder] = useState<AuditPage | null>(null);
  const load = useAction();
  const entries = [...(first.data?.entries ?? []), ...(older?.entries ?? [])].filter((entry, index, all) => all.findIndex((other) => other.seq === entry.seq) === index);
  const next = older ? older.next : (first.data?.next ?? null);
  return (
    <Card title={t('system.audit')}>
      <ErrorNote error={first.error ?? load.error} />
      <ol className="audit">
        {entries.map((entry) => (
          <li key={entry.seq} className={entry.detail.outcome === 'refused' ? 'refused' : ''}>
            <time dateTime={new Date(entry.at / 1000).toISOString()}>{brief(entry.at, now, locale)}</time>
            <span>
              <strong>{entry.actor || '–'}</strong> {entry.action} <span className="meta">{entry.subject}</span>
              {entry.detail.outcome === 'refused' && <span className="chip">{t('system.refused')}</span>}
            </span>
            <span className="meta">{entry.remote}</span>
          </li>
        ))}
      </ol>
      {next !== null && (
        <Button
          busy={load.busy}
          onClick={() =>
            load.run(async () => {
              const page = await request<AuditPage>(`/api/admin/audit?limit=50&cursor=${encodeURIComponent(next)}`);
              setOlder((old) => ({ entries: [...(old?.entries ?? []), ...page.entries], next: page.next }));
            })
          }
        >
          {t('common.more')}
        </Button>
      )}
    </Card>
  );
}

function Configuration() {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  const config = useData<unknown>(open ? '/api/admin/settings' : null);
  return (
    <section className="card pad">
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <h2>{t('system.settings')}</h2>
        </summary>
        <ErrorNote error={config.error} />
        {config.data !== undefined && <pre>{JSON.stringify(config.data, null, 2)}</pre>}
      </details>
    </section>
  );
}
