import { describe, expect, it } from 'vitest';

import type { Detection } from '../api/types';
import { appended, fits, merge, query, ranked, withNew, type Filter } from './detections';
import { answers, layoutOf, normalize, plateText, searchText, twin } from './plate';
import { pause } from './socket';

const row = (id: string, plate = 'ABC1D23', more: Partial<Detection> = {}): Detection => ({
  id,
  camera: 'gate',
  plate,
  layout: 'br-mercosul',
  category: null,
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
  single: false,
  has_crop: true,
  has_frame: true,
  clip: 'pending',
  ...more,
});
const all: Filter = { text: '', similar: false, camera: '', from: null, to: null };

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
    expect(fits(row('1'), { ...all, text: 'ABC?D*' })).toBe(true);
    expect(fits(row('1'), { ...all, text: 'BC1D23', similar: true })).toBe(false);
    expect(fits(row('1', 'ABC1C34'), { ...all, text: 'ABC1234' })).toBe(true);
    expect(fits(row('1'), { ...all, camera: 'yard' })).toBe(false);
    expect(fits(row('1'), { ...all, from: 101 })).toBe(false);
    expect(fits(row('1'), { ...all, to: 100 })).toBe(false);
  });

  it('asks only for what is filtered', () => {
    expect(query(all, null, 50)).toBe('/api/ai/lpr/detections?limit=50');
    expect(query({ text: 'AB', similar: false, camera: 'gate', from: 1, to: 2 }, 'c', 5)).toBe(
      '/api/ai/lpr/detections?limit=5&plate=AB&camera=gate&from=1&to=2&cursor=c',
    );
    expect(query({ ...all, text: 'ABC1D23', similar: true }, null, 5)).toBe('/api/ai/lpr/detections?limit=5&plate=ABC1D23&match=similar');
  });

  it('keeps the order of a ranking, which there is only for a text', () => {
    expect(appended([row('1'), row('3')], [row('3'), row('2')]).map((r) => r.id)).toEqual(['1', '3', '2']);
    expect([ranked({ ...all, similar: true }), ranked({ ...all, similar: true, text: 'A' })]).toEqual([false, true]);
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
    expect(searchText('abc-**1?')).toBe('ABC*1?');
  });

  it('answer wildcards as a whole and parts anywhere', () => {
    expect(answers('ABC1D23', 'C1D')).toBe(true);
    expect(answers('ABC1D23', 'C1*')).toBe(false);
    expect(answers('ABC1D23', 'A*23')).toBe(true);
    expect(answers('ABC1D23', 'ABC?D2?')).toBe(true);
    expect(answers('ABC1D23', 'ABC?D2')).toBe(false);
  });

  it('know the other plate of the same vehicle', () => {
    expect([twin('ABC1234'), twin('ABC1C34'), twin('ABC1J34')]).toEqual(['ABC1C34', 'ABC1234', 'ABC1934']);
    // No converted plate has K to Z there.
    expect([twin('ABC1K34'), twin('B123XYZ'), twin('')]).toEqual([null, null, null]);
    expect(['ABC1234', 'ABC1Z34', 'B123'].map(layoutOf)).toEqual(['br-old', 'br-mercosul', 'other']);
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
