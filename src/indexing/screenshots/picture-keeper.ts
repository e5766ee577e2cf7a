/** Keeps the pictures that an index names: fetches each once, and remembers which is where. */
import pMap from 'p-map';
import { type Digest, digestOf, isDigest } from '../../registry/digest.ts';
import { RegistryError } from '../../registry/registry-error.ts';
import { type BlobName, type BlobReader, type Blobs, putBlob, readWholeBlob } from '../../store/blobs.ts';
import { StoreError } from '../../store/store-error.ts';
import { amount } from '../../system/amount.ts';
import { messageOf } from '../../system/message-of.ts';
import { MAX_PICTURE_BYTES, MEDIA_TYPES, readPicture } from './picture.ts';
import type { KeptPicture, KeptPictures } from './screenshots.ts';

/** Pictures that are fetched at the same time. */
const AT_ONCE = 4;
/** Pictures that are fetched before the list is stored; with many, it is stored once a quarter of them is new. */
const BATCH = 64;
const PART = 4;
/** The most that is kept for all indexes, in bytes. */
const MAX_TOTAL = 2 * 1024 ** 3;
/** How long a picture that could not be had is not asked for again, in milliseconds. */
const RETRY_AFTER = 3_600_000;
/** After how many requests without an answer, one after another, a host is not asked for other pictures. */
const MAX_UNANSWERED = 8;
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

/** One update's requests. */
interface Fetching {
  readonly signal: AbortSignal;
  readonly failures: string[];
  /** Requests without an answer since the last one that had one, by host. */
  readonly unanswered: Map<string, number>;
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
  /** Pictures that were kept or forgotten since the list was stored. */
  #unlisted = 0;

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
    const { blobs } = options;
    const kept = new Map<string, KeptPicture>();
    const listed = Object.entries(await readKeptPictures(blobs, list));
    for (const [url, picture] of listed)
      if (isDigest(picture.digest) && (await blobs.size(blobOf(picture.digest))) !== undefined) kept.set(url, picture);
    // A list is never empty, so this one is damaged or missing; the next one may be equal, and has to be written whole.
    const isDamaged = list !== undefined && listed.length === 0;
    if (isDamaged) await blobs.remove(blobOf(list));
    const keeper = new PictureKeeper(options, kept, isDamaged ? undefined : list);
    keeper.#unlisted = listed.length - kept.size;
    return keeper;
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
    for (const url of this.#kept.keys()) if (!wanted.has(url)) this.#forget(url);
    for (const url of this.#retryAt.keys()) if (!wanted.has(url)) this.#retryAt.delete(url);
    const missing = [...wanted].filter((url) => !this.#kept.has(url) && (this.#retryAt.get(url) ?? 0) <= Date.now());
    if (missing.length === 0 && this.#unlisted === 0) return;
    const failures: string[] = [];
    const unanswered = new Map<string, number>();
    for (let start = 0; start < missing.length; start += BATCH) {
      if ((await this.#options.blobs.stored('screenshot')) >= MAX_TOTAL) {
        failures.push('no more than 2 GiB of them are kept');
        break;
      }
      await pMap(missing.slice(start, start + BATCH), (url) => this.#fetch(url, { signal, failures, unanswered }), {
        concurrency: AT_ONCE,
        signal,
      });
      if (this.#unlisted >= Math.max(BATCH, this.#kept.size / PART) && (await this.#store())) onChanged();
    }
    if (this.#unlisted > 0 && (await this.#store())) onChanged();
    const [first] = failures;
    if (first !== undefined)
      this.#options.onWarning(
        `${amount(failures.length, 'screenshot')} of the index ${this.#options.index} could not be fetched, and will be asked for again in an hour: ${first}`,
      );
  }

  async #fetch(url: string, { signal, failures, unanswered }: Fetching): Promise<void> {
    const { blobs, fetch } = this.#options;
    const { host } = new URL(url);
    const count = unanswered.get(host) ?? 0;
    if (count >= MAX_UNANSWERED) {
      this.#retryAt.set(url, Date.now() + RETRY_AFTER);
      failures.push(`${url}: ${host} did not answer ${count} times`);
      return;
    }
    try {
      const bytes = await fetch(url, { accept: ACCEPT, limit: MAX_PICTURE_BYTES, signal });
      unanswered.delete(host);
      const picture = readPicture(bytes);
      const digest = digestOf(bytes);
      await putBlob(blobs, blobOf(digest), [bytes]);
      this.#kept.set(url, { ...picture, digest });
      this.#unlisted++;
      this.#retryAt.delete(url);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError) throw error;
      this.#retryAt.set(url, Date.now() + RETRY_AFTER);
      // Its cause is that of the connection, or that time is over.
      const isSilent = error instanceof RegistryError && error.code === 'unavailable' && error.cause !== undefined;
      unanswered.set(host, isSilent ? (unanswered.get(host) ?? 0) + 1 : 0);
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
    this.#unlisted = 0;
    return this.#list !== before;
  }

  #forget(url: string): void {
    this.#kept.delete(url);
    this.#unlisted++;
  }
}

function blobOf(digest: Digest): BlobName {
  return { kind: 'screenshot', digest };
}

function byUrl([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}
