/** The files that indexes are written to beside being served, for web servers that serve files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '../make-folder.ts';
import { entityTag } from './snapshot/region-writer.ts';
import type { Snapshot } from './snapshot/snapshot.ts';
import { writeFileWhole } from './write-file.ts';

export class OutputFiles {
  /** What each file was when it last held what it should: while it is that, it need not be read again. */
  readonly #seen = new Map<string, { readonly etag: string; readonly state: FileState | undefined }>();

  /**
   * Makes the file at `path` the whole index of `snapshot`. A file that is that already is left alone, with its time.
   * Returns whether it was written.
   */
  async write(path: string, snapshot: Snapshot): Promise<boolean> {
    const whole = snapshot.document('')?.representations.identity;
    if (whole === undefined) throw new Error(`the snapshot of ${snapshot.footer.index} holds no whole index`);
    const { etag } = whole;
    const state = await stateOf(path);
    const seen = this.#seen.get(path);
    if (state !== undefined && seen?.etag === etag && seen.state?.version === state.version) return false;

    const same = state?.size === whole.length && (await entityTagOf(path)) === etag;
    if (!same) {
      makeFolder(dirname(path));
      await writeFileWhole(path, async (file) => {
        await file.writeFile(snapshot.stream(whole));
      });
    }
    this.#seen.set(path, { etag, state: await stateOf(path) });
    return !same;
  }
}

interface FileState {
  readonly size: number;
  /** Another one after every write. */
  readonly version: string;
}

/** `undefined` if there is no file. */
async function stateOf(path: string): Promise<FileState | undefined> {
  try {
    const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
    return { size: Number(size), version: [dev, ino, size, ctimeNs].join(' ') };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function entityTagOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return entityTag(hash);
}
