import { describe, expect, it } from 'vitest';

import type { Alert } from '../api/types';
import { fill, languages, type Key, type Language, type Translate } from '../i18n';
import { badge, merge, pushed, staysMs, waiting } from './alerts';
import { samples, sums } from './prometheus';
import { reasonOf } from './reason';
import { bounds, date, days, line, problem, validity } from './watchlists';

const alert = (id: string, at: number, more: Partial<Alert> = {}): Alert => ({
  id,
  at,
  kind: 'watchlist-hit',
  severity: 'warning',
  camera: 'gate',
  detection: null,
  title: '',
  detail: {},
  acknowledged_at: null,
  acknowledged_by: null,
  ...more,
});

describe('alerts', () => {
  it('are each there once, newest first, as the box last told them', () => {
    const rows = merge([alert('a', 1), alert('b', 3)], [alert('c', 2), alert('a', 1, { acknowledged_at: 9 })]);
    expect(rows.map((row) => row.id)).toEqual(['b', 'c', 'a']);
    expect(waiting(rows)).toBe(2);
  });

  it('are counted for the navigation, honestly where more may wait', () => {
    const many = (n: number): Alert[] => Array.from({ length: n }, (_, i) => alert(String(i), i));
    expect(badge([], true)).toBe('');
    expect(badge(many(3), true)).toBe('3');
    expect(badge(many(100), true)).toBe('99+');
    // All that were read wait, and the list goes on.
    expect(badge(many(20), false)).toBe('20+');
    expect(badge([...many(20), alert('x', 50, { acknowledged_at: 1 })], false)).toBe('20');
  });

  it('stay on the screen by what they mean, three at most', () => {
    expect(staysMs('critical')).toBeNull();
    expect(staysMs('info')).toBeLessThan(staysMs('warning') ?? 0);
    let toasts: Alert[] = [];
    for (const id of ['a', 'b', 'c', 'd', 'c']) toasts = pushed(toasts, alert(id, 1));
    expect(toasts.map((row) => row.id)).toEqual(['c', 'd', 'b']);
  });
});

describe('dates of a watchlist', () => {
  it('hold the whole last day and come back as they were typed', () => {
    const entry = bounds('2026-11-20', '2026-11-22');
    expect(days(entry)).toEqual({ from: '2026-11-20', until: '2026-11-22' });
    expect(days(bounds('', ''))).toEqual({ from: '', until: '' });
    const noon = new Date(2026, 10, 22, 12).getTime() * 1000;
    expect(validity(entry, noon)).toBe('now');
    expect(validity(entry, noon + 86_400_000_000)).toBe('over');
    expect(validity(entry, noon - 5 * 86_400_000_000)).toBe('later');
    expect(validity(bounds('', ''), noon)).toBe('always');
  });

  it('are shown in the way of the language', () => {
    expect([date('2026-11-02', 'pt-BR'), date('', 'pt-BR')]).toEqual(['02/11/2026', '']);
  });

  it('show the line of a file that was rejected', () => {
    const lines = ['plate,reason', ' ABC1D23 , x', 'y'.repeat(100)];
    expect(line(lines, 2)).toBe('ABC1D23 , x');
    expect(line(lines, 3).length).toBe(60);
    expect(line(lines, 9)).toBe('');
  });

  it('say what is wrong with a line in the language of the page', () => {
    const portuguese: Translate = (key, values) => fill(languages['pt-BR'].texts[key], values);
    const time = { code: 'time', column: 'valid_from', problem: 'valid_from is not a time' };
    expect(problem(time, portuguese)).toMatch(/^valid_from não é uma data/);
    expect(problem({ code: 'brand_new', problem: 'said by a newer box' }, portuguese)).toBe('said by a newer box');
  });
});

describe('reasons of a camera', () => {
  const say = (language: Language, reason: string, code: string) =>
    reasonOf({ reason, code }, (key: Key, values) => fill(languages[language].texts[key], values), language);

  it('are in the language of the reader, with what the box said as detail', () => {
    const said = '10.0.0.5 refused the user name or password';
    expect(say('pt-BR', said, 'unauthorised')).toEqual({ text: languages['pt-BR'].texts['reason.unauthorised'], detail: said });
    expect(say('en', said, 'unauthorised')).toEqual({ text: said, detail: '' });
  });

  it('are never lost, whatever the box names', () => {
    expect(say('pt-BR', 'new trouble', 'brand_new')).toEqual({ text: 'new trouble', detail: '' });
    expect(say('en', '', 'stalled')?.text).toBe(languages.en.texts['reason.stalled']);
    expect(say('pt-BR', '', '')).toBeNull();
  });
});

describe('counters', () => {
  const text = [
    '# TYPE gtv_dropped_total counter',
    'gtv_dropped_total{stage="lpr",reason="replaced"} 5',
    'gtv_dropped_total{stage="lpr",reason="deadline",camera="a \\"b\\""} 7',
    'gtv_dropped_total{stage="lpr",reason="deadline",camera="c"} 1 1790000000',
    'gtv_dropped_total{stage="decode",reason="slow"} 9',
    'gtv_up 1',
    'not a sample',
  ].join('\n');

  it('are summed by one label, the largest first', () => {
    expect(sums(samples(text), 'gtv_dropped_total', 'reason', { stage: 'lpr' })).toEqual([
      ['deadline', 8],
      ['replaced', 5],
    ]);
    expect(samples(text).find((sample) => sample.name === 'gtv_up')).toEqual({ name: 'gtv_up', labels: {}, value: 1 });
    expect(sums(samples(''), 'gtv_dropped_total', 'reason')).toEqual([]);
  });
});
