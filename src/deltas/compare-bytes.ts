/** Compares stretches of two files. */

/** Two stretches of the same length: where one begins in the old file, and the other in the new one. */
export interface Stretch {
  readonly from: number;
  readonly at: number;
  readonly length: number;
}

/** Counts the equal bytes before the first different one, `limit` at most. */
export function equalBytes(before: Uint8Array, from: number, after: Uint8Array, at: number, limit: number): number {
  const end = Math.min(limit, before.length - from, after.length - at);
  let length = 0;
  while (length < end && before[from + length] === after[at + length]) length++;
  return length;
}

/** Counts the places at which both have the same byte, of `length`; there are none beyond the end of the old file. */
export function agreeingBytes(before: Uint8Array, from: number, after: Uint8Array, at: number, length: number): number {
  const end = Math.min(length, before.length - from, after.length - at);
  let count = 0;
  for (let place = 0; place < end; place++) if (before[from + place] === after[at + place]) count++;
  return count;
}

/** The length, up to `limit`, for which the number of equal bytes exceeds that of different ones the most. */
export function resemblingBytes(
  before: Uint8Array,
  from: number,
  after: Uint8Array,
  at: number,
  limit: number,
): number {
  const end = Math.min(limit, before.length - from);
  let score = 0;
  let best = 0;
  let length = 0;
  for (let place = 0; place < end; place++) {
    score += before[from + place] === after[at + place] ? 1 : -1;
    if (score > best) {
      best = score;
      length = place + 1;
    }
  }
  return length;
}

/** As {@link resemblingBytes}, of the bytes that end at `from` and `at`. */
export function resemblingBytesBackwards(
  before: Uint8Array,
  from: number,
  after: Uint8Array,
  at: number,
  limit: number,
): number {
  const end = Math.min(limit, from);
  let score = 0;
  let best = 0;
  let length = 0;
  for (let place = 1; place <= end; place++) {
    score += before[from - place] === after[at - place] ? 1 : -1;
    if (score > best) {
      best = score;
      length = place;
    }
  }
  return length;
}

/**
 * Divides bytes of the new file between two stretches of the old one that both claim them.
 * @param first where these bytes are in the first stretch, and `second` in the second one
 * @returns how many of them, from the beginning, the first stretch keeps
 */
export function divideBytes(
  before: Uint8Array,
  first: number,
  second: number,
  after: Uint8Array,
  at: number,
  length: number,
): number {
  let score = 0;
  let best = 0;
  let kept = 0;
  for (let place = 0; place < length; place++) {
    if (before[first + place] === after[at + place]) score++;
    if (before[second + place] === after[at + place]) score--;
    if (score > best) {
      best = score;
      kept = place + 1;
    }
  }
  return kept;
}
