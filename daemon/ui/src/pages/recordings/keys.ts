// Keys of the whole page, except where somebody types or a control takes the key itself.
import { useEffect, useRef } from 'react';

export function useKeys(actions: Record<string, () => void>): void {
  const latest = useRef(actions);
  useEffect(() => {
    latest.current = actions;
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
      if (event.key === ' ' && target.tagName === 'BUTTON') return;
      const action = latest.current[event.key.toLowerCase()];
      if (!action) return;
      action();
      event.preventDefault();
    };
    document.addEventListener('keydown', listener);
    return () => document.removeEventListener('keydown', listener);
  }, []);
}
