/** Everything that one configuration runs: its served indexes, the site, and what rebuilds. */
import type { Logger } from 'pino';
import { BlobFiles } from './blob-files.ts';
import { indexingOptions } from './indexing-options.ts';
import type { Config } from '../config/config.ts';
import type { PublishedDocument } from '../indexing/indexer.ts';
import type { AppUpdate } from '../indexing/appdata/app-details.ts';
import { readAppUpdates } from '../indexing/deltas/app-updates.ts';
import { readKeptPictures } from '../indexing/screenshots/picture-keeper.ts';
import type { KeptPictures } from '../indexing/screenshots/screenshots.ts';
import type { Digest } from '../registry/digest.ts';
import type { HeldLease } from '../store/postgres/lease.ts';
import { allIndexWarnings, contentOf } from './index-warnings.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import { describeSite } from './describe-site.ts';
import { openPullBackends, pullBackendOptions, type PullBackends } from './pull-backends.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { listedBy } from '../registry/listed-by.ts';
import type { Figures } from '../server/figures.ts';
import { JoinedBodies } from '../server/documents/body.ts';
import { ServedIndex } from '../server/documents/served-index.ts';
import { Questions } from '../server/documents/questions.ts';
import type { Site } from '../server/site.ts';
import { BlobMissing, type BlobName } from '../store/blobs.ts';
import { SqliteStore, storeSizes } from '../store/sqlite/sqlite-store.ts';
import { configurationHash } from './configuration-hash.ts';
import { knowsRepository } from './knows-repository.ts';
import { Leader, logRequest } from './leader.ts';
import type { Replica, Replicated } from './replica.ts';
import type { SharedRebuilds } from './shared-rebuilds.ts';
import { PublishedIndexes } from './published-indexes.ts';

/** Objects that a {@link Generation} needs. */
export interface GenerationOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly figures: Figures;
  /** Called after each rebuild that made the default index, and when another replica's is served. */
  readonly onDefaultIndexReady: () => void;
  /** Set if several replicas share the store. */
  readonly replica: Replica | undefined;
}

/** State that {@link Generation.open} sets. */
interface Opened {
  readonly site: Site;
  readonly pullBackends: PullBackends;
}

/**
 * A running configuration. It answers from the store once it is open, and rebuilds after {@link begin}. Several
 * generations may answer at the same time, but only one may rebuild.
 */
export class Generation implements Replicated {
  readonly config: Config;
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  readonly #options: GenerationOptions;
  readonly #published: PublishedIndexes;
  readonly #blobFiles: BlobFiles;
  readonly registries: ReadonlyMap<string, readonly string[]>;
  readonly #rebuilds: SharedRebuilds | undefined;
  /** Absent on a replica that does not lead. */
  #leader: Leader | undefined;
  readonly #ending = new AbortController();
  #opened: Opened | undefined;

  private constructor(options: GenerationOptions) {
    const { config, logger, figures, replica } = options;
    this.config = config;
    this.#options = options;
    const joined = new JoinedBodies();
    this.#blobFiles = new BlobFiles(config.stateDir);
    const blobs = replica?.blobs ?? this.#blobFiles;
    const readPictures = (list: Digest | undefined): Promise<KeptPictures> => readKeptPictures(blobs, list);
    const readUpdates = (manifest: Digest): Promise<readonly AppUpdate[]> => readAppUpdates(blobs, manifest);
    this.indexes = new Map(
      config.indexes.map((index) => [
        index.name,
        new ServedIndex({ ...index, maxAge: config.server.maxAge, joined, readPictures, readUpdates }),
      ]),
    );
    this.registries = new Map(
      [...config.registries.keys()].map((id) => [
        id,
        config.indexes.filter(({ registry }) => registry === id).map(({ name }) => name),
      ]),
    );
    this.#published = new PublishedIndexes({
      open: () =>
        replica === undefined
          ? SqliteStore.openPublications(config.stateDir)
          : { ...replica.reader, isCurrent: true, close: async () => undefined },
      indexes: this.indexes,
      logger,
      countStoreRead: figures.countStoreRead,
      isShared: replica !== undefined,
      repair: () => this.#repair(),
      onLost: () => this.#leader?.rebuildLost(),
      signal: this.#ending.signal,
    });
    this.#rebuilds = replica?.createRebuilds(this.registries);
    if (replica === undefined) this.#leader = this.#createLeader();
  }

  /**
   * Opens a generation that is ready to answer.
   * @throws the system's error if a file that the configuration names cannot be read.
   */
  static async open(options: GenerationOptions): Promise<Generation> {
    const generation = new Generation(options);
    try {
      await generation.#open();
    } catch (error) {
      await generation.close();
      throw error;
    }
    return generation;
  }

  /** The site that the server answers with. */
  get site(): Site {
    if (this.#opened === undefined) throw new TypeError('the generation is not open');
    return this.#opened.site;
  }

  /** Serves the newest publications in the store, whoever wrote them. */
  loadPublished(): Promise<void> {
    return this.#published.loadAll();
  }

  /** Hash of all that changes what is published. */
  get configuration(): string {
    return configurationHash(this.config);
  }

  /** Serves the newest publication of an index, or of its list of apps. */
  async load(index: string, document: PublishedDocument | 'all'): Promise<void> {
    this.#published.load(index, document);
    await this.#published.loaded;
    if (index === this.config.defaultIndex && this.indexes.get(index)?.shown !== undefined)
      this.#options.onDefaultIndexReady();
  }

  /**
   * Begins to rebuild, as {@link Leader.begin}; resolves when the first rebuild has ended. Where several replicas share
   * the store, only begins to follow them.
   * @param reason of that rebuild
   */
  async begin(reason: string): Promise<void> {
    await (this.#options.replica?.use(this) ?? this.#leader?.begin(reason));
  }

  /** The rebuilds of all replicas that share the store. */
  get rebuilds(): SharedRebuilds {
    if (this.#rebuilds === undefined) throw new TypeError('the store is not shared');
    return this.#rebuilds;
  }

  /** Begins to rebuild for all replicas, unless it does already, or a reload has replaced it. */
  lead(lease: HeldLease): void {
    if (this.#ending.signal.aborted || this.#leader !== undefined) return;
    this.#leader = this.#createLeader(lease);
    this.#rebuilds?.lead(this.#leader);
    void this.#leader.begin('this replica leads now');
  }

  /** Stops rebuilding at once, because another replica leads. */
  async retire(): Promise<void> {
    await this.#stopLeading(0, AbortSignal.abort());
  }

  /**
   * Stops the triggers, and the running rebuild after `graceMs` milliseconds or when `signal` is aborted. The
   * generation continues to answer.
   */
  async stopRebuilding(graceMs: number, signal: AbortSignal): Promise<void> {
    this.#ending.abort(new Error('the service is stopping'));
    await this.#stopLeading(graceMs, signal);
  }

  /** Closes connections, the indexing thread and the store. Call it when no request uses the generation any more. */
  async close(): Promise<void> {
    await this.#opened?.pullBackends.close();
    await this.#leader?.close();
    await this.#published.close();
    await this.#blobFiles.close();
  }

  #createLeader(lease?: HeldLease): Leader {
    const { config, logger, figures, onDefaultIndexReady } = this.#options;
    return new Leader({
      config,
      registries: this.registries,
      indexing: { ...indexingOptions(config), database: config.store && lease && { store: config.store, lease } },
      logger,
      figures,
      published: this.#published,
      onDefaultIndexReady,
    });
  }

  /** Repairs the store, as {@link Leader.repair}; on a replica that does not lead, only asks the leading one to. */
  async #repair(): Promise<boolean> {
    if (this.#leader !== undefined) return this.#leader.repair();
    await this.#rebuilds?.askRepair();
    return false;
  }

  /** Asks for a damaged or missing delta to be made again; only the leader can. */
  #onBlobLost(blob: BlobName, error: unknown): void {
    if (!(error instanceof BlobMissing) || this.#ending.signal.aborted) return;
    const { logger } = this.#options;
    logger.warn({ err: error }, error.message);
    if (blob.kind === 'delta')
      this.#leader?.loseDelta(blob.digest).catch((cause: unknown) => {
        logger.error({ err: cause }, `the delta ${blob.digest} could not be withdrawn`);
      });
  }

  /** Says as {@link Leader.knowsRepository} whether there is a repository, on a replica that does not lead. */
  async #knowsRepository(name: string): Promise<boolean> {
    const { registries, definitions } = indexingOptions(this.config);
    // Loaded only if needed: the HTTP client is large.
    const { createRegistrySource } = await import('../registry/create-registry-source.ts');
    const sources = new Map(registries.map((registry) => [registry.id, createRegistrySource(registry)]));
    try {
      return await knowsRepository(name, {
        sources,
        definitions,
        isKnown: async (registry) => (await this.#options.replica?.hasRepository(registry, name)) === true,
      });
    } finally {
      await Promise.all([...sources.values()].map((source) => source.close()));
    }
  }

  async #stopLeading(graceMs: number, signal: AbortSignal): Promise<void> {
    const leader = this.#leader;
    if (this.#rebuilds !== undefined) {
      this.#rebuilds.release();
      this.#leader = undefined;
    }
    await leader?.stop(graceMs, signal);
  }

  async #open(): Promise<void> {
    const { config, logger, figures, replica } = this.#options;
    const { indexes, server: serverConfig } = config;
    await this.loadPublished();

    const wanted = indexes.map((index) => {
      const registry = config.registries.get(index.registry);
      const covered = new CoveredRepositories(registry?.repositories ?? [], registry?.listing);
      return { ...wantedBy(index, (repository) => covered.has(repository)), registry: index.registry };
    });
    const description = await describeSite(config);
    const pullBackends = await openPullBackends(pullBackendOptions(config), (request) => {
      figures.countRegistryRequest(request);
      logRequest(logger, request);
    });
    const rebuilds = this.#rebuilds ?? this.#leader?.queue;
    if (rebuilds === undefined) throw new TypeError('without replicas, this process leads');
    const site: Site = {
      trustProxy: serverConfig.trustProxy,
      basePath: serverConfig.basePath,
      defaultIndex: config.defaultIndex,
      iconsUri: config.iconsUri,
      blobs: replica?.blobs ?? this.#blobFiles,
      onBlobLost: (blob, error) => this.#onBlobLost(blob, error),
      servesDeltas: indexes.some(({ deltas }) => deltas !== undefined),
      signatures: new Map(
        indexes.flatMap(({ name, signaturesDir }) => (signaturesDir === undefined ? [] : [[name, signaturesDir]])),
      ),
      description,
      indexes: this.indexes,
      questions: new Questions({ counts: figures.queries }),
      readIcon: (digest) => this.#published.readIcon(digest),
      pullSources: pullBackends.pullSources,
      registryProxy: pullBackends.registryProxy,
      reindex: {
        token: serverConfig.adminToken,
        knowsRepository: (name) => this.#leader?.knowsRepository(name) ?? this.#knowsRepository(name),
      },
      events: {
        token: serverConfig.eventsToken,
        request: async (request) => {
          if (this.#rebuilds !== undefined) await this.#rebuilds.notify(request);
          else void this.#leader?.notifications.request(request);
        },
        registriesWith: (repository, tag) => [
          ...new Set(wanted.filter((index) => isWanted([index], repository, tag)).map(({ registry }) => registry)),
        ],
      },
      status: {
        registries: [...config.registries.values()].map((registry) => ({
          id: registry.id,
          indexes: this.registries.get(registry.id) ?? [],
          listedBy: listedBy(registry),
        })),
        registryOf: (name) => indexes.find((index) => index.name === name)?.registry,
        warnings: () =>
          allIndexWarnings(
            config,
            new Map(
              [...this.indexes].flatMap(([name, { shown }]) =>
                shown === undefined ? [] : [[name, contentOf(shown.chunks)]],
              ),
            ),
          ),
        bus: () => this.#leader?.busStatus,
        explain: async (subject) =>
          (await this.#leader?.explain(subject)) ?? (await replica?.explain(subject, indexingOptions(config))) ?? [],
        deltas: () => this.#leader?.deltaStatus,
      },
      rebuilds,
      storeSizes: () => replica?.sizes() ?? storeSizes(config.stateDir),
      sharing: replica && { catchUp: () => replica.catchUp(), state: () => replica.state() },
    };
    this.#opened = { site, pullBackends };
  }
}
