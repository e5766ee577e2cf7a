/** Reads what can still be read of the PNGs in a file that is damaged. */
import { DatabaseSync } from 'node:sqlite';
import { type Digest, matchesDigest } from '../../registry/digest.ts';

/** Bytes that are held at once. */
const BATCH = 4 * 1024 * 1024;

/** The PNGs in `file`, some at a time; those that are damaged are left out. */
export function* readPngs(file: string): Generator<ReadonlyMap<Digest, Uint8Array>> {
  let pngs = new Map<Digest, Uint8Array>();
  let bytes = 0;
  try {
    using database = new DatabaseSync(file, { readOnly: true });
    // Of the index alone: a page of the table that is damaged hides no others.
    const digests = database.prepare('SELECT digest FROM png').all().map((row) => String(row['digest']) as Digest);
    const select = database.prepare('SELECT bytes FROM png WHERE digest = ?');
    for (const digest of digests) {
      const png = readOne(() => select.get(digest)?.['bytes']);
      if (!(png instanceof Uint8Array) || !matchesDigest(png, digest)) continue;
      pngs.set(digest, png);
      bytes += png.length;
      if (bytes < BATCH) continue;
      yield pngs;
      pngs = new Map();
      bytes = 0;
    }
  } catch {
    // Nothing of it can be read.
  }
  yield pngs;
}

function readOne(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return undefined;
  }
}
