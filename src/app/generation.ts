/** All that one configuration makes: what answers for its indexes, what builds them, and what says when. */
import type { Logger } from 'pino';
import { indexingOptions } from './indexing-options.ts';
import type { BusConfig, Config } from '../config/config.ts';
import { allIndexWarnings, contentOf } from './index-warnings.ts';
import { isWanted, wantedBy } from '../indexing/select/wanted.ts';
import type { PublishedPart } from '../indexing/indexer.ts';
import { describeSite } from './describe-site.ts';
import { openPullBackends, pullBackendOptions, type PullBackends } from './pull-backends.ts';
import type { Digest } from '../registry/digest.ts';
import { CoveredRepositories } from '../registry/covered-repositories.ts';
import { describeSent, type SentRequest } from '../registry/http/transport/sent-request.ts';
import type { Figures } from '../server/figures.ts';
import { PublicationLoader } from '../server/documents/publication-loader.ts';
import { JoinedBodies, ServedIndex } from '../server/documents/served-index.ts';
import { Questions } from '../server/documents/questions.ts';
import type { Site } from '../server/site.ts';
import type { SqlitePublicationReader } from '../store/sqlite/sqlite-publications.ts';
import { SqliteStore, storeSizes } from '../store/sqlite/sqlite-store.ts';
import { IndexingThread } from './indexing-thread.ts';
import { Bus } from '../triggers/bus/bus.ts';
import { Notifications } from '../triggers/notifications.ts';
import { RebuildQueue } from '../triggers/rebuild-queue.ts';
import { Schedule } from '../triggers/schedule.ts';

/** How long after what is published was looked through it is not again, in milliseconds: on a disk that fails, each time would cost as much as the last. */
const MENDED_FOR = 60_000;

/** How long requests and rebuilds under way may take to end, in milliseconds. */
export const GRACE = 10_000;

export interface GenerationOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly figures: Figures;
  /** Called after each rebuild that made the default index. */
  readonly onBuilt: () => void;
}

/** What {@link Generation.open} has made ready. */
interface Opened {
  readonly site: Site;
  readonly pulls: PullBackends;
}

/**
 * It answers as soon as it is open, from what is on disk; it builds from {@link begin} on, when nobody else does any more. Two may answer at
 * the same time, but only one may build.
 */
export class Generation {
  readonly config: Config;
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  readonly #options: GenerationOptions;
  readonly #builder: IndexingThread;
  readonly #queue: RebuildQueue;
  readonly #notifications: Notifications;
  readonly #schedule: Schedule;
  readonly #bus: Bus | undefined;
  readonly #begun = Promise.withResolvers<void>();
  /** What the catalog knows is published. */
  readonly #refreshed = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  #opened: Opened | undefined;
  /** What is published, once something is. */
  #reader: SqlitePublicationReader | undefined;
  #loader: PublicationLoader | undefined;
  /** Files that others took the place of, while something that was read from them is still served. */
  readonly #replaced: SqlitePublicationReader[] = [];
  #mended = -Infinity;
  /** Settles when all that was published is being served. */
  #loading: Promise<void> = Promise.resolve();

  private constructor(options: GenerationOptions) {
    const { config, logger } = options;
    this.config = config;
    this.#options = options;
    const joined = new JoinedBodies();
    this.indexes = new Map(config.indexes.map((index) => [index.name, new ServedIndex({ ...index, maxAge: config.server.maxAge, joined })]));
    this.#builder = new IndexingThread(indexingOptions(config), {
      onPublished: (index, part) => this.#load(index, part),
      onRequests: (counts) => options.figures.addRegistryRequests(counts),
      onRequest: logger.isLevelEnabled('debug') ? (request) => logRequest(logger, request) : undefined,
      onWarning: (message) => logger.warn(message),
      onStoreLost: () => {
        this.#reopen();
        if (!this.#ending.signal.aborted) this.#queue.request({ reason: 'a part of the store was damaged', scope: { kind: 'everything' } });
      },
      onExit: (error) => {
        logger.error({ err: error }, 'the build thread ended; the next rebuild starts another');
        // It may have published something and not come to tell.
        void this.loadPublished();
      },
    });
    const registries = new Map([...config.registries.keys()].map((id) => [id, config.indexes.filter(({ registry }) => registry === id).map(({ name }) => name)]));
    this.#queue = new RebuildQueue({
      registries,
      logger,
      run: async (registry, scope, options_) => {
        await this.#refreshed.promise;
        this.#ending.signal.throwIfAborted();
        const result = await this.#builder.rebuild(registry, scope, options_);
        await this.#loading;
        return result;
      },
    });
    this.#queue.on('finished', ({ result }) => {
      if (result?.indexes.some(({ index, bytes, error }) => index === config.defaultIndex && bytes > 0 && error === undefined) && result.failures.every(({ repository }) => repository !== undefined)) options.onBuilt();
    });
    this.#notifications = new Notifications(this.#queue);
    this.#schedule = new Schedule({ queue: this.#queue, registries: registries.keys(), interval: config.rescanInterval });
    this.#bus = config.bus && this.#createBus(config.bus);
  }

  /** Makes all ready to answer. @throws what the system says of a file of the configuration that cannot be read */
  static async open(options: GenerationOptions): Promise<Generation> {
    const service = new Generation(options);
    try {
      await service.#open();
    } catch (error) {
      await service.close();
      throw error;
    }
    return service;
  }

  /** What is answered with. */
  get site(): Site {
    if (this.#opened === undefined) throw new TypeError('the service is not open');
    return this.#opened.site;
  }

  /** Serves what is published, also by whoever wrote the store before. */
  async loadPublished(): Promise<void> {
    for (const name of this.indexes.keys()) this.#load(name, 'all');
    await this.#loading;
  }

  /**
   * Builds from now on, and listens to what says when. What the catalog knows is served before the registries are asked.
   * @param reason of the first rebuild, whose end this waits for
   */
  async begin(reason: string): Promise<void> {
    const { signal } = this.#ending;
    if (signal.aborted) return;
    this.#begun.resolve();
    this.#schedule.start();
    this.#bus?.start();
    await this.#builder.refresh(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#options.logger.error({ err: error }, 'the indexes could not be made from the catalog');
    });
    this.#refreshed.resolve();
    if (signal.aborted) return;
    const { id } = this.#queue.request({ reason, scope: { kind: 'everything' } });
    await this.#queue.finished(id);
  }

  /** Builds no more: ends what says when, and the rebuild that is under way after `graceMs` milliseconds or when `signal` is aborted. It goes on to answer. */
  async endBuilding(graceMs: number, signal: AbortSignal): Promise<void> {
    this.#schedule.stop();
    this.#notifications.stop();
    await Promise.all([this.#bus?.close(), this.#queue.settled(graceMs, signal)]);
    this.#ending.abort(new Error('the server is stopping'));
    // What waits for the begin is told that it will not come.
    this.#begun.resolve();
    this.#refreshed.resolve();
    await this.#queue.close({ graceMs: GRACE });
    await this.#builder.close();
    await this.#loading;
  }

  /** Ends all that is left. Call it when nobody asks it for an answer any more. */
  async close(): Promise<void> {
    await this.#opened?.pulls.close();
    await this.#builder.close();
    await this.#loading;
    for (const reader of [...this.#replaced, this.#reader]) await reader?.close();
  }

  async #open(): Promise<void> {
    const { config, logger, figures } = this.#options;
    const { indexes, server: serverConfig } = config;
    await this.loadPublished();

    const wanted = indexes.map((index) => {
      const covered = new CoveredRepositories(config.registries.get(index.registry)?.repositories ?? []);
      return wantedBy(index, (repository) => covered.has(repository));
    });
    const texts = await describeSite(config);
    const pulls = await openPullBackends(pullBackendOptions(config), (request) => {
      figures.countRegistryRequest(request);
      logRequest(logger, request);
    });
    const site: Site = {
      trustProxy: serverConfig.trustProxy,
      basePath: serverConfig.basePath,
      defaultIndex: config.defaultIndex,
      iconsUri: config.iconsUri,
      signatures: new Map(indexes.flatMap(({ name, signaturesDir }) => (signaturesDir === undefined ? [] : [[name, signaturesDir]]))),
      description: texts,
      indexes: this.indexes,
      questions: new Questions({ counts: figures.queries }),
      readIcon: (digest) => this.#readIcon(digest),
      pullSources: pulls.pullSources,
      registryProxy: pulls.registryProxy,
      reindex: {
        token: serverConfig.adminToken,
        knowsRepository: async (name) => {
          await this.#begun.promise;
          return this.#builder.knowsRepository(name);
        },
      },
      events: {
        token: serverConfig.eventsToken,
        request: (request) => this.#notifications.request(request),
        wants: (repository, tag) => isWanted(wanted, repository, tag),
      },
      status: {
        registryOf: (name) => indexes.find((index) => index.name === name)?.registry,
        warnings: () => allIndexWarnings(config, new Map([...this.indexes].flatMap(([name, { shown }]) => (shown === undefined ? [] : [[name, contentOf(shown.chunks)]])))),
        bus: () => this.#bus?.status(),
      },
      rebuilds: this.#queue,
      storeSizes: () => storeSizes(config.stateDir),
    };
    this.#opened = { site, pulls };
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

  /** Serves what is published of an index; one after the other, so that the last one published is the last one served. */
  #load(name: string, part: PublishedPart | 'all'): void {
    this.#loading = this.#loading.then(async () => {
      const index = this.indexes.get(name);
      if (index === undefined) return;
      try {
        // Whoever builds may have set a file aside before anybody was told.
        if (this.#reader?.isCurrent === false) this.#leaveReader();
        this.#reader ??= SqliteStore.openPublications(this.config.stateDir);
        if (this.#reader === undefined) return;
        this.#loader ??= new PublicationLoader(this.#reader, { onUnreadable: (error) => this.#reload(error) });
        if (part !== 'apps' || !this.#loader.hasLoaded(index)) await this.#loader.load(index);
        if (part !== 'index' && this.#loader.hasLoaded(index)) await this.#loader.loadApps(index);
        await this.#closeReplaced(this.#loader);
      } catch (error) {
        this.#mend(error);
      }
    });
  }

  /** Reads another file from now on, which took the place of the one that was read. */
  #reopen(): void {
    this.#loading = this.#loading.then(() => this.#leaveReader());
  }

  #leaveReader(): void {
    if (this.#reader !== undefined) this.#replaced.push(this.#reader);
    this.#reader = undefined;
    this.#loader = undefined;
  }

  async #closeReplaced(loader: PublicationLoader): Promise<void> {
    if ([...this.indexes.values()].some((index) => index.shown !== undefined && !loader.hasLoaded(index))) return;
    for (const reader of this.#replaced.splice(0)) await reader.close();
  }

  /** Serves the newest there is where something of what is served cannot be read; if there is nothing newer, it is made anew. */
  async #reload(error: unknown): Promise<void> {
    const versions = (): string => JSON.stringify([...this.indexes.values()].map(({ shown }) => shown?.publication.version));
    const before = versions();
    await this.loadPublished();
    if (versions() === before) this.#mend(error);
  }

  /** Has what is published looked through, and made anew where it is damaged. */
  #mend(error: unknown): void {
    const { signal } = this.#ending;
    const now = performance.now();
    if (signal.aborted || now - this.#mended < MENDED_FOR) return;
    this.#mended = now;
    this.#options.logger.warn({ err: error }, 'what is published cannot be read, and is made anew');
    void this.#makeAnew();
  }

  async #makeAnew(): Promise<void> {
    const { signal } = this.#ending;
    await this.#refreshed.promise;
    try {
      if (!signal.aborted && (await this.#builder.mend(signal))) this.#queue.request({ reason: 'a part of the store was damaged', scope: { kind: 'everything' } });
    } catch (error) {
      if (!signal.aborted) this.#options.logger.error({ err: error }, 'what is published could not be made anew; the next rebuild tries again');
    }
  }

  async #readIcon(digest: Digest): Promise<Buffer | undefined> {
    const png = await this.#loader?.readIcon(digest);
    if (png === undefined && [...this.indexes.values()].some(({ shown }) => shown?.chunks.some((chunk) => chunk.hasIcon(digest)) === true)) this.#mend(new Error(`the icon ${digest} is damaged, or not there`));
    return png;
  }
}

function logRequest(logger: Logger, request: SentRequest): void {
  logger.debug({ ...request }, describeSent(request));
}
