// What this browser remembers: language, appearance, whether alerts are heard.
import type { Chosen } from './live-choice';

const read = (key: string): string | null => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // Storage can be forbidden; then nothing is remembered.
  }
};

const write = (key: string, value: string): void => {
  try {
    localStorage.setItem(key, value);
  } catch {
    // See above.
  }
};

export type Theme = 'auto' | 'light' | 'dark';

export const settings = {
  language: (): string | null => read('gtv.language'),
  setLanguage: (value: string): void => write('gtv.language', value),
  theme: (): Theme => {
    const value = read('gtv.theme');
    return value === 'light' || value === 'dark' ? value : 'auto';
  },
  setTheme: (theme: Theme): void => {
    write('gtv.theme', theme);
    applyTheme(theme);
  },
  transport: (): Chosen => {
    const value = read('gtv.transport');
    return value === 'webrtc' || value === 'mse' || value === 'hls' ? value : 'auto';
  },
  setTransport: (value: Chosen): void => write('gtv.transport', value),
  sound: (): boolean => read('gtv.sound') === 'on',
  setSound: (on: boolean): void => write('gtv.sound', on ? 'on' : 'off'),
};

export function applyTheme(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
