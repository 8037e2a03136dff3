// Leaving a page with unsaved work, by a link and by the browser's back and forward.
import { describe, expect, it, vi } from 'vitest';

type Listener = (event: { state: unknown }) => void;

/** As much of a browser's history as the router uses; steps take effect later, as in a browser. */
function browser() {
  const entries: { state: unknown; path: string }[] = [{ state: null, path: '/' }];
  const listeners: Listener[] = [];
  let at = 0;
  const current = () => entries[at] ?? { state: null, path: '' };
  const location = {
    get href() {
      return `http://box${current().path}`;
    },
  };
  const history = {
    get state() {
      return current().state;
    },
    pushState: (state: unknown, _: string, path: string) => {
      entries.splice(at + 1, entries.length, { state, path });
      at += 1;
    },
    replaceState: (state: unknown, _: string, path: string) => {
      entries[at] = { state, path };
    },
    go: (steps: number) => {
      at += steps;
      listeners.forEach((listener) => listener({ state: current().state }));
    },
  };
  const window = { addEventListener: (_: string, listener: Listener) => listeners.push(listener), scrollTo: () => undefined };
  vi.stubGlobal('location', location);
  vi.stubGlobal('history', history);
  vi.stubGlobal('window', window);
  return { location, history };
}

describe('unsaved work', () => {
  it('stays where it is until somebody agrees, whichever way the page is left', async () => {
    const { location, history } = browser();
    const { guard, navigate } = await import('./router');
    navigate('/cameras/gate');
    navigate('/cameras/gate/zones');
    let asked = 0;
    let answer = false;
    const release = guard(() => {
      asked += 1;
      return answer;
    });
    navigate('/plates');
    expect([location.href, asked]).toEqual(['http://box/cameras/gate/zones', 1]);
    history.go(-1);
    expect([location.href, asked]).toEqual(['http://box/cameras/gate/zones', 2]);
    history.go(-2);
    expect([location.href, asked]).toEqual(['http://box/cameras/gate/zones', 3]);
    answer = true;
    history.go(-1);
    expect([location.href, asked]).toEqual(['http://box/cameras/gate', 4]);
    release();
    history.go(1);
    expect([location.href, asked]).toEqual(['http://box/cameras/gate/zones', 4]);
    vi.unstubAllGlobals();
  });
});
