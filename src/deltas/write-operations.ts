/** Makes the operations that lead from the files of an old layer to the archive of a new one. */
import { align } from './align.ts';
import type { Stretch } from './compare-bytes.ts';
import type { FilePair } from './match-files.ts';
import { OperationWriter } from './operations.ts';
import type { RandomAccess } from './random-access.ts';
import { SeedTable } from './seed-table.ts';

/** Larger files are aligned piece by piece, which bounds the memory. */
const PIECE_BYTES = 64 * 1024 * 1024;
/** How much further the content of a piece may have moved than the piece itself. */
const MOVED_BYTES = 16 * 1024 * 1024;
/** Shorter runs of equal bytes are added, with the different ones around them. */
const MIN_COPIED = 8;

/** Yields the operations in chunks. */
export function* writeOperations(
  beforeArchive: RandomAccess,
  afterArchive: RandomAccess,
  pairs: readonly FilePair[],
): Generator<Buffer> {
  const writer = new OperationWriter();
  const seeds = new SeedTable();
  const [beforeMemory, afterMemory] = [new ReusedMemory(), new ReusedMemory()];
  /** Up to where the new archive is written. */
  let written = 0;

  /** Writes the bytes of the new archive up to `end`. */
  function* data(end: number): Generator<Buffer> {
    if (end === written) return;
    writer.data(end - written);
    for (const bytes of afterArchive.pieces(written, end - written)) {
      writer.put(bytes);
      yield* writer.take();
    }
    written = end;
  }

  for (const { before, after, equal } of pairs) {
    if (equal) {
      yield* data(after.position);
      writer.copy(before.path, 0, after.size);
      written += after.size;
      continue;
    }
    for (const { from, at, length, oldLength } of piecesOf(before.size, after.size)) {
      const old = beforeArchive.readInto(beforeMemory.take(oldLength), before.position + from);
      const now = afterArchive.readInto(afterMemory.take(length), after.position + at);
      for (const stretch of align(old, now, seeds)) {
        for (const run of runsOf(old, now, stretch)) {
          const place = after.position + at + run.at;
          if (place > written) yield* data(place);
          if (run.equal) writer.copy(before.path, from + run.from, run.length);
          else writer.add(before.path, from + run.from, old, now, run);
          written += run.length;
        }
        if (writer.isFull) yield* writer.take();
      }
    }
  }
  yield* data(afterArchive.size);
  writer.flush();
  yield* writer.take();
}

/** The pieces of a file, each with the part of the old file that it is aligned with. */
function* piecesOf(beforeSize: number, afterSize: number): Generator<Stretch & { readonly oldLength: number }> {
  if (beforeSize <= PIECE_BYTES && afterSize <= PIECE_BYTES) {
    yield { from: 0, at: 0, length: afterSize, oldLength: beforeSize };
    return;
  }
  for (let at = 0; at < afterSize; at += PIECE_BYTES) {
    const from = Math.max(0, Math.floor((at / afterSize) * beforeSize) - MOVED_BYTES);
    const oldLength = Math.min(beforeSize - from, PIECE_BYTES + 2 * MOVED_BYTES);
    yield { from, at, length: Math.min(PIECE_BYTES, afterSize - at), oldLength };
  }
}

/** Splits a stretch into runs of equal bytes, and runs in which bytes differ. */
function* runsOf(
  before: Uint8Array,
  after: Uint8Array,
  { from, at, length }: Stretch,
): Generator<Stretch & { readonly equal: boolean }> {
  const run = (start: number, end: number, equal: boolean) => ({
    from: from + start,
    at: at + start,
    length: end - start,
    equal,
  });
  let start = 0;
  for (let place = 0; place < length;) {
    let end = place;
    while (end < length && before[from + end] === after[at + end]) end++;
    if (end - place >= MIN_COPIED) {
      if (place > start) yield run(start, place, false);
      yield run(place, end, true);
      start = end;
    }
    place = end;
    while (place < length && before[from + place] !== after[at + place]) place++;
  }
  if (start < length) yield run(start, length, false);
}

/** Memory that grows to the largest size that was asked for. */
class ReusedMemory {
  #memory: Buffer = Buffer.alloc(0);

  take(length: number): Buffer {
    if (length > this.#memory.length) this.#memory = Buffer.allocUnsafeSlow(length);
    return this.#memory.subarray(0, length);
  }
}
