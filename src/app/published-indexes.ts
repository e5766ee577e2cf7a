/** Keeps the served indexes up to date with the store, and repairs what is damaged. */
import type { Logger } from 'pino';
import type { PublishedDocument } from '../indexing/indexer.ts';
import type { Digest } from '../registry/digest.ts';
import { PublicationLoader } from '../server/documents/publication-loader.ts';
import type { ServedIndex } from '../server/documents/served-index.ts';
import { DatabaseUnavailable } from '../server/server-error.ts';
import type { PublicationReader } from '../store/publications.ts';
import { isAway } from '../store/store-error.ts';
import { timedReader } from '../store/timed-reader.ts';

/**
 * Least time between two repairs of the publications, in milliseconds: on a failing disk, each one reads everything.
 */
const MIN_REPAIR_INTERVAL = 60_000;

/** An open reader of publications. */
export interface OpenReader extends PublicationReader {
  /** False once another file has replaced the one that is open. */
  readonly isCurrent: boolean;
  close(): Promise<void>;
}

/** Objects that {@link PublishedIndexes} needs. */
export interface PublishedIndexesOptions {
  /**
   * Opens a reader; `undefined` while there is nothing to read.
   * @throws StoreError
   */
  readonly open: () => OpenReader | undefined;
  /** By their names. */
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  readonly logger: Logger;
  readonly countStoreRead: Parameters<typeof timedReader>[1];
  /** Whether the store is a database, which may be away. */
  readonly isShared: boolean;
  /** Rebuilds damaged publications from the catalog; returns whether a full rebuild is needed to restore the rest. */
  readonly repair: () => Promise<boolean>;
  /** Called when a repair has left something that only a full rebuild restores. */
  readonly onLost: () => void;
  /** No repair starts once it is aborted, and errors of a running one are not logged. */
  readonly signal: AbortSignal;
}

/** The served indexes, as the store has them. */
export class PublishedIndexes {
  readonly #options: PublishedIndexesOptions;
  /** Set once there are publications. */
  #reader: OpenReader | undefined;
  #loader: PublicationLoader | undefined;
  /** Readers of replaced files from which something is still served. */
  readonly #replaced: OpenReader[] = [];
  #lastRepair = -Infinity;
  /** Settles when all publications so far are served. */
  #loading: Promise<void> = Promise.resolve();

  constructor(options: PublishedIndexesOptions) {
    this.#options = options;
  }

  /** Resolves when all publications so far are served. */
  get loaded(): Promise<void> {
    return this.#loading;
  }

  /** Serves the newest publications in the store, whoever wrote them. */
  async loadAll(): Promise<void> {
    for (const name of this.#options.indexes.keys()) this.load(name, 'all');
    await this.#loading;
  }

  /** Serves the newest publication of an index. Loads run one after another, so that the newest one is served last. */
  load(name: string, document: PublishedDocument | 'all'): void {
    this.#loading = this.#loading.then(async () => {
      const { indexes, open, countStoreRead } = this.#options;
      const index = indexes.get(name);
      if (index === undefined) return;
      try {
        // The indexing thread may have set the file aside before its event came.
        if (this.#reader?.isCurrent === false) this.#leaveReader();
        this.#reader ??= open();
        if (this.#reader === undefined) return;
        this.#loader ??= new PublicationLoader(timedReader(this.#reader, countStoreRead), {
          onUnreadable: (error) => this.#onUnreadable(error),
        });
        if (document !== 'apps' || !this.#loader.hasLoaded(index)) await this.#loader.load(index);
        if (document !== 'index' && this.#loader.hasLoaded(index)) await this.#loader.loadApps(index);
        await this.#closeReplaced(this.#loader);
      } catch (error) {
        this.#repairSoon(error);
      }
    });
  }

  /** Reads from the file that replaced the current one. */
  reopen(): void {
    this.#loading = this.#loading.then(() => this.#leaveReader());
  }

  /**
   * Returns the PNG of an icon, and repairs the store if an index names it but there is none.
   * @throws StoreError; DatabaseUnavailable
   */
  async readIcon(digest: Digest): Promise<Buffer | undefined> {
    const png = await this.#loader?.readIcon(digest).catch((error: unknown) => {
      throw this.#awayError(error) ?? error;
    });
    if (
      png === undefined &&
      [...this.#options.indexes.values()].some(
        ({ shown }) => shown?.chunks.some((chunk) => chunk.hasIcon(digest)) === true,
      )
    )
      this.#repairSoon(new Error(`the icon ${digest} is damaged or missing`));
    return png;
  }

  /** Waits for running loads, and closes the store. */
  async close(): Promise<void> {
    await this.#loading;
    for (const reader of [...this.#replaced, this.#reader]) await reader?.close();
  }

  #leaveReader(): void {
    if (this.#reader !== undefined) this.#replaced.push(this.#reader);
    this.#reader = undefined;
    this.#loader = undefined;
  }

  async #closeReplaced(loader: PublicationLoader): Promise<void> {
    if ([...this.#options.indexes.values()].some((index) => index.shown !== undefined && !loader.hasLoaded(index)))
      return;
    for (const reader of this.#replaced.splice(0)) await reader.close();
  }

  /** Returns the error for clients if the database is away, which no repair would help. */
  #awayError(error: unknown): Error | undefined {
    return this.#isAway(error) ? new DatabaseUnavailable() : undefined;
  }

  #isAway(error: unknown): boolean {
    return this.#options.isShared && isAway(error);
  }

  /** Loads newer publications when a served one cannot be read, and repairs the store if there are none. */
  async #onUnreadable(error: unknown): Promise<Error | undefined> {
    const away = this.#awayError(error);
    if (away !== undefined) return away;
    const versions = (): string =>
      JSON.stringify([...this.#options.indexes.values()].map(({ shown }) => shown?.publication.version));
    const before = versions();
    await this.loadAll();
    if (versions() === before) this.#repairSoon(error);
    return undefined;
  }

  /** Starts a repair, at most once a minute. */
  #repairSoon(error: unknown): void {
    const { logger, signal } = this.#options;
    const now = performance.now();
    if (signal.aborted || this.#isAway(error) || now - this.#lastRepair < MIN_REPAIR_INTERVAL) return;
    this.#lastRepair = now;
    logger.warn({ err: error }, 'a published index cannot be read, and is rebuilt from the catalog');
    void this.#repair();
  }

  /** Checks the publications and rebuilds damaged ones. */
  async #repair(): Promise<void> {
    const { logger, signal, repair, onLost } = this.#options;
    try {
      if (await repair()) onLost();
    } catch (error) {
      if (!signal.aborted)
        logger.error({ err: error }, 'the published indexes could not be repaired; the next rebuild tries again');
    }
  }
}
