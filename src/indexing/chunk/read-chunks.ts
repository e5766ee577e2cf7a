/** Reads chunks out of the store. */
import type { PublicationReader } from '../../store/publications.ts';
import { Chunk, type ChunkUse, type ReadSegment } from './chunk.ts';

/** Heads that are read together. Of all at once, none could be freed before the last one is read. */
const BATCH = 64;

export interface ReadChunksOptions {
  readonly readSegment: ReadSegment;
  readonly use: ChunkUse;
  /** Chunks that were read before, which are taken as they are. */
  readonly known?: readonly Chunk[] | undefined;
}

/** The chunks of these names, in their order; `undefined` if one of them is not there any more. @throws StoreError */
export async function readChunks(reader: PublicationReader, names: readonly string[], { readSegment, use, known = [] }: ReadChunksOptions): Promise<readonly Chunk[] | undefined> {
  const found = new Map(known.map((chunk) => [chunk.name, chunk]));
  const missing = names.filter((name) => !found.has(name));
  for (let start = 0; start < missing.length; start += BATCH) {
    for (const [name, head] of await reader.chunkHeads(missing.slice(start, start + BATCH))) found.set(name, new Chunk(name, head, readSegment, use));
  }
  const chunks = names.flatMap((name) => found.get(name) ?? []);
  return chunks.length < names.length ? undefined : chunks;
}
