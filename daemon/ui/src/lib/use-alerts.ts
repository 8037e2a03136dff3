// The newest alerts, kept up to date for the whole page: list, count, and what is to be shown as a message.
import { createContext, useCallback, useContext, useEffect, useMemo, useState } from 'react';

import { request } from '../api/client';
import type { Alert, AlertPage } from '../api/types';
import { badge, merge, pushed, RECENT_MAX } from './alerts';
import { listen } from './events';
import { settings } from './settings';
import { ring } from './sound';

/** In case an event was lost without notice. */
const RELOAD_MS = 30_000;

export interface Alerts {
  /** Null until the box has answered. */
  recent: Alert[] | null;
  /** For the navigation; empty when nothing waits. */
  badge: string;
  toasts: Alert[];
  dismiss: (id: string) => void;
  acknowledge: (id: string) => Promise<Alert>;
}

export function useAlertCenter(): Alerts {
  const [page, setPage] = useState<AlertPage | null>(null);
  const [toasts, setToasts] = useState<Alert[]>([]);
  const load = useCallback(() => {
    request<AlertPage>(`/api/ai/alerts?limit=${RECENT_MAX}`)
      .then((fresh) => {
        setPage(fresh);
        // What somebody else has taken care of needs no message any more.
        const done = new Set(fresh.items.filter((row) => row.acknowledged_at !== null).map((row) => row.id));
        setToasts((old) => (old.some((row) => done.has(row.id)) ? old.filter((row) => !done.has(row.id)) : old));
      })
      // The list stays as it was; the page of alerts says what is wrong, and the next round asks again.
      .catch(() => undefined);
  }, []);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) load();
    }, RELOAD_MS);
    const leave = listen({
      onOpen: load,
      onEvent: (event) => {
        if (event.type === 'missed') load();
        if (event.type !== 'alert') return;
        const { alert } = event;
        setPage((old) => ({ items: merge(old?.items ?? [], [alert]).slice(0, RECENT_MAX), next: old?.next ?? null }));
        if (alert.acknowledged_at !== null) {
          setToasts((old) => old.filter((row) => row.id !== alert.id));
          return;
        }
        setToasts((old) => pushed(old, alert));
        if (settings.sound()) ring(alert.severity);
      },
    });
    return () => {
      clearInterval(timer);
      leave();
    };
  }, [load]);
  const dismiss = useCallback((id: string) => setToasts((old) => old.filter((row) => row.id !== id)), []);
  const acknowledge = useCallback(
    async (id: string) => {
      const row = await request<Alert>(`/api/ai/alerts/${encodeURIComponent(id)}/acknowledge`, { method: 'POST' });
      setPage((old) => old && { ...old, items: old.items.map((other) => (other.id === id ? row : other)) });
      dismiss(id);
      return row;
    },
    [dismiss],
  );
  return useMemo(
    () => ({
      recent: page?.items ?? null,
      badge: page ? badge(page.items, page.next === null) : '',
      toasts,
      dismiss,
      acknowledge,
    }),
    [page, toasts, dismiss, acknowledge],
  );
}

export const AlertsContext = createContext<Alerts | null>(null);

export function useAlerts(): Alerts {
  const value = useContext(AlertsContext);
  if (!value) throw new Error('useAlerts outside of its provider');
  return value;
}
