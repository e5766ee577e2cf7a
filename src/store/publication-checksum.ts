/** Guards a publication, which nothing names by its content. */
import { crc32 } from 'node:zlib';
import type { Publication } from './publications.ts';

/** @param chunks the names, 32 bytes each */
export function checksumOf(
  { index, version, format, registry, modified, origin }: Omit<Publication, 'chunks'>,
  chunks: Uint8Array,
): number {
  return crc32(chunks, crc32(JSON.stringify([index, version, format, registry, modified, origin])));
}
