/** Joins parts that were compressed separately into one gzip member (RFC 1952). */
import { promisify } from 'node:util';
import zlib, { crc32 } from 'node:zlib';
import { combineCrc32 } from './crc32-combine.ts';

const deflateRaw = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);
const inflateRaw = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.inflateRaw);

/** No name, time, system or level, so that the same content gives the same bytes. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** An empty stored block that ends the stream (RFC 1951, section 3.2.4). */
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);
/** Most bytes in a stored block. */
const MAX_STORED = 0xffff;
/** Bytes that are inflated at once by {@link inflateInPieces}. */
const PIECE = 64 * 1024;

/** Raw deflate data that ends on a byte boundary without a last block, so that more can follow. */
export interface Deflated {
  /** Compressed length, in bytes. */
  readonly size: number;
  /** Uncompressed length, in bytes. */
  readonly length: number;
  /** CRC-32 of the uncompressed data. */
  readonly crc: number;
  /** Returns the compressed data, which may have to be read first. */
  readonly bytes: () => Buffer | Promise<Buffer>;
}

/** Ends streams by a sync flush, and reads such streams without an error. */
const OPEN_ENDED: zlib.ZlibOptions = { finishFlush: zlib.constants.Z_SYNC_FLUSH };

/**
 * Compresses `bytes` off the calling thread.
 * @param level compression level of zlib
 */
export async function deflate(bytes: Buffer, level: number): Promise<Deflated> {
  // zlib returns a slice of a buffer as long as `bytes`, all of which would stay in memory.
  const deflated =
    bytes.length === 0
      ? bytes
      : copyOf(await deflateRaw(bytes, { ...OPEN_ENDED, level, chunkSize: Math.max(1024, bytes.length) }));
  return { size: deflated.length, length: bytes.length, crc: crc32(bytes), bytes: () => deflated };
}

/** Copies `bytes` into their own memory, so that the larger buffer that they are a slice of can be freed. */
export function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/**
 * Inflates off the calling thread.
 * @throws Error with zlib's `code` if the data are damaged
 */
export async function inflate({ bytes, length }: Deflated): Promise<Buffer> {
  // With one byte less, zlib would begin another buffer of that size.
  return length === 0
    ? Buffer.alloc(0)
    : inflateRaw(await bytes(), { ...OPEN_ENDED, chunkSize: Math.max(1024, length + 1) });
}

/** Inflates piece by piece, on demand, so that little memory is held for a slow reader. */
export async function* inflateInPieces(deflated: Deflated): AsyncGenerator<Buffer> {
  if (deflated.length <= PIECE) {
    yield await inflate(deflated);
    return;
  }
  const inflating = zlib.createInflateRaw({ ...OPEN_ENDED, chunkSize: PIECE });
  inflating.end(await deflated.bytes());
  yield* inflating as AsyncIterable<Buffer>;
}

/** Encodes a short text uncompressed, in stored blocks. */
export function stored(text: string): Deflated {
  const bytes = Buffer.from(text);
  const blocks: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += MAX_STORED) {
    const block = bytes.subarray(start, start + MAX_STORED);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    blocks.push(head, block);
  }
  const deflated = Buffer.concat(blocks);
  return { size: deflated.length, length: bytes.length, crc: crc32(bytes), bytes: () => deflated };
}

/** Returns the pieces of one gzip member that holds `parts` in order; its size is the sum of their sizes. */
export function gzipMember(parts: readonly Deflated[]): readonly Pick<Deflated, 'size' | 'bytes'>[] {
  let crc = 0;
  let length = 0;
  const filled = parts.filter((part) => part.length > 0);
  for (const part of filled) {
    crc = combineCrc32(crc, part.crc, part.length);
    length += part.length;
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc);
  // ISIZE is modulo 2³² (RFC 1952, section 2.3.1).
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  return [asItIs(HEADER), ...filled, asItIs(Buffer.concat([LAST_BLOCK, trailer]))];
}

function asItIs(bytes: Buffer): Pick<Deflated, 'size' | 'bytes'> {
  return { size: bytes.length, bytes: () => bytes };
}
