// What the box has for the window that is shown, and as much on both sides of it, so that moving shows it at once.
import { useEffect, useRef, useState } from 'react';

import { request } from '../api/client';
import type { TimelineData } from '../api/types';
import { length, type Window } from './timeline';

/** Entries for one width of the screen: about one in two points. */
const BUCKETS = 600;
const SETTLE_MS = 120;
/** The newest end grows while one watches. */
const AGAIN_MS = 10_000;

export function useTimeline(cameras: string[], window: Window): { data: TimelineData | undefined; error: unknown } {
  const [state, setState] = useState<{ data?: TimelineData; error?: unknown; for: string }>({ for: '' });
  const wanted = cameras.join(',');
  const latest = useRef(window);
  useEffect(() => {
    latest.current = window;
  });
  // A window inside of what is there, of about the same length, needs nothing new.
  const size = length(window);
  const { data } = state;
  const enough =
    data !== undefined && state.for === wanted && window.start >= data.from && window.end <= data.to && (data.to - data.from) / size < 6 && (data.to - data.from) / size > 1.5;
  const [turn, setTurn] = useState(0);
  const first = state.for !== wanted;
  useEffect(() => {
    if (enough && turn === 0) return undefined;
    const controller = new AbortController();
    const timer = setTimeout(
      () => {
        const { start, end } = latest.current;
        const margin = end - start;
        const query = new URLSearchParams({
          cameras: wanted,
          from: String(Math.round(start - margin)),
          to: String(Math.round(end + margin)),
          buckets: String(3 * BUCKETS),
        });
        request<TimelineData>(`/api/streaming/timeline?${query}`, { signal: controller.signal })
          .then((answer) => {
            setState({ data: answer, for: wanted });
            setTurn(0);
          })
          .catch((error: unknown) => {
            if (!controller.signal.aborted) setState((old) => ({ ...old, error, for: wanted }));
          });
      },
      first ? 0 : SETTLE_MS,
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [wanted, enough, turn, first, enough ? 0 : window.start, enough ? 0 : window.end]); // eslint-disable-line react-hooks/exhaustive-deps
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden && latest.current.end > Date.now() * 1000 - AGAIN_MS * 1000) setTurn((n) => n + 1);
    }, AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return { data: state.for === wanted ? data : undefined, error: state.for === wanted ? state.error : undefined };
}
