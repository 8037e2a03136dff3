import { describe, expect, it } from 'vitest';

import { en } from './en';
import { fill, pick, type Key } from './index';
import { ptBR } from './pt-BR';

const placeholders = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? '').sort();

describe('languages', () => {
  it('have the same keys and placeholders, and no empty text', () => {
    expect(Object.keys(ptBR).sort()).toEqual(Object.keys(en).sort());
    for (const key of Object.keys(en) as Key[]) {
      expect(ptBR[key], key).not.toBe('');
      expect(placeholders(ptBR[key]), key).toEqual(placeholders(en[key]));
    }
  });

  it('follow the browser', () => {
    expect(pick(['pt-PT', 'en'])).toBe('pt-BR');
    expect(pick(['pt'])).toBe('pt-BR');
    expect(pick(['de', 'pt-BR', 'en'])).toBe('pt-BR');
    expect(pick(['de', 'en-GB', 'pt'])).toBe('en');
    expect(pick(['ja'])).toBe('en');
    expect(pick([])).toBe('en');
  });

  it('fill their placeholders and show the unknown', () => {
    expect(fill('{a} of {b}', { a: 1 })).toBe('1 of {b}');
  });
});
