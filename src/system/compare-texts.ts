/** Order of texts by their UTF-16 code units, as `sort` has it. */

/** Compares two texts; for `sort` with a key. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
