/** Loads publications from the store into served indexes. */
import { LRUCache } from 'lru-cache';
import { AppPages } from '../../indexing/appdata/app-pages.ts';
import type { ReadSegment } from '../../indexing/chunk/chunk.ts';
import { FORMAT } from '../../indexing/chunk/part.ts';
import { readChunks } from '../../indexing/chunk/read-chunks.ts';
import type { Digest } from '../../registry/digest.ts';
import type { PublicationReader } from '../../store/publications.ts';
import type { ServedIndex } from './served-index.ts';
import { PartUnreadable } from '../server-error.ts';

/** Bytes of segments to cache; others are read on request. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Bytes that a cached segment takes beside its content. */
const OVERHEAD = 512;
/** Retries: a publication may be replaced, and its chunks removed, while it is read. */
const ATTEMPTS = 2;

/** Options of {@link PublicationLoader}. */
export interface PublicationLoaderOptions {
  /** Bytes of segments to cache; {@link MAX_BODY_BYTES} unless given. */
  readonly maxBodyBytes?: number | undefined;
  /**
   * Called for a chunk that is damaged or missing. The request for it fails when this resolves, with this error if there
   * is one; otherwise it may then be retried.
   */
  readonly onUnreadable?: ((error: unknown) => Promise<Error | undefined>) | undefined;
}

/** Reads publications, chunks and icons for the server. */
export class PublicationLoader {
  readonly #reader: PublicationReader;
  readonly #segments: LRUCache<string, Buffer>;
  readonly #onUnreadable: PublicationLoaderOptions['onUnreadable'];
  /** Indexes whose publication was loaded here. */
  readonly #loaded = new WeakSet<ServedIndex>();

  constructor(
    reader: PublicationReader,
    { maxBodyBytes = MAX_BODY_BYTES, onUnreadable }: PublicationLoaderOptions = {},
  ) {
    this.#reader = reader;
    this.#onUnreadable = onUnreadable;
    this.#segments = new LRUCache({ maxSize: maxBodyBytes, sizeCalculation: (bytes) => bytes.length + OVERHEAD });
  }

  /** Says whether the publication of `index` was loaded here. */
  hasLoaded(index: ServedIndex): boolean {
    return this.#loaded.has(index);
  }

  /**
   * Loads the newest publication of an index; returns whether there is one.
   * @throws StoreError; Error if chunks of it are missing
   */
  async load(index: ServedIndex): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      const publication = await this.#reader.publication(index.name);
      if (publication === undefined || publication.format !== FORMAT) return false;
      const shown = this.#loaded.has(index) ? index.shown : undefined;
      if (shown?.publication.version === publication.version) return true;
      const chunks = await readChunks(this.#reader, publication.chunks, {
        readSegment: this.#readSegment,
        use: 'answers',
        known: shown?.chunks,
      });
      if (chunks === undefined) {
        if (attempt < ATTEMPTS) continue;
        throw new Error(`chunks of the publication of index ${index.name} are missing`);
      }
      this.#loaded.add(index);
      index.use(publication, chunks);
      return true;
    }
  }

  /**
   * Loads the newest list of an index's apps, if there is one.
   * @throws StoreError
   */
  async loadApps(index: ServedIndex): Promise<void> {
    const apps = await this.#reader.apps(index.name);
    const pages = apps && AppPages.read(apps.body);
    if (pages !== undefined) index.useApps(pages, apps?.version ?? 0);
  }

  /**
   * Returns the PNG of an icon; `undefined` if there is none.
   * @throws StoreError
   */
  readonly readIcon = (digest: Digest): Promise<Buffer | undefined> => this.#reader.png(digest);

  readonly #readSegment: ReadSegment = (chunk, segment) => {
    const kept = this.#segments.get(segment.sha256);
    if (kept !== undefined) return kept;
    return this.#reader.chunkSegment(chunk, segment).then(
      (bytes) => {
        if (bytes === undefined) return this.#unreadable(new Error(`the chunk ${chunk} is missing`));
        this.#segments.set(segment.sha256, bytes);
        return bytes;
      },
      (error: unknown) => this.#unreadable(error),
    );
  };

  async #unreadable(error: unknown): Promise<never> {
    throw (await this.#onUnreadable?.(error)) ?? new PartUnreadable();
  }
}
