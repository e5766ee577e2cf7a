/** The characters that may stand in an XML document (XML 1.0, section 2.2). */

const FORBIDDEN = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const REFERENCE = /&#(x[0-9a-f]+|\d+);/gi;

/** Says whether `text` has a character, itself or by a reference, that ends the parser of whoever reads it as XML. */
export function hasForbiddenCharacter(text: string): boolean {
  return FORBIDDEN.test(text) || [...text.matchAll(REFERENCE)].some(([, number = '']) => isForbidden(Number(number.replace(/^x/i, '0x'))));
}

function isForbidden(codePoint: number): boolean {
  return codePoint > 0x10ffff || FORBIDDEN.test(String.fromCodePoint(codePoint));
}
