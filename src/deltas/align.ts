/**
 * Aligns a new file with an earlier version of it: finds the stretches that resemble the old file, with some bytes
 * changed. The rules are those of bsdiff (Percival, "Naive differences of executable code", 2003); a table of seeds
 * stands in for its suffix array.
 */
import {
  agreeingBytes,
  divideBytes,
  equalBytes,
  resemblingBytes,
  resemblingBytesBackwards,
  type Stretch,
} from './compare-bytes.ts';
import { hashSeed, rollSeed, SEED_BYTES, type SeedTable } from './seed-table.ts';

/** How many bytes more than the current alignment another one must explain. */
const BETTER_BY = 8;
/** Runs of equal bytes for which no other alignment is looked for. */
const LONG_RUN = 16;
/** How far the next alignment is extended backwards at least, and as a multiple of what was scanned since the last one. */
const MIN_BACKWARDS = 1024;
const BACKWARDS = 4;
/** Bytes by which the current alignment is judged, how many of them must agree, and how far the judgement holds. */
const JUDGED = 32;
const AGREEING = 24;
const JUDGED_FOR = 16;

/**
 * Yields the stretches in the order of the new file, in which they do not overlap.
 * @param seeds a table to use
 */
export function* align(before: Uint8Array, after: Uint8Array, seeds: SeedTable): Generator<Stretch> {
  seeds.index(before);
  /** Where the current alignment begins in the new file, and how much later that is in the old one. */
  let [start, offset] = [0, 0];
  let [scan, judgedUntil] = [0, 0];
  let [hash, hashedAt] = [0, -2];
  /** Up to where the last alignment was known when it was found. */
  let known = 0;
  const end = after.length - SEED_BYTES;
  while (scan <= end) {
    const along = scan + offset;
    const run = before[along] === after[scan] ? equalBytes(before, along, after, scan, after.length) : 0;
    if (run >= LONG_RUN) {
      scan += run;
      continue;
    }
    if (scan >= judgedUntil) {
      if (agreeingBytes(before, along, after, scan, JUDGED) >= AGREEING) {
        scan += run + 1;
        continue;
      }
      judgedUntil = scan + JUDGED_FOR;
    }
    hash = hashedAt === scan - 1 ? rollSeed(hash, after, scan) : hashSeed(after, scan);
    hashedAt = scan;
    if (
      !seeds.find(hash, after, scan) ||
      seeds.length <= agreeingBytes(before, along, after, scan, seeds.length) + BETTER_BY
    ) {
      scan++;
      continue;
    }
    const other = { from: seeds.from, length: seeds.length };
    // Forwards from the last alignment, and backwards from the other one, as far as most bytes are equal.
    let length = resemblingBytes(before, start + offset, after, start, scan - start);
    const furthest = Math.min(scan - start, Math.max(MIN_BACKWARDS, BACKWARDS * (scan - known)));
    let earlier = resemblingBytesBackwards(before, other.from, after, scan, furthest);
    const overlap = start + length - (scan - earlier);
    if (overlap > 0) {
      const at = scan - earlier;
      const kept = divideBytes(before, at + offset, other.from - earlier, after, at, overlap);
      length += kept - overlap;
      earlier -= kept;
    }
    if (length > 0) yield { from: start + offset, at: start, length };
    [start, offset] = [scan - earlier, other.from - scan];
    scan += other.length;
    known = scan;
  }
  const length = resemblingBytes(before, start + offset, after, start, after.length - start);
  if (length > 0) yield { from: start + offset, at: start, length };
}
