/** Compares blobs with their digests, once for each state of a file: what a name says is not what a hard link or a fault has put there. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { digestAlgorithm, type Digest } from '../digest.ts';
import type { ContainedFile } from './contained-folder.ts';

const MAX_KEPT = 10_000;
const CHUNK_BYTES = 1024 * 1024;

export class CheckedBlobs {
  /** By digest and the file's identity. */
  readonly #checked = new LRUCache<string, Promise<boolean>>({ max: MAX_KEPT });

  /** Says whether the file holds what `digest` names; it stays open until that is known. */
  async match(digest: Digest, file: ContainedFile): Promise<boolean> {
    const key = `${digest} ${file.identity}`;
    const known = this.#checked.get(key);
    // The one who has opened the other file may fail to read it.
    if (known !== undefined) return known.catch(() => this.#check(key, digest, file));
    return this.#check(key, digest, file);
  }

  #check(key: string, digest: Digest, file: ContainedFile): Promise<boolean> {
    const checking = matches(digest, file);
    this.#checked.set(key, checking);
    checking.catch(() => this.#checked.delete(key));
    return checking;
  }
}

async function matches(digest: Digest, { handle }: ContainedFile): Promise<boolean> {
  const algorithm = digestAlgorithm(digest);
  const hash = createHash(algorithm);
  for await (const chunk of handle.createReadStream({ start: 0, autoClose: false, highWaterMark: CHUNK_BYTES })) hash.update(chunk as Buffer);
  return `${algorithm}:${hash.digest('hex')}` === digest;
}
