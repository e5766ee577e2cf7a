/** Compares blobs with their digests: a file's name says nothing about its content, which may be damaged. */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { digestAlgorithm, type Digest } from '../digest.ts';
import type { ContainedFile } from './contained-folder.ts';

const MAX_KEPT = 10_000;
const CHUNK_BYTES = 1024 * 1024;

/** Checks each state of a file once, and remembers the result. */
export class CheckedBlobs {
  /** Results by digest and the file's identity. */
  readonly #checked = new LRUCache<string, Promise<boolean>>({ max: MAX_KEPT });

  /** Says whether the file's content has this digest. The file must stay open until then. */
  async match(digest: Digest, file: ContainedFile): Promise<boolean> {
    const key = `${digest} ${file.identity}`;
    const known = this.#checked.get(key);
    // Another caller's check fails if its file is closed meanwhile.
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
  for await (const chunk of handle.createReadStream({ start: 0, autoClose: false, highWaterMark: CHUNK_BYTES }))
    hash.update(chunk as Buffer);
  return `${algorithm}:${hash.digest('hex')}` === digest;
}
