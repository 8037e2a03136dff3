// Spans that are kept until somebody lifts the lock: those that reach into the window.
import { request } from '../../api/client';
import type { EvidenceLock } from '../../api/types';
import { Button, ErrorNote } from '../../components/basics';
import { useI18n } from '../../i18n';
import { dayAndClock } from '../../lib/time';
import type { Window } from '../../lib/timeline';
import { useAction } from '../../lib/use-data';
import { useMay } from '../../lib/user';

export function Locks({ locks, cameras, window, onChange }: { locks: EvidenceLock[]; cameras: { id: string; name: string }[]; window: Window; onChange: () => void }) {
  const { t, locale } = useI18n();
  const mayLift = useMay('operator');
  const lift = useAction();
  const shown = locks.filter((lock) => lock.to > window.start && lock.from < window.end && cameras.some(({ id }) => id === lock.camera));
  if (shown.length === 0) return null;
  return (
    <section className="card pad locks">
      <h2>{t('locks.title')}</h2>
      <ul>
        {shown.map((lock) => (
          <li key={lock.id}>
            <span>
              <strong>{cameras.find(({ id }) => id === lock.camera)?.name}</strong> {dayAndClock(lock.from, locale)} – {dayAndClock(lock.to, locale)}
              <span className="meta">
                {lock.reason} · {lock.created_by}
              </span>
            </span>
            {mayLift && (
              <Button
                kind="quiet"
                busy={lift.busy}
                onClick={() => {
                  if (!globalThis.confirm(t('locks.lift_confirm'))) return;
                  lift.run(async () => {
                    await request(`/api/streaming/locks/${encodeURIComponent(lock.id)}`, { method: 'DELETE' });
                    onChange();
                  });
                }}
              >
                {t('locks.lift')}
              </Button>
            )}
          </li>
        ))}
      </ul>
      <ErrorNote error={lift.error} />
    </section>
  );
}
