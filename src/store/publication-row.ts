/** Publications as rows of every engine: the names of their chunks as bytes, and a checksum. */
import { crc32 } from 'node:zlib';
import type { Publication } from './publications.ts';

/** Bytes of a chunk's name, which is a SHA-256. */
export const NAME_BYTES = 32;

/** Joins the names of chunks, {@link NAME_BYTES} bytes each. */
export function nameBytes(names: readonly string[]): Buffer {
  return Buffer.from(names.join(''), 'hex');
}

/** Splits what {@link nameBytes} joined. */
export function namesIn(bytes: Uint8Array): string[] {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return Array.from({ length: bytes.byteLength / NAME_BYTES }, (_, place) =>
    hex.slice(place * NAME_BYTES * 2, (place + 1) * NAME_BYTES * 2),
  );
}

/**
 * Computes the checksum that guards a publication, which nothing names by its content.
 * @param chunks the names of its chunks, as {@link nameBytes} joins them
 */
export function checksumOf(
  { index, version, format, registry, modified, origin }: Omit<Publication, 'chunks'>,
  chunks: Uint8Array,
): number {
  return crc32(chunks, crc32(JSON.stringify([index, version, format, registry, modified, origin])));
}
