/** Uncompresses layers and deltas. */
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { DeltaError } from './delta-error.ts';
import { splitFrames } from './zstd-frames.ts';

const CHUNK_BYTES = 64 * 1024;
/** The first bytes of gzip, of zstd, and of a skippable zstd frame from its second byte on (RFC 1952, RFC 8878). */
const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const SKIPPABLE = Buffer.from([0x2a, 0x4d, 0x18]);
const MAGIC_BYTES = 4;

/**
 * Yields the bytes uncompressed, if their beginning says that they are gzip or zstd, else unchanged.
 * @param name of what they are from, for messages
 * @throws DeltaError `damaged` if they cannot be uncompressed
 */
export async function* uncompress(chunks: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  const [magic, rest] = await peek(chunks, MAGIC_BYTES);
  const all = followed(magic, rest);
  if (magic.subarray(0, GZIP.length).equals(GZIP)) yield* through(all, createGunzip({ chunkSize: CHUNK_BYTES }), name);
  else if (magic.equals(ZSTD) || magic.subarray(1).equals(SKIPPABLE)) yield* uncompressZstd(all, name);
  else yield* all;
}

/**
 * Yields the content of a zstd stream.
 * @throws DeltaError `damaged` if it is not one
 */
export function uncompressZstd(chunks: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  return through(splitFrames(chunks, name), createZstdDecompress({ chunkSize: CHUNK_BYTES }), name);
}

/** The first `length` bytes, fewer if there are no more, and the bytes after them. */
export async function peek(
  chunks: AsyncIterable<Buffer>,
  length: number,
): Promise<readonly [first: Buffer, rest: AsyncGenerator<Buffer>]> {
  const iterator = chunks[Symbol.asyncIterator]();
  let seen = Buffer.alloc(0);
  while (seen.length < length) {
    const { value, done } = await iterator.next();
    if (done) break;
    seen = Buffer.concat([seen, value]);
  }
  return [seen.subarray(0, length), followed(seen.subarray(length), iterator)];
}

async function* followed(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function* through(chunks: AsyncIterable<Buffer>, decompressor: Transform, name: string): AsyncGenerator<Buffer> {
  // Its errors are those of the decompressor.
  const feeding = pipeline(chunks, decompressor).catch(() => undefined);
  try {
    for await (const chunk of decompressor) yield chunk as Buffer;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && /^Z(?:STD)?_/.test(String(cause.code)))) throw cause;
    throw new DeltaError('damaged', `${name}: cannot be uncompressed (${cause.message})`, { cause });
  } finally {
    await feeding;
  }
}
