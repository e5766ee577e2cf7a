/** Globs in questions, where `*` and `?` stand for any characters, `/` among them, as in Flagstate. */

const STAR = 0x2a;
const QUESTION_MARK = 0x3f;

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
    const expected = pattern.charCodeAt(p);
    if (expected === STAR) {
      star = p++;
      starText = t;
    } else if (expected === QUESTION_MARK) {
      p++;
      // A character outside of the basic plane takes two places.
      t += (text.codePointAt(t) ?? 0) > 0xffff ? 2 : 1;
    } else if (expected === text.charCodeAt(t)) {
      p++;
      t++;
    } else if (star !== -1) {
      // The last star takes one place more.
      p = star + 1;
      t = ++starText;
    } else return false;
  }
  while (pattern.charCodeAt(p) === STAR) p++;
  return p === pattern.length;
}
