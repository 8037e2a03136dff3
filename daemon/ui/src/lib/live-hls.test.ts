import { describe, expect, it } from 'vitest';

import { beginning, parsePlaylist, parseVariant } from './live-hls';

const playlist = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="i.mp4?stream=main"
#EXTINF:2.00000,
s7.m4s?stream=main
#EXT-X-PART:DURATION=0.2,URI="p21.m4s?stream=main",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="p22.m4s?stream=main"
#EXTINF:0.40000,
s8.m4s?stream=main
#EXT-X-PART:DURATION=0.2,URI="p23.m4s?stream=main",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p24.m4s?stream=main"
`;

describe('parsePlaylist', () => {
  const { pieces, next } = parsePlaylist(playlist);

  it('names each piece once, parts before whole segments', () => {
    expect(pieces.map(({ uri, msn, whole }) => [uri.split('?')[0], msn, whole])).toEqual([
      ['s7.m4s', 7, true],
      ['p21.m4s', 8, false],
      ['p22.m4s', 8, false],
      ['p23.m4s', 9, false],
    ]);
    expect(pieces.every(({ init }) => init === 'i.mp4?stream=main')).toBe(true);
  });

  it('knows which part comes next, and begins at the newest key frame', () => {
    expect(next).toEqual({ msn: 9, part: 1 });
    expect(beginning(pieces).map(({ msn }) => msn)).toEqual([9]);
  });
});

describe('parseVariant', () => {
  it('finds the stream', () => {
    const text = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.64001f",RESOLUTION=640x360\nstream.m3u8?session=a\n';
    expect(parseVariant(text)).toEqual({ uri: 'stream.m3u8?session=a', codecs: 'avc1.64001f', width: 640, height: 360 });
    expect(parseVariant('#EXTM3U')).toBeNull();
  });
});
