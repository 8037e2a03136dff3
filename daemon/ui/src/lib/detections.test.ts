import { describe, expect, it } from 'vitest';

import type { Detection } from '../api/types';
import { fits, merge, query, withNew } from './detections';
import { normalize, plateText } from './plate';
import { pause } from './socket';

const row = (id: string, plate = 'ABC1D23', more: Partial<Detection> = {}): Detection => ({
  id,
  camera: 'gate',
  plate,
  layout: 'br-mercosul',
  confidence: 0.9,
  alternatives: [{ text: 'ABC1023', p: 0.05 }],
  first_seen: 1,
  last_seen: 2,
  best_at: 100,
  quad: [],
  frame_width: 1,
  frame_height: 1,
  direction: null,
  reads: 3,
  has_crop: true,
  has_frame: true,
  clip: 'pending',
  ...more,
});
const all = { text: '', camera: '', from: null, to: null };

describe('the list of plates', () => {
  it('keeps each once, newest first, with the latest version', () => {
    const merged = merge([row('3'), row('1')], [row('2'), row('1', 'XYZ0000')]);
    expect(merged.map((r) => r.id)).toEqual(['3', '2', '1']);
    expect(merged[2]?.plate).toBe('XYZ0000');
  });

  it('stays bounded while plates pour in', () => {
    let rows: Detection[] = [];
    for (let n = 0; n < 1000; n += 1) rows = withNew(rows, row(String(n).padStart(5, '0')));
    expect(rows.length).toBe(400);
    expect(rows[0]?.id).toBe('00999');
  });

  it('shows new plates only where they match the filter', () => {
    expect(fits(row('1'), { ...all, text: 'C1D' })).toBe(true);
    expect(fits(row('1'), { ...all, text: '1023' })).toBe(true);
    expect(fits(row('1'), { ...all, text: 'ZZZ' })).toBe(false);
    expect(fits(row('1'), { ...all, camera: 'yard' })).toBe(false);
    expect(fits(row('1'), { ...all, from: 101 })).toBe(false);
    expect(fits(row('1'), { ...all, to: 100 })).toBe(false);
  });

  it('asks only for what is filtered', () => {
    expect(query(all, null, 50)).toBe('/api/ai/lpr/detections?limit=50');
    expect(query({ text: 'AB', camera: 'gate', from: 1, to: 2 }, 'c', 5)).toBe(
      '/api/ai/lpr/detections?limit=5&q=AB&camera=gate&from=1&to=2&cursor=c',
    );
  });
});

describe('plates', () => {
  it('are written as on the vehicle', () => {
    expect(plateText('ABC1D23', 'br-mercosul')).toEqual({ style: 'mercosul', rows: ['ABC1D23'] });
    expect(plateText('ABC1D23', 'br-mercosul-moto')).toEqual({ style: 'mercosul', rows: ['ABC', '1D23'] });
    expect(plateText('ABC1234', 'br-old')).toEqual({ style: 'old', rows: ['ABC·1234'] });
    expect(plateText('B123', 'eu')).toEqual({ style: 'plain', rows: ['B123'] });
  });

  it('are searched as they are stored', () => {
    expect(normalize(' abc-1d 23 ')).toBe('ABC1D23');
    expect(normalize('%_é')).toBe('');
  });
});

describe('pauses of the socket', () => {
  it('grow, stay bounded and spread out', () => {
    expect(pause(0, 0)).toBe(250);
    expect(pause(0, 1)).toBe(500);
    expect(pause(50, 1)).toBe(15_000);
    expect(pause(3, 0.5)).toBeLessThan(pause(4, 0.5));
  });
});
