/** Recovers PNGs from a damaged file of publications. */
import { DatabaseSync } from 'node:sqlite';
import { type Digest, matchesDigest } from '../../registry/digest.ts';

/** Bytes of PNGs that are yielded together. */
const BATCH = 4 * 1024 * 1024;

/** Yields the intact PNGs in `file`, in batches. */
export function* readPngs(file: string): Generator<ReadonlyMap<Digest, Uint8Array>> {
  let pngs = new Map<Digest, Uint8Array>();
  let bytes = 0;
  try {
    using database = new DatabaseSync(file, { readOnly: true });
    // SQLite reads this from the table's index alone, so that a damaged page of the table hides no other PNGs.
    const digests = database
      .prepare('SELECT digest FROM png')
      .all()
      .map((row) => String(row['digest']) as Digest);
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
    // The file cannot be read at all.
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
