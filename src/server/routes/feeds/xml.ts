/** Writes XML. */
import { escapeText } from '../../pages/html.ts';

/** Escapes a text for an element or an attribute, without the characters that XML 1.0 does not allow (section 2.2). */
export function xmlText(text: string): string {
  return escapeText(
    text.toWellFormed().replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, ''),
  );
}
