import { expect, test } from 'vitest';

import { Players } from './players';
import { SECOND } from './timeline';

const START = 1_790_000_000 * SECOND;
const FRAME = 40_000;

/** One camera whose recording of a minute is on its way. */
function loading() {
  const players = new Players(START);
  players.setCameras(['gate']);
  const [track] = players.tracks;
  if (!track) throw new Error('no track');
  track.state = 'loading';
  const video = { currentTime: 0, pause: () => undefined } as HTMLVideoElement;
  const arrive = (): void => {
    track.video = video;
    track.info = { mime: '', start: START, end: START + 60 * SECOND, next: null, bytes: 0, stretches: [{ media: 0, start: START, duration: 60 * SECOND, frame: FRAME }] };
    track.loaded();
  };
  return { players, video, arrive };
}

test('frame steps pressed while a recording loads are made when it is there', () => {
  const { players, video, arrive } = loading();
  players.step(1);
  players.step(1);
  players.step(-1);
  players.step(1);
  expect(video.currentTime).toBe(0);
  arrive();
  expect(video.currentTime).toBeCloseTo((2.5 * FRAME) / SECOND);
  players.step(1);
  expect(video.currentTime).toBeCloseTo((4 * FRAME) / SECOND);
});

test('steps are forgotten when somebody plays or goes elsewhere', () => {
  const { players, video, arrive } = loading();
  players.step(1);
  players.play();
  players.pause();
  arrive();
  expect(video.currentTime).toBe(0);
});
