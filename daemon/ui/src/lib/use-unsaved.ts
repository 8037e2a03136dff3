// Asks before unsaved work is left, by a link of the page or by closing it.
import { useEffect } from 'react';

import { guard } from './router';

export function useUnsaved(dirty: boolean, question: string): void {
  useEffect(() => {
    if (!dirty) return undefined;
    const stay = (event: BeforeUnloadEvent): void => event.preventDefault();
    const release = guard(() => window.confirm(question));
    window.addEventListener('beforeunload', stay);
    return () => {
      release();
      window.removeEventListener('beforeunload', stay);
    };
  }, [dirty, question]);
}
