/** Finds what a new file has in common with an old one, by the hashes of seeds: a few bytes at regular distances. */
import { equalBytes } from './compare-bytes.ts';

/** Bytes of a seed. */
export const SEED_BYTES = 12;
/** The least distance between two seeds of the old file. */
const MIN_STRIDE = 8;
/** Bits of an entry that number a seed, from 1 on; the others hold a part of its hash. */
const NUMBER_BITS = 21;
const NUMBER_MASK = 2 ** NUMBER_BITS - 1;
const MIN_BUCKET_BITS = 4;
/** A bit for each of so many parts of a bucket says whether it has a seed; most have none, and this stays in the cache. */
const FILTER_BITS = 3;
/** The most seeds of a bucket that are looked at, and the most bytes that are compared at each. */
const MAX_TRIES = 8;
const MAX_COMPARED = 4096;

/** 2⁵ bits are a word of the filter; a shift takes the last five bits of its distance. */
const WORD_BITS = 5;

const MULTIPLIER = 0x2c9277b5;
/** {@link MULTIPLIER} raised to {@link SEED_BYTES}, modulo 2³². */
const LEAVING = Array.from({ length: SEED_BYTES }).reduce<number>((power) => Math.imul(power, MULTIPLIER), 1);

/** Hashes the seed at `start`. */
export function hashSeed(bytes: Uint8Array, start: number): number {
  let hash = 0;
  for (let place = start; place < start + SEED_BYTES; place++)
    hash = (Math.imul(hash, MULTIPLIER) + (bytes[place] as number)) | 0;
  return hash;
}

/** The hash of the seed at `start`, from that of the seed one byte before. */
export function rollSeed(hash: number, bytes: Uint8Array, start: number): number {
  const entering = bytes[start + SEED_BYTES - 1] as number;
  const leaving = bytes[start - 1] as number;
  return (Math.imul(hash, MULTIPLIER) + entering - Math.imul(LEAVING, leaving)) | 0;
}

/** The seeds of one old file at a time. Its memory is used again for the next file. */
export class SeedTable {
  /** Where the bytes that {@link find} has found begin in the old file, and how many they are. */
  from = 0;
  length = 0;
  #before: Uint8Array = new Uint8Array(0);
  #stride = MIN_STRIDE;
  #shift = 32 - MIN_BUCKET_BITS;
  #filter = new Int32Array(0);
  /** The first entry of each bucket; 0 if there is none. */
  #heads = new Int32Array(0);
  /** The next entry of the same bucket, by the number of a seed. */
  #next = new Int32Array(0);

  /** Replaces all seeds by those of a file. */
  index(before: Uint8Array): void {
    this.#before = before;
    this.#stride = Math.max(MIN_STRIDE, Math.ceil(before.length / NUMBER_MASK));
    const seeds = Math.max(0, Math.floor((before.length - SEED_BYTES) / this.#stride) + 1);
    const bits = Math.max(MIN_BUCKET_BITS, Math.ceil(Math.log2(seeds)));
    this.#shift = 32 - bits;
    if (this.#heads.length < 2 ** bits) this.#heads = new Int32Array(2 ** bits);
    else this.#heads.fill(0, 0, 2 ** bits);
    const words = 2 ** (bits + FILTER_BITS - WORD_BITS);
    if (this.#filter.length < words) this.#filter = new Int32Array(words);
    else this.#filter.fill(0, 0, words);
    if (this.#next.length <= seeds) this.#next = new Int32Array(seeds + 1);
    // Backwards, so that the first one of the file is found first.
    for (let number = seeds; number > 0; number--) {
      const mixed = mix(hashSeed(before, (number - 1) * this.#stride));
      const bucket = mixed >>> this.#shift;
      this.#next[number] = this.#heads[bucket] as number;
      this.#heads[bucket] = (mixed << NUMBER_BITS) | number;
      const bit = mixed >>> (this.#shift - FILTER_BITS);
      this.#filter[bit >>> WORD_BITS] = (this.#filter[bit >>> WORD_BITS] as number) | (1 << bit);
    }
  }

  /**
   * Finds the longest run of bytes that equals those of the new file at `at`, which begin with a seed of this hash.
   * Says whether there is one.
   */
  find(hash: number, after: Uint8Array, at: number): boolean {
    const mixed = mix(hash);
    this.length = 0;
    const bit = mixed >>> (this.#shift - FILTER_BITS);
    if (((this.#filter[bit >>> WORD_BITS] as number) & (1 << bit)) === 0) return false;
    const tag = mixed << NUMBER_BITS;
    const before = this.#before;
    let entry = this.#heads[mixed >>> this.#shift] as number;
    for (let tries = 0; entry !== 0 && tries < MAX_TRIES; tries++) {
      const number = entry & NUMBER_MASK;
      if ((entry ^ tag) >>> NUMBER_BITS === 0) {
        const from = (number - 1) * this.#stride;
        if (this.length === 0 || before[from + this.length] === after[at + this.length]) {
          const length = equalBytes(before, from, after, at, MAX_COMPARED);
          if (length >= SEED_BYTES && length > this.length) {
            this.from = from;
            this.length = length;
          }
        }
      }
      entry = this.#next[number] as number;
    }
    return this.length > 0;
  }
}

/** Spreads a hash over all bits: the first ones choose the bucket, the last ones are kept. */
function mix(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x9e3779b1);
}
