// Pure. How a plate is written on the plate itself, which other plate is the same vehicle, and how one is searched.

export type PlateStyle = 'mercosul' | 'old' | 'plain';

export interface PlateText {
  style: PlateStyle;
  /** One or two rows, as the plate has them. */
  rows: string[];
}

/** Rows and look of a plate from its text and the layout that the reader saw. */
export function plateText(text: string, layout: string): PlateText {
  const style: PlateStyle = layout.startsWith('br-mercosul') ? 'mercosul' : layout.startsWith('br-old') ? 'old' : 'plain';
  if (layout.endsWith('-moto') && text.length === 7) {
    return { style, rows: [text.slice(0, 3), text.slice(3)] };
  }
  // The old layout has a dot between letters and digits; Mercosul has none.
  if (style === 'old' && text.length === 7) return { style, rows: [`${text.slice(0, 3)}·${text.slice(3)}`] };
  return { style, rows: [text] };
}

/** The layout that a Brazilian text has; `other` for anything else. */
export function layoutOf(text: string): 'br-old' | 'br-mercosul' | 'other' {
  if (/^[A-Z]{3}\d{4}$/.test(text)) return 'br-old';
  return /^[A-Z]{3}\d[A-Z]\d{2}$/.test(text) ? 'br-mercosul' : 'other';
}

/**
 * The other plate of the same vehicle: a converted plate keeps its characters but the fifth, where digit d becomes the
 * letter d places after A. Null where there is none.
 */
export function twin(text: string): string | null {
  const fifth = text.charAt(4);
  const put = (character: string): string => text.slice(0, 4) + character + text.slice(5);
  if (/^[A-Z]{3}\d{4}$/.test(text)) return put(String.fromCharCode(65 + Number(fifth)));
  if (/^[A-Z]{3}\d[A-J]\d{2}$/.test(text)) return put(String(fifth.charCodeAt(0) - 65));
  return null;
}

/** What was typed as plates are stored: letters and digits, upper case. */
export function normalize(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9]/g, '').slice(0, 16);
}

/** What was typed into a search: `*` and `?` stand for any characters and for one. */
export function searchText(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9*?]/g, '').replace(/\*+/g, '*').slice(0, 16);
}

export function isWildcard(text: string): boolean {
  return /[*?]/.test(text);
}

/** Whether a plate answers a search text by part or wildcard. */
export function answers(plate: string, text: string): boolean {
  if (!isWildcard(text)) return plate.includes(text);
  const pattern = text.replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${pattern}$`).test(plate);
}
