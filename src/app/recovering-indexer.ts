/**
 * Connects registry sources, store and indexer, in the indexing thread or the main thread of `regindexer index`.
 */
import type { IndexingOptions } from './indexing-options.ts';
import type { Explanation, ExplainSubject } from '../indexing/explain.ts';
import type { RebuildOptions } from '../indexing/indexer.ts';
import { Indexer } from '../indexing/indexer.ts';
import type { DeltaQueueState } from '../indexing/deltas/delta-queue.ts';
import type { RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import { FileClient } from '../registry/http/file-client.ts';
import { createRegistrySource } from '../registry/create-registry-source.ts';
import type { Digest } from '../registry/digest.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import type { DeltaOutcome, PassedOver, PendingDelta } from '../store/deltas.ts';
import type { Store } from '../store/store.ts';
import { StoreError } from '../store/store-error.ts';
import { explainAll } from './explain-all.ts';
import { knowsRepository } from './knows-repository.ts';
import { postgresEngine, sqliteEngine, type StoreEngine } from './store-engine.ts';

/** Events of a {@link RecoveringIndexer}. */
export interface RecoveringIndexerEvents {
  /** Called with warnings for administrators, such as that a damaged file of the store was set aside. */
  readonly onWarning: (message: string) => void;
  /**
   * A damaged file of the store was set aside: all registries must be read again, except that of the rebuild that found
   * it.
   */
  readonly onStoreLost?: () => void;
  readonly onRequest?: OnRequest | undefined;
}

type PublishOptions = Pick<RebuildOptions, 'onPublished' | 'signal'>;

/** A store and the indexer over it. */
interface OpenStore {
  readonly store: Store;
  readonly indexer: Indexer;
}

/** Indexer that replaces damaged files of the store. */
export class RecoveringIndexer {
  readonly #options: IndexingOptions;
  readonly #events: RecoveringIndexerEvents;
  readonly #sources: ReadonlyMap<string, RegistrySource>;
  /** Clients for files by the registry whose images name them. */
  readonly #files = new Map<string, FileClient>();
  readonly #engine: StoreEngine;
  /** The current store; `undefined` if it could not be opened. */
  #current: Promise<OpenStore> | undefined;

  private constructor(
    options: IndexingOptions,
    events: RecoveringIndexerEvents,
    sources: ReadonlyMap<string, RegistrySource>,
  ) {
    const { stateDir, database } = options;
    this.#engine = database === undefined ? sqliteEngine(stateDir) : postgresEngine(database.store, database.lease);
    this.#options = options;
    this.#events = events;
    this.#sources = sources;
  }

  /** Opens the store; the caller must hold the lock of `stateDir`, or the lease. */
  static async open(options: IndexingOptions, events: RecoveringIndexerEvents): Promise<RecoveringIndexer> {
    const sources = new Map(
      options.registries.map((registry) => [registry.id, createRegistrySource(registry, events.onRequest)]),
    );
    const indexer = new RecoveringIndexer(options, events, sources);
    await indexer.#opened();
    return indexer;
  }

  /** Publishes every index from the catalog, without asking a registry. */
  async refresh(options: PublishOptions = {}): Promise<void> {
    await this.#withRecovery(
      (indexer) => this.#refreshAll(indexer, options),
      (indexer) => this.#refreshAll(indexer, options),
    );
  }

  /**
   * Rebuilds as {@link Indexer.rebuild}. If a file of the store is damaged, sets it aside and reads the registry again.
   */
  async rebuild(registry: string, scope: RebuildScope, options: RebuildOptions = {}): Promise<RebuildResult> {
    return this.#withRecovery(
      (indexer) => indexer.rebuild(registry, scope, options),
      async (indexer) => {
        // Publishes the content of the catalog before the registry is read.
        await this.#refreshAll(indexer, options);
        return indexer.rebuild(registry, { ...scope, indexes: 'all' }, options);
      },
    );
  }

  /**
   * Checks all publications and rebuilds damaged ones from the catalog; returns whether a full rebuild is needed to
   * restore the rest.
   */
  async repair(options: PublishOptions = {}): Promise<boolean> {
    return this.#withRecovery(
      async (indexer) => {
        const lost = await indexer.verify();
        await this.#refreshAll(indexer, options);
        return lost;
      },
      async (indexer) => {
        await this.#refreshAll(indexer, options);
        return true;
      },
    );
  }

  async #refreshAll(indexer: Indexer, options: PublishOptions): Promise<void> {
    for (const registry of this.#sources.keys()) await indexer.refresh(registry, options);
  }

  /** Runs `work`; if the store is damaged, replaces it and runs `again`. */
  async #withRecovery<T>(work: (indexer: Indexer) => Promise<T>, again: (indexer: Indexer) => Promise<T>): Promise<T> {
    const current = this.#opened();
    try {
      return await work((await current).indexer);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // A parallel call may have replaced it already.
      if (this.#current === current) {
        if (error.code !== 'corrupt') throw error;
        const { store, indexer } = await current;
        const closed = indexer.stop().then(() => store.close());
        void this.#use(closed.then(() => this.#replaceStore(error)));
      } else if (error.code !== 'corrupt' && error.code !== 'closed') throw error;
    }
    return again((await this.#opened()).indexer);
  }

  #opened(): Promise<OpenStore> {
    return (
      this.#current ??
      this.#use(
        this.#open().catch((error: unknown) => {
          if (error instanceof StoreError && error.code === 'corrupt') return this.#replaceStore(error);
          throw error;
        }),
      )
    );
  }

  /** Uses the store that `opened` resolves to; if it rejects, the next call opens another. */
  #use(opened: Promise<OpenStore>): Promise<OpenStore> {
    const current = opened.catch((error: unknown) => {
      if (this.#current === current) this.#current = undefined;
      throw error;
    });
    this.#current = current;
    return current;
  }

  /** Replaces the damaged part of a store that is closed. */
  async #replaceStore(error: StoreError): Promise<OpenStore> {
    const { warning, restore } = await this.#engine.replace(error);
    this.#events.onWarning(warning);
    const current = await this.#open();
    if (restore !== undefined) {
      await restore();
      this.#events.onStoreLost?.();
    }
    return current;
  }

  /**
   * Returns whether a repository that an index takes is in the catalog or its registry; `true` if a registry cannot be
   * asked.
   */
  knowsRepository(name: string, signal?: AbortSignal): Promise<boolean> {
    const { definitions } = this.#options;
    const isKnown = async (registry: string): Promise<boolean> => {
      const { repositories } = await (await this.#opened()).store.catalog.known(registry, [name]);
      return (repositories.get(name)?.tags.size ?? 0) > 0;
    };
    return knowsRepository(name, { sources: this.#sources, definitions, isKnown }, signal);
  }

  async #open(): Promise<OpenStore> {
    const { registries, ...options } = this.#options;
    const { onWarning } = this.#events;
    const store = await this.#engine.open(onWarning);
    const concurrency = new Map(registries.map(({ id, concurrency: atOnce }) => [id, atOnce]));
    try {
      const indexer = await Indexer.open({
        sources: this.#sources,
        concurrency: (registry) => concurrency.get(registry) ?? 1,
        store,
        ...options,
        fetchFile: (registry, ...request) => this.#fileClient(registry).fetch(...request),
        onWarning,
      });
      return { store, indexer };
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Resolves when all screenshots were fetched that can be had now. */
  async picturesSettled(): Promise<void> {
    await (await this.#opened()).indexer.picturesSettled();
  }

  /** Returns the client for files that a registry's images name. */
  #fileClient(registry: string): FileClient {
    let client = this.#files.get(registry);
    if (client === undefined) {
      const options = this.#options.registries.find(({ id }) => id === registry);
      if (options === undefined) throw new RangeError(`the registry ${registry} is not configured`);
      client = new FileClient(options);
      this.#files.set(registry, client);
    }
    return client;
  }

  /** Explains what each index shows of a repository, from the catalog. */
  async explain(subject: ExplainSubject): Promise<readonly Explanation[]> {
    return explainAll(subject, this.#options, (await this.#opened()).store);
  }

  /** Returns the setting `key`; if there is none, it is `value` from now on. */
  async setting(key: string, value: string): Promise<string> {
    const { settings } = (await this.#opened()).store;
    const kept = await settings.get(key);
    if (kept === undefined) await settings.set(key, value);
    return kept ?? value;
  }

  /** Returns the state of the queue of deltas; see {@link DeltaQueue.state}. */
  async deltas(except: PassedOver): Promise<DeltaQueueState> {
    const work = (indexer: Indexer): Promise<DeltaQueueState> => indexer.deltas.state(except);
    return this.#withRecovery(work, work);
  }

  /** See {@link DeltaQueue.begin}. */
  async beginDelta(digest: Digest, size: number): Promise<boolean> {
    const work = (indexer: Indexer): Promise<boolean> => indexer.deltas.begin(digest, size);
    return this.#withRecovery(work, work);
  }

  /** See {@link DeltaQueue.write}. */
  async writeDelta(bytes: Uint8Array): Promise<void> {
    await (await this.#opened()).indexer.deltas.write(bytes);
  }

  /** Records what came of making a delta, and publishes the indexes that show it. */
  async endDelta(delta: PendingDelta, outcome: DeltaOutcome, options: PublishOptions = {}): Promise<void> {
    const work = async (indexer: Indexer): Promise<void> => {
      await indexer.deltas.end(delta, outcome);
      await indexer.refresh(delta.registry, options);
    };
    await this.#withRecovery(work, async () => undefined);
  }

  /** Forgets a delta whose blob is lost, and publishes the indexes without it. */
  async loseDelta(digest: Digest, options: PublishOptions = {}): Promise<void> {
    const work = async (indexer: Indexer): Promise<void> => {
      await indexer.deltas.lose(digest);
      await this.#refreshAll(indexer, options);
    };
    await this.#withRecovery(work, work);
  }

  /** Closes all connections and the store. */
  async close(): Promise<void> {
    await Promise.all([...this.#sources.values(), ...this.#files.values()].map((open) => open.close()));
    const current = await this.#current?.catch(() => undefined);
    await current?.indexer.stop();
    await current?.store.close();
  }
}
