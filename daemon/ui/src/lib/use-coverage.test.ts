import { expect, test } from 'vitest';

import { lacking } from './use-coverage';

test('hours that are whole, and hours without a plan, lack nothing', () => {
  const hour = (start: number, expected_s: number, stored_s: number) => ({ start, expected_s, stored_s, evicted_s: 0, gaps: [] });
  const hours = [hour(0, 3600, 3600), hour(1, 3600, 3599), hour(2, 3600, 3564), hour(3, 0, 12), hour(4, 100, 0)];
  expect(lacking('gate', { hours })).toEqual([
    { camera: 'gate', start: 2, share: 0.99 },
    { camera: 'gate', start: 4, share: 0 },
  ]);
});
