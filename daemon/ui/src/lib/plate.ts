// Pure. How a plate is written on the plate itself.

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

/** The search text as plates are stored: letters and digits, upper case. */
export function normalize(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9]/g, '').slice(0, 16);
}
