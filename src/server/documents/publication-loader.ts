/** Has indexes serve what the store has published. */
import { LRUCache } from 'lru-cache';
import { AppPages } from '../../indexing/appdata/app-pages.ts';
import type { ReadSegment } from '../../indexing/chunk/chunk.ts';
import { FORMAT } from '../../indexing/chunk/part.ts';
import { readChunks } from '../../indexing/chunk/read-chunks.ts';
import type { Digest } from '../../registry/digest.ts';
import type { PublicationReader } from '../../store/publications.ts';
import type { ServedIndex } from './served-index.ts';
import { PartUnreadable } from '../server-error.ts';

/** Bytes of chunks' bodies that are kept; others are read when they are asked for. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;
/** What keeping a segment takes beside its bytes. */
const OVERHEAD = 512;
/** How often to try again: a publication may be replaced, and its chunks removed, while it is read. */
const ATTEMPTS = 2;

export interface PublicationLoaderOptions {
  /** {@link MAX_BODY_BYTES} unless given. */
  readonly maxBodyBytes?: number | undefined;
  /** Told of a chunk that is damaged, or not there any more; whoever asked for it is answered when this resolves, and may ask again. */
  readonly onUnreadable?: ((error: unknown) => Promise<void>) | undefined;
}

export class PublicationLoader {
  readonly #reader: PublicationReader;
  readonly #segments: LRUCache<string, Buffer>;
  readonly #onUnreadable: PublicationLoaderOptions['onUnreadable'];
  /** Indexes that show what was read here. */
  readonly #loaded = new WeakSet<ServedIndex>();

  constructor(reader: PublicationReader, { maxBodyBytes = MAX_BODY_BYTES, onUnreadable }: PublicationLoaderOptions = {}) {
    this.#reader = reader;
    this.#onUnreadable = onUnreadable;
    this.#segments = new LRUCache({ maxSize: maxBodyBytes, sizeCalculation: (bytes) => bytes.length + OVERHEAD });
  }

  /** Says whether `index` shows what was read here. */
  hasLoaded(index: ServedIndex): boolean {
    return this.#loaded.has(index);
  }

  /**
   * Has `index` serve its newest publication; says whether there is one.
   * @throws StoreError; Error if chunks of it are not there
   */
  async load(index: ServedIndex): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      const publication = await this.#reader.publication(index.name);
      if (publication === undefined || publication.format !== FORMAT) return false;
      const shown = this.#loaded.has(index) ? index.shown : undefined;
      if (shown?.publication.version === publication.version) return true;
      const chunks = await readChunks(this.#reader, publication.chunks, { readSegment: this.#readSegment, use: 'answers', known: shown?.chunks });
      if (chunks === undefined) {
        if (attempt < ATTEMPTS) continue;
        throw new Error(`the index ${index.name} is published with chunks that are not there`);
      }
      this.#loaded.add(index);
      index.use(publication, chunks);
      return true;
    }
  }

  /** Has `index` serve the newest list of its apps, if there is one. @throws StoreError */
  async loadApps(index: ServedIndex): Promise<void> {
    const apps = await this.#reader.apps(index.name);
    if (apps !== undefined) index.useApps(new AppPages(apps.body), apps.version);
  }

  /** The PNG of an icon; `undefined` if it is not there. @throws StoreError */
  readonly readIcon = (digest: Digest): Promise<Buffer | undefined> => this.#reader.png(digest);

  readonly #readSegment: ReadSegment = (chunk, segment) => {
    const kept = this.#segments.get(segment.sha256);
    if (kept !== undefined) return kept;
    return this.#reader.chunkSegment(chunk, segment).then(
      (bytes) => {
        if (bytes === undefined) return this.#unreadable(new Error(`the chunk ${chunk} is not there any more`));
        this.#segments.set(segment.sha256, bytes);
        return bytes;
      },
      (error: unknown) => this.#unreadable(error),
    );
  };

  async #unreadable(error: unknown): Promise<never> {
    await this.#onUnreadable?.(error);
    throw new PartUnreadable();
  }
}
