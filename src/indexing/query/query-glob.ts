/**
 * Globs in queries, where `*` and `?` also match `/`, as in Flagstate. The configuration uses
 * `registry/config-glob.ts`, where they do not.
 */

/** Characters between two yields. */
const TURN = 32 * 1024;
const QUESTION_MARK = 0x3f;
/** Bits of one word of a mask. */
const WORD = 32;
/** Code points below this have their masks in an array. */
const COMMON = 256;
/** Steps that it takes to look up a character. */
const LOOK_UP = 4;

/** Part of a pattern between two stars. */
interface Piece {
  /** Question marks before and after the rest. */
  readonly before: number;
  readonly after: number;
  /** Finds the rest: yields now and then, and returns the end of the match, or -1. */
  find(text: string, from: number): Generator<void, number>;
  /** Steps for each character of the text. */
  readonly steps: number;
}

/** A pattern, matched in time linear in the length of the text. */
export class Glob {
  readonly #first: string;
  /** `undefined` if there is no star. */
  readonly #last: string | undefined;
  readonly #middle: readonly Piece[];

  constructor(pattern: string) {
    const [first = '', ...others] = pattern.split(/\*+/);
    this.#first = first;
    this.#last = others.pop();
    this.#middle = others.map(pieceOf);
  }

  /** Returns the most steps that matching `text` takes. */
  steps(text: string): number {
    const ends = this.#first.length + (this.#last?.length ?? 0) + 1;
    return ends + (this.#middle.length === 0 ? 0 : text.length * Math.max(...this.#middle.map(({ steps }) => steps)));
  }

  /** Says whether the pattern matches all of `text`; yields now and then. */
  *compare(text: string): Generator<void, boolean> {
    let from = prefixEnd(this.#first, text);
    if (from === -1) return false;
    if (this.#last === undefined) return from === text.length;
    for (const part of this.#middle) {
      from = skip(text, from, part.before);
      if (from === -1) return false;
      from = yield* part.find(text, from);
      if (from === -1) return false;
      from = skip(text, from, part.after);
      if (from === -1) return false;
    }
    return suffixStart(this.#last, text) >= from;
  }
}

/** Says, without yielding, whether `glob` matches all of `text`. */
export function matches(glob: Glob, text: string): boolean {
  const comparing = glob.compare(text);
  for (;;) {
    const { done, value } = comparing.next();
    if (done === true) return value;
  }
}

function pieceOf(text: string): Piece {
  const core = text.replace(/^\?+/, '');
  const before = text.length - core.length;
  const rest = core.replace(/\?+$/, '');
  const after = core.length - rest.length;
  return rest.includes('?') ? { before, after, ...holed(rest) } : { before, after, ...literal(rest) };
}

/** Finds a text without question marks (Knuth–Morris–Pratt). */
function literal(wanted: string): Pick<Piece, 'find' | 'steps'> {
  // Length of the longest border of each prefix.
  const borders = new Int32Array(wanted.length);
  for (let i = 1, border = 0; i < wanted.length; i++) {
    while (border > 0 && wanted.charCodeAt(i) !== wanted.charCodeAt(border)) border = borders[border - 1] ?? 0;
    if (wanted.charCodeAt(i) === wanted.charCodeAt(border)) border++;
    borders[i] = border;
  }
  return {
    steps: 1,
    *find(text, from) {
      if (wanted === '') return from;
      for (let i = from, found = 0; i < text.length; i++) {
        const code = text.charCodeAt(i);
        while (found > 0 && code !== wanted.charCodeAt(found)) found = borders[found - 1] ?? 0;
        if (code === wanted.charCodeAt(found)) found++;
        if (found === wanted.length) return i + 1;
        if ((i - from) % TURN === TURN - 1) yield;
      }
      return -1;
    },
  };
}

/** Finds a text with question marks inside (Baeza-Yates–Gonnet, "bitap"): one bit for each prefix that ends here. */
function holed(wanted: string): Pick<Piece, 'find' | 'steps'> {
  const characters = Array.from(wanted, (character) => character.codePointAt(0) ?? 0);
  const words = Math.ceil(characters.length / WORD);
  const anything = new Int32Array(words);
  const set = (mask: Int32Array, bit: number): void => {
    const word = Math.floor(bit / WORD);
    mask[word] = (mask[word] ?? 0) | (1 << (bit % WORD));
  };
  for (const [bit, character] of characters.entries()) if (character === QUESTION_MARK) set(anything, bit);
  const masks = new Map<number, Int32Array>();
  /** Masks of the first {@link COMMON} code points, without a map look-up. */
  const common: Int32Array[] = Array.from({ length: COMMON }, () => anything);
  for (const [bit, character] of characters.entries()) {
    if (character === QUESTION_MARK) continue;
    const mask = masks.get(character) ?? anything.slice();
    set(mask, bit);
    masks.set(character, mask);
    if (character < COMMON) common[character] = mask;
  }
  const end = 1 << ((characters.length - 1) % WORD);
  return {
    steps: LOOK_UP + words,
    *find(text, from) {
      const state = new Int32Array(words);
      let turn = TURN;
      for (let i = from; i < text.length;) {
        const character = text.codePointAt(i) ?? 0;
        const mask = (character < COMMON ? common[character] : masks.get(character)) ?? anything;
        i += character > 0xffff ? 2 : 1;
        let carry = 1;
        for (let word = 0; word < words; word++) {
          const before = state[word] ?? 0;
          state[word] = ((before << 1) | carry) & (mask[word] ?? 0);
          carry = before >>> (WORD - 1);
        }
        if (((state[words - 1] ?? 0) & end) !== 0) return i;
        turn -= LOOK_UP + words;
        if (turn > 0) continue;
        turn = TURN;
        yield;
      }
      return -1;
    },
  };
}

/** Matches `pattern`, which has no star, at the beginning of `text`; returns its end, or -1. */
function prefixEnd(pattern: string, text: string): number {
  let at = 0;
  for (let p = 0; p < pattern.length; p++) {
    const code = pattern.charCodeAt(p);
    if (code === QUESTION_MARK) at = skip(text, at, 1);
    else at = at < text.length && text.charCodeAt(at) === code ? at + 1 : -1;
    if (at === -1) return -1;
  }
  return at;
}

/** Matches `pattern`, which has no star, at the end of `text`; returns its start, or -1. */
function suffixStart(pattern: string, text: string): number {
  let at = text.length;
  for (let p = pattern.length - 1; p >= 0; p--) {
    if (at === 0) return -1;
    const code = pattern.charCodeAt(p);
    if (code === QUESTION_MARK) at -= at > 1 && (text.codePointAt(at - 2) ?? 0) > 0xffff ? 2 : 1;
    else if (text.charCodeAt(at - 1) === code) at--;
    else return -1;
  }
  return at;
}

/**
 * Returns the position `count` characters on, or -1 beyond the end. A character outside of the basic plane takes two
 * positions.
 */
function skip(text: string, from: number, count: number): number {
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at >= text.length) return -1;
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  }
  return at;
}
