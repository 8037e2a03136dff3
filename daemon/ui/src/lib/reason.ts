// Pure. Why a camera gives no video, in the reader's language: the box names the reason by a code and in English.
import type { CameraState } from '../api/types';
import { isKey, type Language, type Translate } from '../i18n';

export interface Reason {
  text: string;
  /** What the box itself said, where `text` is not that. */
  detail: string;
}

/** Null while there is nothing to explain. */
export function reasonOf(status: Pick<CameraState, 'reason' | 'code'> | null | undefined, t: Translate, language: Language): Reason | null {
  if (!status || (status.reason === '' && status.code === '')) return null;
  const key = `reason.${status.code}`;
  if ((language === 'en' && status.reason !== '') || !isKey(key)) return { text: status.reason || status.code, detail: '' };
  return { text: t(key), detail: status.reason };
}
