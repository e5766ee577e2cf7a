/** Reads parts of an open file. Not with its own streams: each would leave a listener on a file that outlives it. */
import type { FileHandle } from 'node:fs/promises';
import type { Region } from './format.ts';

const CHUNK_BYTES = 256 * 1024;

/** Fills `into` with what stands in the file from `position` on. */
export async function readInto(file: FileHandle, into: Buffer, position: number): Promise<Buffer> {
  for (let offset = 0; offset < into.length; ) {
    const { bytesRead } = await file.read(into, offset, into.length - offset, position + offset);
    if (bytesRead === 0) throw new RangeError('a file became shorter while it was read');
    offset += bytesRead;
  }
  return into;
}

export function readRegion(file: FileHandle, { offset, length }: Region): Promise<Buffer> {
  return readInto(file, Buffer.allocUnsafe(length), offset);
}

/** A region piece by piece, each in the place of the one before: for who needs no piece any more when the next comes. */
export async function* passingChunks(file: FileHandle, { offset, length }: Region): AsyncGenerator<Buffer> {
  const place = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length));
  for (let read = 0; read < length; read += CHUNK_BYTES) {
    yield await readInto(file, place.subarray(0, Math.min(CHUNK_BYTES, length - read)), offset + read);
  }
}

/** A region piece by piece. */
export async function* regionChunks(file: FileHandle, { offset, length }: Region): AsyncGenerator<Buffer> {
  for (let read = 0; read < length; read += CHUNK_BYTES) {
    yield await readRegion(file, { offset: offset + read, length: Math.min(CHUNK_BYTES, length - read) });
  }
}
