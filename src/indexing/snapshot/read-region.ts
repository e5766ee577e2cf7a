/** Reads parts of an open file. Not with its own streams: each would leave a listener on a file that outlives it. */
import type { FileHandle } from 'node:fs/promises';
import type { Region } from './format.ts';

/** Of a piece of a region, at most. */
export const CHUNK_BYTES = 256 * 1024;

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

/**
 * A region piece by piece.
 * @param place of {@link CHUNK_BYTES}, for who needs no piece any more when the next comes: all of them are read into it
 */
export async function* regionChunks(file: FileHandle, { offset, length }: Region, place?: Buffer): AsyncGenerator<Buffer> {
  for (let read = 0; read < length; read += CHUNK_BYTES) {
    const size = Math.min(CHUNK_BYTES, length - read);
    yield await readInto(file, place?.subarray(0, size) ?? Buffer.allocUnsafe(size), offset + read);
  }
}
