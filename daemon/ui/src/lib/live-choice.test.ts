import { describe, expect, it } from 'vitest';

import { blocksAll, ways } from './live-choice';

const all = { webrtc: true, mse: true, nativeHls: false };
const names = (...args: Parameters<typeof ways>) => ways(...args).map((way) => way.transport);

describe('ways', () => {
  it('takes the fastest that the browser can', () => {
    expect(names(all, 'auto', null)).toEqual(['webrtc', 'mse', 'hls']);
    expect(names({ ...all, webrtc: false }, 'auto', null)).toEqual(['mse', 'hls']);
    expect(names({ webrtc: false, mse: false, nativeHls: true }, 'auto', null)).toEqual(['hls']);
    expect(names({ webrtc: false, mse: false, nativeHls: false }, 'auto', null)).toEqual([]);
  });

  it('says why a slower one is taken', () => {
    expect(ways(all, 'auto', null)[0]).toEqual({ transport: 'webrtc', why: null });
    expect(ways({ ...all, webrtc: false }, 'auto', null)[0]?.why).toBe('no_webrtc');
    expect(ways(all, 'auto', 'blocked')[0]).toEqual({ transport: 'mse', why: 'blocked' });
  });

  it('keeps to what the viewer chose, where it works', () => {
    expect(ways(all, 'hls', null)).toEqual([{ transport: 'hls', why: 'chosen' }]);
    expect(names(all, 'webrtc', 'blocked')).toEqual(['webrtc']);
    expect(names({ ...all, mse: false, nativeHls: true }, 'mse', null)).toEqual(['webrtc', 'hls']);
  });
});

describe('blocksAll', () => {
  it('tells the network from the camera', () => {
    expect(blocksAll('blocked')).toBe(true);
    expect(blocksAll('reordered')).toBe(false);
  });
});
