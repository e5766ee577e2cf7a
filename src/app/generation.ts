/** Everything that one configuration runs: its served indexes, its indexing thread, and the triggers. */
import type { Logger } from 'pino';
import { indexingOptions } from './indexing-options.ts';
import type { BusConfig, Config } from '../config/config.ts';
import { allIndexWarnings, contentOf } from './index-warnings.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import { describeSite } from './describe-site.ts';
import { openPullBackends, pullBackendOptions, type PullBackends } from './pull-backends.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { describeSent, type SentRequest } from '../registry/http/transport/sent-request.ts';
import type { Figures } from '../server/figures.ts';
import { JoinedBodies } from '../server/documents/body.ts';
import { ServedIndex } from '../server/documents/served-index.ts';
import { Questions } from '../server/documents/questions.ts';
import type { Site } from '../server/site.ts';
import { storeSizes } from '../store/sqlite/sqlite-store.ts';
import { IndexingThread } from './indexing-thread.ts';
import { PublishedIndexes } from './published-indexes.ts';
import { Bus } from '../triggers/bus/bus.ts';
import { Notifications } from '../triggers/notifications.ts';
import { RebuildQueue } from '../triggers/rebuild-queue.ts';
import { Schedule } from '../triggers/schedule.ts';

/** Time for pending requests and rebuilds to end, in milliseconds. */
export const GRACE = 10_000;

/** Objects that a {@link Generation} needs. */
export interface GenerationOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly figures: Figures;
  /** Called after each rebuild that made the default index. */
  readonly onDefaultIndexReady: () => void;
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
export class Generation {
  readonly config: Config;
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  readonly #options: GenerationOptions;
  readonly #published: PublishedIndexes;
  readonly #indexing: IndexingThread;
  readonly #queue: RebuildQueue;
  readonly #notifications: Notifications;
  readonly #schedule: Schedule;
  readonly #bus: Bus | undefined;
  readonly #begun = Promise.withResolvers<void>();
  /** Resolves when the content of the catalog has been published. */
  readonly #refreshed = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  #opened: Opened | undefined;

  private constructor(options: GenerationOptions) {
    const { config, logger } = options;
    this.config = config;
    this.#options = options;
    const joined = new JoinedBodies();
    this.indexes = new Map(
      config.indexes.map((index) => [index.name, new ServedIndex({ ...index, maxAge: config.server.maxAge, joined })]),
    );
    const { signal } = this.#ending;
    const rebuildLost = (): void => {
      if (!signal.aborted)
        this.#queue.request({ reason: 'a part of the store was damaged', scope: { kind: 'everything' } });
    };
    this.#published = new PublishedIndexes({
      stateDir: config.stateDir,
      indexes: this.indexes,
      logger,
      countStoreRead: options.figures.countStoreRead,
      repair: async () => {
        await this.#refreshed.promise;
        return !signal.aborted && this.#indexing.repair(signal);
      },
      onLost: rebuildLost,
      signal,
    });
    this.#indexing = new IndexingThread(indexingOptions(config), {
      onPublished: (index, document) => this.#published.load(index, document),
      onRequests: (counts) => options.figures.addRegistryRequests(counts),
      onRequest: logger.isLevelEnabled('debug') ? (request) => logRequest(logger, request) : undefined,
      onWarning: (message) => logger.warn(message),
      onStoreLost: () => {
        this.#published.reopen();
        rebuildLost();
      },
      onExit: (error) => {
        logger.error({ err: error }, 'the indexing thread has ended unexpectedly; the next rebuild starts another');
        // Its last publications may not have been announced.
        void this.loadPublished();
      },
    });
    const registries = new Map(
      [...config.registries.keys()].map((id) => [
        id,
        config.indexes.filter(({ registry }) => registry === id).map(({ name }) => name),
      ]),
    );
    this.#queue = new RebuildQueue({
      registries,
      logger,
      run: async (registry, scope, runOptions) => {
        await this.#refreshed.promise;
        signal.throwIfAborted();
        const result = await this.#indexing.rebuild(registry, scope, runOptions);
        await this.#published.loaded;
        return result;
      },
    });
    this.#queue.on('finished', ({ result }) => {
      if (
        result?.indexes.some(
          ({ index, bytes, error }) => index === config.defaultIndex && bytes > 0 && error === undefined,
        ) &&
        result.failures.every(({ repository }) => repository !== undefined)
      )
        options.onDefaultIndexReady();
    });
    this.#notifications = new Notifications(this.#queue);
    this.#schedule = new Schedule({
      queue: this.#queue,
      registries: registries.keys(),
      interval: config.rescanInterval,
    });
    this.#bus = config.bus && this.#createBus(config.bus);
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

  /**
   * Starts the triggers, publishes the content of the catalog, and then rebuilds everything; resolves when that rebuild
   * has ended.
   * @param reason of that rebuild
   */
  async begin(reason: string): Promise<void> {
    const { signal } = this.#ending;
    if (signal.aborted) return;
    this.#begun.resolve();
    this.#schedule.start();
    this.#bus?.start();
    await this.#indexing.refresh(signal).catch((error: unknown) => {
      if (!signal.aborted)
        this.#options.logger.error({ err: error }, 'the indexes could not be published from the catalog');
    });
    this.#refreshed.resolve();
    if (signal.aborted) return;
    const { id } = this.#queue.request({ reason, scope: { kind: 'everything' } });
    await this.#queue.finished(id);
  }

  /**
   * Stops the triggers, and the running rebuild after `graceMs` milliseconds or when `signal` is aborted. The
   * generation continues to answer.
   */
  async stopRebuilding(graceMs: number, signal: AbortSignal): Promise<void> {
    this.#schedule.stop();
    this.#notifications.stop();
    await Promise.all([this.#bus?.close(), this.#queue.settled(graceMs, signal)]);
    this.#ending.abort(new Error('the service is stopping'));
    // Releases waiting calls, which then see the aborted signal.
    this.#begun.resolve();
    this.#refreshed.resolve();
    await this.#queue.close({ graceMs: GRACE });
    await this.#indexing.close();
    await this.#published.loaded;
  }

  /** Closes connections, the indexing thread and the store. Call it when no request uses the generation any more. */
  async close(): Promise<void> {
    await this.#opened?.pullBackends.close();
    await this.#indexing.close();
    await this.#published.close();
  }

  async #open(): Promise<void> {
    const { config, logger, figures } = this.#options;
    const { indexes, server: serverConfig } = config;
    await this.loadPublished();

    const wanted = indexes.map((index) => {
      const registry = config.registries.get(index.registry);
      const covered = new CoveredRepositories(registry?.repositories ?? [], registry?.listing);
      return wantedBy(index, (repository) => covered.has(repository));
    });
    const texts = await describeSite(config);
    const pullBackends = await openPullBackends(pullBackendOptions(config), (request) => {
      figures.countRegistryRequest(request);
      logRequest(logger, request);
    });
    const site: Site = {
      trustProxy: serverConfig.trustProxy,
      basePath: serverConfig.basePath,
      defaultIndex: config.defaultIndex,
      iconsUri: config.iconsUri,
      signatures: new Map(
        indexes.flatMap(({ name, signaturesDir }) => (signaturesDir === undefined ? [] : [[name, signaturesDir]])),
      ),
      description: texts,
      indexes: this.indexes,
      questions: new Questions({ counts: figures.queries }),
      readIcon: (digest) => this.#published.readIcon(digest),
      pullSources: pullBackends.pullSources,
      registryProxy: pullBackends.registryProxy,
      reindex: {
        token: serverConfig.adminToken,
        knowsRepository: async (name) => {
          await this.#begun.promise;
          return this.#indexing.knowsRepository(name);
        },
      },
      events: {
        token: serverConfig.eventsToken,
        request: async (request) => this.#notifications.request(request),
        wants: (repository, tag) => isWanted(wanted, repository, tag),
      },
      status: {
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
        bus: () => this.#bus?.status(),
      },
      rebuilds: this.#queue,
      storeSizes: () => storeSizes(config.stateDir),
    };
    this.#opened = { site, pullBackends };
  }

  #createBus(config: BusConfig): Bus {
    const { urls, destinations, contentTypes, headers, heartbeat, caFile, clientCert, clientKey } = config;
    return new Bus({
      urls,
      destinations,
      contentTypes,
      headers,
      heartbeat,
      ...(caFile !== undefined && { caFile }),
      ...(clientCert !== undefined && { certFile: clientCert }),
      ...(clientKey !== undefined && { keyFile: clientKey }),
      firstConnectionTriggers: true,
      counts: this.#options.figures.bus,
      onTrigger: (reason) => void this.#queue.request({ reason, scope: { kind: 'everything' } }),
      logger: this.#options.logger,
    });
  }
}

function logRequest(logger: Logger, request: SentRequest): void {
  logger.debug({ ...request }, describeSent(request));
}
