/** Publications as a replica reads them: through a copy of its own, with which it goes on without the database. */
import { join } from 'node:path';
import type { PoolConfig } from 'pg';
import type { Digest } from '../../registry/digest.ts';
import type { Publication, PublicationReader, SideDocument, StoredSegment } from '../publications.ts';
import { isAway, type StoreError } from '../store-error.ts';
import { PostgresDatabase } from './postgres-database.ts';
import { PostgresPublications, type PublishedVersion } from './postgres-publications.ts';
import { PublicationsCopy } from './publications-copy.ts';

/** Limit of a read from the database, in milliseconds: a client may be waiting for it. */
const READ_TIMEOUT = 10_000;
/** Least time between two reads for clients while the database is away, in milliseconds; the others fail at once. */
const RETRY_INTERVAL = 1_000;
/** Chunks that are copied together, each of about 200 kB. */
const CHUNKS_AT_ONCE = 8;
/** Attempts to copy a publication whose chunks are removed meanwhile. */
const ATTEMPTS = 3;
/** How long chunks and icons stay in the copy that nothing names any more, in milliseconds. */
const KEEP_FOR = 3_600_000;

/** Options of {@link CachedPublications}. */
export interface CachedPublicationsOptions {
  /** Format of the publications that this version of the program reads. */
  readonly format: string;
  /** Folder of this replica's state; the copy is below it, in `cache`. */
  readonly stateDir: string;
  /** Limit of a read from the database, in milliseconds; {@link READ_TIMEOUT} unless given. */
  readonly readTimeout?: number | undefined;
  /** Time until a copy that failed is used again, in milliseconds; a minute unless given. */
  readonly pause?: number | undefined;
  /** Receives warnings about the copy: one when it fails, and another one only after it worked again. */
  readonly onWarning: (warning: string) => void;
}

/**
 * Reads publications from a database, and keeps a copy of what is published. What is in neither while the database is
 * away fails with a {@link StoreError} for which {@link isAway} is true. All that fails with the copy alone is a warning.
 */
export class CachedPublications implements PublicationReader {
  readonly #source: PostgresPublications;
  readonly #copy: PublicationsCopy;
  /** The newest publications that were read, by index. */
  readonly #newest = new Map<string, Publication>();
  /** Those that the copy has, with all their chunks; another map for each file. */
  #copied = new Map<string, Publication>();
  /** Reads of publications that are running, by index. */
  readonly #running = new Map<string, Promise<unknown>>();
  /** Why the last read from the database failed, if it is away; and when it may be tried again for a client. */
  #away: StoreError | undefined;
  #retryAt = 0;

  constructor(config: PoolConfig, { stateDir, readTimeout = READ_TIMEOUT, ...options }: CachedPublicationsOptions) {
    this.#source = new PostgresPublications(
      new PostgresDatabase({ ...config, query_timeout: readTimeout }),
      options.format,
    );
    this.#copy = new PublicationsCopy({
      ...options,
      file: join(stateDir, 'cache', 'publications.sqlite'),
      onLeft: () => {
        this.#copied = new Map();
      },
    });
  }

  /**
   * Returns the versions of everything that is published, from the database.
   * @throws StoreError
   */
  versions(): Promise<ReadonlyMap<string, PublishedVersion>> {
    return this.#read(() => this.#source.versions());
  }

  /**
   * Returns the newest publication of an index, after copying the chunks that the copy lacks; `undefined` if it has
   * none. While the database is away, the newest one that was read, or that the copy has whole.
   */
  publication(index: string): Promise<Publication | undefined> {
    // One after another, so that an older one never replaces a newer one.
    const before = this.#running.get(index);
    const run = (before ?? Promise.resolve()).then(() => this.#publication(index));
    const ended = run
      .catch(() => undefined)
      .then(() => {
        if (this.#running.get(index) === ended) this.#running.delete(index);
      });
    this.#running.set(index, ended);
    return run;
  }

  async chunkHeads(names: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const { value = new Map<string, Buffer>(), replace } = await this.#copy.read((copy) => copy.chunkHeads(names));
    const missing = names.filter((name) => !value.has(name));
    if (missing.length === 0) return value;
    const heads = await this.#readForClient(() => this.#source.chunkHeads(missing));
    await replace?.();
    return new Map([...value, ...heads]);
  }

  async chunkSegment(name: string, segment: StoredSegment): Promise<Buffer | undefined> {
    const { value, replace } = await this.#copy.read((copy) => copy.chunkSegment(name, segment));
    if (value !== undefined) return value;
    const bytes = await this.#readForClient(() => this.#source.chunkSegment(name, segment));
    await replace?.();
    return bytes;
  }

  async png(digest: Digest): Promise<Buffer | undefined> {
    const { value, replace } = await this.#copy.read((copy) => copy.png(digest));
    if (value !== undefined) return value;
    const png = await this.#readForClient(() => this.#source.png(digest));
    await replace?.();
    if (png !== undefined) await this.#copy.write((copy) => copy.putPngs(new Map([[digest, png]])));
    return png;
  }

  async apps(index: string): Promise<SideDocument | undefined> {
    const { value: copied, replace } = await this.#copy.read((copy) => copy.apps(index));
    let apps: SideDocument | undefined;
    try {
      apps = await this.#read(() => this.#source.apps(index, copied));
    } catch (error) {
      if (copied === undefined || !isAway(error)) throw error;
      return copied;
    }
    await replace?.();
    if (apps !== undefined && apps !== copied) await this.#copy.write((copy) => copy.putApps(index, apps));
    return apps;
  }

  /** Returns the publication of an index that the copy has, if it has all its chunks. */
  async copied(index: string): Promise<Publication | undefined> {
    const { value: publication } = await this.#copy.read((copy) => copy.publication(index));
    if (publication === undefined) return undefined;
    const { value: missing } = await this.#copy.read((copy) => copy.missingChunks(publication.chunks));
    return missing?.length === 0 ? publication : undefined;
  }

  /** Returns the list of an index's apps that the copy has. */
  async copiedApps(index: string): Promise<SideDocument | undefined> {
    return (await this.#copy.read((copy) => copy.apps(index))).value;
  }

  /**
   * Completes the copy, and removes from it what is not published any more, and chunks and icons that nothing has named
   * for an hour; for its owner to call every few minutes.
   * @param named says whether a served index names an icon
   * @param now milliseconds since the epoch
   * @throws StoreError, but not if the database is away
   */
  async clean({ named, now }: { readonly named: (digest: Digest) => boolean; readonly now: number }): Promise<void> {
    const versions = await this.versions().catch((error: unknown) => {
      if (!isAway(error)) throw error;
    });
    if (versions !== undefined) {
      await this.#copy.write((copy) => copy.keepIndexes(new Set(versions.keys())));
      for (const index of this.#newest.keys()) if (!versions.has(index)) this.#forget(index);
      await this.#complete();
    }
    const before = now - KEEP_FOR;
    await this.#copy.write((copy) => copy.clean({ named, chunksBefore: before, pngsBefore: before, now }));
    if (versions === undefined) return;
    // Damage to an index of the file hides rows without an error.
    for (const index of this.#copied.keys()) {
      if ((await this.copied(index)) !== undefined) continue;
      await this.#copy.discard(new Error('it lacks chunks that were written to it'));
      break;
    }
    await this.#complete();
  }

  /** Brings the newest publications into the copy. */
  async #complete(): Promise<void> {
    for (const [index, publication] of this.#newest)
      if (this.#copied.get(index) !== publication) await this.publication(index);
  }

  /** Closes the connections and the copy. */
  async close(): Promise<void> {
    await this.#source.close();
    await this.#copy.close();
  }

  async #publication(index: string): Promise<Publication | undefined> {
    try {
      return await this.#newestPublication(index);
    } catch (error) {
      if (!isAway(error)) throw error;
      const publication = this.#newest.get(index) ?? (await this.copied(index));
      if (publication === undefined) throw error;
      this.#newest.set(index, publication);
      return publication;
    }
  }

  async #newestPublication(index: string): Promise<Publication | undefined> {
    for (let attempt = 1; ; attempt++) {
      const publication = await this.#read(() => this.#source.publication(index, this.#newest.get(index)));
      if (publication === undefined) {
        this.#forget(index);
        return undefined;
      }
      const isComplete = await this.#copyChunks(publication);
      if (isComplete) this.#newest.set(index, publication);
      // Chunks are removed only after a newer publication has replaced theirs.
      if (isComplete || attempt === ATTEMPTS) return publication;
    }
  }

  /**
   * Brings a publication into the copy, if that can be written.
   * @returns false if chunks of it are missing in the database, too
   */
  async #copyChunks(publication: Publication): Promise<boolean> {
    const { index, chunks } = publication;
    const copied = this.#copied;
    const before = copied.get(index);
    if (before === publication) return true;
    const had = new Set(before?.chunks);
    const added = [...new Set(chunks)].filter((name) => !had.has(name));
    const { value: missing, replace } = await this.#copy.read((copy) => copy.missingChunks(added));
    await replace?.();
    if (missing === undefined) return true;
    for (let start = 0; start < missing.length; start += CHUNKS_AT_ONCE) {
      if (!this.#copy.isWritable) return true;
      const names = missing.slice(start, start + CHUNKS_AT_ONCE);
      const found = await this.#read(() => this.#source.chunks(names));
      if (found.length < names.length) return false;
      if (!(await this.#copy.write((copy) => copy.putChunks(found)))) return true;
    }
    if (await this.#copy.write((copy) => copy.publish(publication, []))) {
      copied.set(index, publication);
      this.#copy.recovered();
    }
    return true;
  }

  #forget(index: string): void {
    this.#newest.delete(index);
    this.#copied.delete(index);
  }

  /** Reads from the database, and notes whether it is away. */
  async #read<T>(read: () => Promise<T>): Promise<T> {
    try {
      const result = await read();
      this.#away = undefined;
      return result;
    } catch (error) {
      if (isAway(error)) {
        this.#away = error;
        this.#retryAt = performance.now() + RETRY_INTERVAL;
      }
      throw error;
    }
  }

  /** Reads from the database; while it is away, fails at once unless it is time to try again. */
  async #readForClient<T>(read: () => Promise<T>): Promise<T> {
    const now = performance.now();
    if (this.#away !== undefined && now < this.#retryAt) throw this.#away;
    this.#retryAt = now + RETRY_INTERVAL;
    return this.#read(read);
  }
}
