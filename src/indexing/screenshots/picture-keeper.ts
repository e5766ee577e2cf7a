/** Keeps the pictures that an index names: fetches each once, and remembers which is where. */
import pMap from 'p-map';
import { type Digest, digestOf, isDigest } from '../../registry/digest.ts';
import { type BlobName, type BlobReader, type Blobs, putBlob, readWholeBlob } from '../../store/blobs.ts';
import { StoreError } from '../../store/store-error.ts';
import { amount } from '../../system/amount.ts';
import { messageOf } from '../../system/message-of.ts';
import { MAX_PICTURE_BYTES, MEDIA_TYPES, readPicture } from './picture.ts';
import type { KeptPicture, KeptPictures } from './screenshots.ts';

/** Pictures that are fetched at the same time, and after how many the list is stored. */
const AT_ONCE = 4;
const BATCH = 64;
/** The most that is kept for all indexes, in bytes. */
const MAX_TOTAL = 2 * 1024 ** 3;
/** How long a picture that could not be had is not asked for again, in milliseconds. */
const RETRY_AFTER = 3_600_000;
const ACCEPT = Object.values(MEDIA_TYPES).join(', ');

/** Fetches a file. */
export type FetchFile = (
  url: string,
  request: { readonly accept: string; readonly limit: number; readonly signal: AbortSignal },
) => Promise<Uint8Array>;

/** Options of {@link PictureKeeper}. */
export interface PictureKeeperOptions {
  /** The index's name. */
  readonly index: string;
  readonly blobs: Blobs;
  readonly fetch: FetchFile;
  readonly onWarning: (message: string) => void;
}

/**
 * Reads the list of an index's pictures; an empty one if it is damaged or missing.
 * @throws StoreError
 */
export async function readKeptPictures(blobs: BlobReader, list: Digest | undefined): Promise<KeptPictures> {
  const bytes = list && (await readWholeBlob(blobs, blobOf(list)));
  return bytes === undefined ? {} : (JSON.parse(bytes.toString()) as KeptPictures);
}

/** Keeps the pictures of one index. */
export class PictureKeeper {
  readonly #options: PictureKeeperOptions;
  readonly #kept: Map<string, KeptPicture>;
  /** When what could not be had may be asked for again, in milliseconds since the epoch, by URL. */
  readonly #retryAt = new Map<string, number>();
  #list: Digest | undefined;

  private constructor(options: PictureKeeperOptions, kept: Map<string, KeptPicture>, list: Digest | undefined) {
    this.#options = options;
    this.#kept = kept;
    this.#list = list;
  }

  /**
   * Opens a keeper that continues from a list.
   * @throws StoreError
   */
  static async open(options: PictureKeeperOptions, list: Digest | undefined): Promise<PictureKeeper> {
    const kept = new Map<string, KeptPicture>();
    for (const [url, picture] of Object.entries(await readKeptPictures(options.blobs, list)))
      if (isDigest(picture.digest) && (await options.blobs.size(blobOf(picture.digest))) !== undefined)
        kept.set(url, picture);
    return new PictureKeeper(options, kept, list);
  }

  /** Digest of the list of pictures by URL, which is a blob as well; `undefined` if there are none. */
  get list(): Digest | undefined {
    return this.#list;
  }

  /** Digests of all blobs that are in use. */
  get digests(): ReadonlySet<Digest> {
    return new Set([
      ...(this.#list === undefined ? [] : [this.#list]),
      ...[...this.#kept.values()].map(({ digest }) => digest),
    ]);
  }

  /**
   * Fetches the pictures that are not there yet, and forgets those that are not wanted any more.
   * @param onChanged called whenever the list has changed
   * @throws StoreError; the signal's reason
   */
  async update(
    wanted: ReadonlySet<string>,
    { signal, onChanged }: { readonly signal: AbortSignal; readonly onChanged: () => void },
  ): Promise<void> {
    const before = this.#kept.size;
    for (const url of this.#kept.keys()) if (!wanted.has(url)) this.#kept.delete(url);
    for (const url of this.#retryAt.keys()) if (!wanted.has(url)) this.#retryAt.delete(url);
    const missing = [...wanted].filter((url) => !this.#kept.has(url) && (this.#retryAt.get(url) ?? 0) <= Date.now());
    if (missing.length === 0 && this.#kept.size === before) return;
    const failures: string[] = [];
    for (let start = 0; start < missing.length; start += BATCH) {
      if ((await this.#options.blobs.stored('screenshot')) >= MAX_TOTAL) {
        failures.push('no more than 2 GiB of them are kept');
        break;
      }
      await pMap(missing.slice(start, start + BATCH), (url) => this.#fetch(url, signal, failures), {
        concurrency: AT_ONCE,
        signal,
      });
      if (await this.#store()) onChanged();
    }
    if (await this.#store()) onChanged();
    const [first] = failures;
    if (first !== undefined)
      this.#options.onWarning(
        `${amount(failures.length, 'screenshot')} of the index ${this.#options.index} could not be fetched, and will be asked for again in an hour: ${first}`,
      );
  }

  async #fetch(url: string, signal: AbortSignal, failures: string[]): Promise<void> {
    const { blobs, fetch } = this.#options;
    try {
      const bytes = await fetch(url, { accept: ACCEPT, limit: MAX_PICTURE_BYTES, signal });
      const picture = readPicture(bytes);
      const digest = digestOf(bytes);
      await putBlob(blobs, blobOf(digest), [bytes]);
      this.#kept.set(url, { ...picture, digest });
      this.#retryAt.delete(url);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError) throw error;
      this.#retryAt.set(url, Date.now() + RETRY_AFTER);
      const message = messageOf(error);
      failures.push(message.includes(url) ? message : `${url}: ${message}`);
    }
  }

  /** Stores the list; returns whether it has changed. */
  async #store(): Promise<boolean> {
    const before = this.#list;
    if (this.#kept.size === 0) {
      this.#list = undefined;
    } else {
      const bytes = Buffer.from(JSON.stringify(Object.fromEntries([...this.#kept].toSorted(byUrl))));
      const digest = digestOf(bytes);
      if (digest !== before) await putBlob(this.#options.blobs, blobOf(digest), [bytes]);
      this.#list = digest;
    }
    return this.#list !== before;
  }
}

function blobOf(digest: Digest): BlobName {
  return { kind: 'screenshot', digest };
}

function byUrl([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}
