// What the box tells by itself: one WebSocket for the whole page, open while any part of it listens.
import type { BoxEvent } from '../api/types';
import { keepOpen } from './socket';

export interface EventListener {
  /** Open from now on; whatever happened before must be asked for. */
  onOpen?: () => void;
  onLost?: () => void;
  onEvent: (event: BoxEvent) => void;
}

const listeners = new Set<EventListener>();
let open = false;
let close: (() => void) | null = null;

export function listen(listener: EventListener): () => void {
  listeners.add(listener);
  if (open) listener.onOpen?.();
  close ??= keepOpen('/api/ai/lpr/stream', {
    onOpen: () => {
      open = true;
      for (const each of [...listeners]) each.onOpen?.();
    },
    onLost: () => {
      open = false;
      for (const each of [...listeners]) each.onLost?.();
    },
    onText: (text) => {
      const event = JSON.parse(text) as BoxEvent;
      for (const each of [...listeners]) each.onEvent(event);
    },
  });
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    close?.();
    close = null;
    open = false;
  };
}
