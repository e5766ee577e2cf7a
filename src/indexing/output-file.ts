/** The file that an index is written to beside being served, for web servers that serve files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { entityTag } from './snapshot/region-writer.ts';
import type { Snapshot } from './snapshot/snapshot.ts';
import { writeFileWhole } from './write-file.ts';

/**
 * Makes the file at `path` the whole index of `snapshot`. A file that is that already is left alone, with its time.
 * Returns whether it was written.
 */
export async function writeOutput(path: string, snapshot: Snapshot): Promise<boolean> {
  const whole = snapshot.document('')?.representations.identity;
  if (whole === undefined) throw new Error(`the snapshot of ${snapshot.footer.index} holds no whole index`);
  const size = await stat(path).then((stats) => stats.size, () => -1);
  if (size === whole.length && (await entityTagOf(path)) === whole.etag) return false;
  await mkdir(dirname(path), { recursive: true });
  await writeFileWhole(path, async (file) => {
    await pipeline(snapshot.stream(whole), file.createWriteStream({ autoClose: false }));
  });
  return true;
}

async function entityTagOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return entityTag(hash);
}
