/** Reads chunks from the store. */
import type { PublicationReader } from '../../store/publications.ts';
import { Chunk, type ChunkUse, type ReadSegment } from './chunk.ts';

/** Heads that are read together: if all were, none could be freed before the last one is decoded. */
const BATCH = 64;

/** Options of {@link readChunks}. */
export interface ReadChunksOptions {
  readonly readSegment: ReadSegment;
  readonly use: ChunkUse;
  /** Chunks that were read before, and are reused. */
  readonly known?: readonly Chunk[] | undefined;
}

/**
 * Reads the chunks with these names, in order; `undefined` if one of them was removed.
 * @throws StoreError
 */
export async function readChunks(
  reader: PublicationReader,
  names: readonly string[],
  { readSegment, use, known = [] }: ReadChunksOptions,
): Promise<readonly Chunk[] | undefined> {
  const found = new Map(known.map((chunk) => [chunk.name, chunk]));
  const missing = names.filter((name) => !found.has(name));
  for (let start = 0; start < missing.length; start += BATCH) {
    for (const [name, head] of await reader.chunkHeads(missing.slice(start, start + BATCH)))
      found.set(name, new Chunk(name, head, readSegment, use));
  }
  const chunks = names.flatMap((name) => found.get(name) ?? []);
  return chunks.length < names.length ? undefined : chunks;
}
