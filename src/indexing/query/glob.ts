/** Globs in questions, where `*` and `?` stand for any characters, `/` among them, as in Flagstate. */

/**
 * Says whether `pattern` matches all of `text`. Takes at most the product of their lengths in steps, whatever the pattern:
 * a regular expression made from it could be made to take for ever.
 */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    const expected = pattern[p];
    if (expected === '*') {
      star = p++;
      starText = t;
    } else if (expected === '?' || (expected !== undefined && expected === text[t])) {
      p++;
      t++;
    } else if (star !== -1) {
      // The last star takes one character more.
      p = star + 1;
      t = ++starText;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
