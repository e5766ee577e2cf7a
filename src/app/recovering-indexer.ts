/** Puts together what builds indexes: sources, store and indexer. Runs in the build thread, or alone for `regindexer index`. */
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import type { IndexDefinition } from '../indexing/index-definition.ts';
import type { RebuildOptions } from '../indexing/indexer.ts';
import { Indexer } from '../indexing/indexer.ts';
import type { RebuildResult, RebuildScope } from '../indexing/rebuild.ts';
import { makeFolder } from '../system/make-folder.ts';
import type { RegistryOptions } from '../registry/create-registry-source.ts';
import { createRegistrySource } from '../registry/create-registry-source.ts';
import type { OnRequest } from '../registry/http/transport/sent-request.ts';
import { isNotFound } from '../registry/registry-error.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { SqliteStore } from '../store/sqlite/sqlite-store.ts';
import { StoreError } from '../store/store-error.ts';

/** All of it can be cloned, so that it can be sent to a thread. */
export interface IndexingOptions {
  readonly stateDir: string;
  readonly iconsDir: string | undefined;
  readonly iconsUri: string;
  /** Milliseconds. */
  readonly cleanFilesAfter: number;
  readonly registries: readonly RegistryOptions[];
  readonly definitions: readonly IndexDefinition[];
}

export interface RecoveringIndexerEvents {
  /** Told of what an administrator should know, such as a damaged file of the store that was set aside. */
  readonly onWarning: (message: string) => void;
  /** A file of the store that turned out to be damaged was set aside: all registries have to be read anew. A rebuild that found out reads its own. */
  readonly onStoreLost?: () => void;
  readonly onRequest?: OnRequest | undefined;
}

type PublishOptions = Pick<RebuildOptions, 'onPublished' | 'signal'>;

/** A store and the indexer over it. */
interface OpenStore {
  readonly store: SqliteStore;
  readonly indexer: Indexer;
}

export class RecoveringIndexer {
  readonly #options: IndexingOptions;
  readonly #events: RecoveringIndexerEvents;
  readonly #sources: ReadonlyMap<string, RegistrySource>;
  /** One for each store that there was; `undefined` where one could not be opened. */
  #parts: Promise<OpenStore> | undefined;

  private constructor(options: IndexingOptions, events: RecoveringIndexerEvents, sources: ReadonlyMap<string, RegistrySource>) {
    this.#options = options;
    this.#events = events;
    this.#sources = sources;
  }

  /** Opens the state. The caller holds its lock. */
  static async open(options: IndexingOptions, events: RecoveringIndexerEvents): Promise<RecoveringIndexer> {
    makeFolder(options.stateDir);
    const sources = new Map(options.registries.map((registry) => [registry.id, createRegistrySource(registry, events.onRequest)]));
    const build = new RecoveringIndexer(options, events, sources);
    await build.#opened();
    return build;
  }

  /** Brings every index up to date with what the catalog holds, without asking a registry. */
  async refresh(options: PublishOptions = {}): Promise<void> {
    await this.#soundly((indexer) => this.#refreshAll(indexer, options), (indexer) => this.#refreshAll(indexer, options));
  }

  /** See {@link Indexer.rebuild}. A file of the store that turns out to be damaged is set aside, and the registry read anew. */
  async rebuild(registry: string, scope: RebuildScope, options: RebuildOptions = {}): Promise<RebuildResult> {
    return this.#soundly(
      (indexer) => indexer.rebuild(registry, scope, options),
      async (indexer) => {
        // The indexes are made from what the catalog knows before the registry is read.
        await this.#refreshAll(indexer, options);
        return indexer.rebuild(registry, { ...scope, indexes: 'all' }, options);
      },
    );
  }

  /**
   * Looks through all that is published, and makes anew from the catalog what is not as it was written. Says whether something is lost that
   * only a full rebuild can bring back.
   */
  async mend(options: PublishOptions = {}): Promise<boolean> {
    return this.#soundly(
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

  /** Runs `work`; if the store turns out to be damaged, runs `again` with the one that takes its place. */
  async #soundly<T>(work: (indexer: Indexer) => Promise<T>, again: (indexer: Indexer) => Promise<T>): Promise<T> {
    const parts = this.#opened();
    try {
      return await work((await parts).indexer);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Others may have found out first.
      if (this.#parts === parts) {
        if (error.code !== 'corrupt') throw error;
        const { store } = await parts;
        void this.#use(store.close().then(() => this.#replaceStore(error)));
      } else if (error.code !== 'corrupt' && error.code !== 'closed') throw error;
    }
    return again((await this.#opened()).indexer);
  }

  #opened(): Promise<OpenStore> {
    return (
      this.#parts ??
      this.#use(
        openParts(this.#options, this.#events, this.#sources).catch((error: unknown) => {
          if (error instanceof StoreError && error.code === 'corrupt') return this.#replaceStore(error);
          throw error;
        }),
      )
    );
  }

  /** Works with what `opened` gives from now on; where that fails, the next one tries again. */
  #use(opened: Promise<OpenStore>): Promise<OpenStore> {
    const parts = opened.catch((error: unknown) => {
      if (this.#parts === parts) this.#parts = undefined;
      throw error;
    });
    this.#parts = parts;
    return parts;
  }

  /** Puts another store in the place of one that is closed and turned out to be damaged. */
  async #replaceStore({ message, file }: StoreError): Promise<OpenStore> {
    const aside = SqliteStore.setAside(file);
    this.#events.onWarning(`${message}; it was set aside as ${aside}, which may be removed`);
    const parts = await openParts(this.#options, this.#events, this.#sources);
    await parts.store.salvage(aside);
    this.#events.onStoreLost?.();
    return parts;
  }

  /** Says whether a repository that some index takes is in the catalog or its registry; yes if that cannot be asked. */
  async knowsRepository(name: string, signal?: AbortSignal): Promise<boolean> {
    for (const [id, source] of this.#sources) {
      const definitions = this.#options.definitions.filter(({ registry }) => registry === id);
      if (!isWanted(definitions.map((definition) => wantedBy(definition, (repository) => source.covers(repository))), name)) continue;
      const { repositories } = await (await this.#opened()).store.catalog.known(id, [name]);
      if ((repositories.get(name)?.tags.size ?? 0) > 0) return true;
      const known = await source.tags(name, signal).then(
        () => true,
        (error: unknown) => !isNotFound(error),
      );
      if (known) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values()].map((source) => source.close()));
    const parts = await this.#parts?.catch(() => undefined);
    await parts?.indexer.settled();
    await parts?.store.close();
  }
}

async function openParts({ stateDir, registries, ...options }: IndexingOptions, { onWarning }: RecoveringIndexerEvents, sources: ReadonlyMap<string, RegistrySource>): Promise<OpenStore> {
  const store = SqliteStore.open(stateDir, onWarning);
  const concurrency = new Map(registries.map(({ id, concurrency: atOnce }) => [id, atOnce]));
  try {
    const indexer = await Indexer.open({ sources, concurrency: (registry) => concurrency.get(registry) ?? 1, store, ...options, onWarning });
    return { store, indexer };
  } catch (error) {
    await store.close();
    throw error;
  }
}
