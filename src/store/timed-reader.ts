/** Measures how long reads of publications take. */
import type { PublicationReader } from './publications.ts';

/** Reads that are measured. */
export type ReadOperation = keyof PublicationReader;

/** Wraps a reader; `onRead` gets the duration of each read in seconds, whether it succeeds or fails. */
export function timedReader(
  reader: PublicationReader,
  onRead: (operation: ReadOperation, seconds: number) => void,
): PublicationReader {
  const timed = async <T>(operation: ReadOperation, read: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    try {
      return await read();
    } finally {
      onRead(operation, (performance.now() - started) / 1000);
    }
  };
  return {
    publication: (index) => timed('publication', () => reader.publication(index)),
    chunkHeads: (names) => timed('chunkHeads', () => reader.chunkHeads(names)),
    chunkSegment: (name, segment) => timed('chunkSegment', () => reader.chunkSegment(name, segment)),
    png: (digest) => timed('png', () => reader.png(digest)),
    apps: (index) => timed('apps', () => reader.apps(index)),
  };
}
