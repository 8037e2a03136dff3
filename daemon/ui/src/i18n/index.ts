// Languages: typed keys, `{name}` placeholders, the browser's language until somebody chooses.
import { createContext, useContext } from 'react';

import { en } from './en';
import { ptBR } from './pt-BR';

export type Key = keyof typeof en;
export type Texts = Record<Key, string>;
export type Language = 'pt-BR' | 'en';

export const languages: Record<Language, { name: string; texts: Texts }> = {
  'pt-BR': { name: 'Português (Brasil)', texts: ptBR },
  en: { name: 'English', texts: en },
};

export type Translate = (key: Key, values?: Record<string, string | number>) => string;

/** Pure. Fills the placeholders of a text; unknown ones stay visible. */
export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Pure. The first language of the list that is spoken here: every Portuguese is pt-BR, all else English. */
export function pick(wanted: readonly string[]): Language {
  const first = wanted.find((tag) => /^(pt|en)\b/i.test(tag));
  return first && /^pt/i.test(first) ? 'pt-BR' : 'en';
}

export interface I18n {
  language: Language;
  /** For dates and numbers. */
  locale: string;
  t: Translate;
  setLanguage: (language: Language) => void;
}

export const I18nContext = createContext<I18n | null>(null);

export function useI18n(): I18n {
  const value = useContext(I18nContext);
  if (!value) throw new Error('useI18n outside of its provider');
  return value;
}

/** Whether a text exists under this key (for keys made from what the box answers). */
export function isKey(key: string): key is Key {
  return Object.hasOwn(en, key);
}
