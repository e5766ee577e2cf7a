/** One gzip member (RFC 1952) out of parts that were compressed by themselves. */
import { promisify } from 'node:util';
import zlib, { crc32 } from 'node:zlib';
import { combineCrc32 } from './crc32-combine.ts';

const deflateRaw = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);
const inflateRaw = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.inflateRaw);

/** No name, no time, no word on system or level: the same content gives the same bytes. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** An empty stored block that ends the stream (RFC 1951, section 3.2.4). */
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);
/** The most that a stored block takes, in bytes. */
const MAX_STORED = 0xffff;
/** Bytes that are inflated at once where they are sent piece by piece. */
const PIECE = 64 * 1024;
/** Bytes as raw deflate that ends at a byte's end without a last block, so that others can follow. */
export interface Deflated {
  /** Compressed, in bytes. */
  readonly size: number;
  /** Of what was compressed, in bytes. */
  readonly length: number;
  /** The CRC-32 of what was compressed. */
  readonly crc: number;
  /** What was compressed; it may have to be read first. */
  readonly bytes: () => Buffer | Promise<Buffer>;
}

/** What a stream ended by a sync flush needs to be read without an error. */
const OPEN_ENDED: zlib.ZlibOptions = { finishFlush: zlib.constants.Z_SYNC_FLUSH };

/** Compresses `bytes`, off the calling thread. @param level of zlib */
export async function deflate(bytes: Buffer, level: number): Promise<Deflated> {
  // Zlib returns a slice of a buffer as long as `bytes`, which would stay in memory with it.
  const deflated = bytes.length === 0 ? bytes : copyOf(await deflateRaw(bytes, { ...OPEN_ENDED, level, chunkSize: Math.max(1024, bytes.length) }));
  return { size: deflated.length, length: bytes.length, crc: crc32(bytes), bytes: () => deflated };
}

/** Copies `bytes` into memory of its own, so that the buffer it was cut from can be freed. */
export function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** What was compressed, off the calling thread. @throws Error with the `code` of zlib if it is damaged */
export async function inflate({ bytes, length }: Deflated): Promise<Buffer> {
  return length === 0 ? Buffer.alloc(0) : inflateRaw(await bytes(), { ...OPEN_ENDED, chunkSize: Math.max(1024, length) });
}

/** The same in pieces, each once it is asked for, so that no more than that is held for who takes it slowly. */
export async function* inflateInPieces(deflated: Deflated): AsyncGenerator<Buffer> {
  if (deflated.length <= PIECE) {
    yield await inflate(deflated);
    return;
  }
  const inflating = zlib.createInflateRaw({ ...OPEN_ENDED, chunkSize: PIECE });
  inflating.end(await deflated.bytes());
  yield* inflating as AsyncIterable<Buffer>;
}

/** A short text as it is, in stored blocks. */
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

/** The parts of a gzip member that holds all of `parts` in their order, in as many bytes as all their sizes. */
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
  // Modulo 2³² (RFC 1952, section 2.3.1).
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  return [asItIs(HEADER), ...filled, asItIs(Buffer.concat([LAST_BLOCK, trailer]))];
}

function asItIs(bytes: Buffer): Pick<Deflated, 'size' | 'bytes'> {
  return { size: bytes.length, bytes: () => bytes };
}
