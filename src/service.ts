/** All that one configuration makes: the indexes, what answers for them, what builds them, and what says when. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildOptions } from './build-options.ts';
import { snapshotsDir } from './build.ts';
import type { BusConfig, Config } from './config/config.ts';
import { allIndexWarnings } from './index-warnings.ts';
import { isWanted, wantedBy } from './indexing/globs.ts';
import { snapshotPath } from './indexing/indexer.ts';
import { Snapshot } from './indexing/snapshot/snapshot.ts';
import { publication } from './publication.ts';
import { openPulls, pullOptions, type Pulls } from './pulls.ts';
import { CoveredRepositories } from './registry/covered-repositories.ts';
import type { RequestCounts } from './registry/http/transport/request-counts.ts';
import { describeLogged } from './registry/http/transport/request-log.ts';
import { Answers } from './server/answers.ts';
import type { Figures } from './server/figures.ts';
import { PublishedIndex } from './server/published-index.ts';
import { createServer } from './server/server.ts';
import { Builder } from './threads/builder.ts';
import { Querier } from './threads/querier.ts';
import { Bus } from './triggers/bus/bus.ts';
import { Notifications } from './triggers/notifications.ts';
import { RebuildQueue } from './triggers/rebuild-queue.ts';
import { Schedule } from './triggers/schedule.ts';
import { version } from './version.ts';

/** How long requests and rebuilds under way may take to end, in milliseconds. */
export const GRACE = 10_000;

export interface ServiceOptions {
  readonly config: Config;
  readonly logger: Logger;
  /** Of the process, in milliseconds since the epoch. */
  readonly startedAt: number;
  readonly figures: Figures;
  /** Told which registry this thread asks. */
  readonly requests: RequestCounts;
}

/** What {@link Service.open} has made ready. */
interface Opened {
  readonly app: FastifyInstance;
  readonly pulls: Pulls;
}

/**
 * It answers as soon as it is open, from what is on disk; it builds from {@link begin} on, when nobody else does any more. Two may answer at
 * the same time, but only one may build.
 */
export class Service {
  readonly config: Config;
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly #options: ServiceOptions;
  readonly #querier: Querier;
  readonly #answers: Answers;
  readonly #builder: Builder;
  readonly #queue: RebuildQueue;
  readonly #notifications: Notifications;
  readonly #schedule: Schedule;
  readonly #bus: Bus | undefined;
  readonly #begun = Promise.withResolvers<void>();
  /** What the catalog knows is published. */
  readonly #refreshed = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  #opened: Opened | undefined;
  /** Settles when all snapshots that were published are being served. */
  #loading: Promise<void> = Promise.resolve();

  private constructor(options: ServiceOptions) {
    const { config, logger } = options;
    this.config = config;
    this.#options = options;
    this.indexes = new Map(config.indexes.map(({ name, fileName }) => [name, new PublishedIndex(name, fileName, config.server.maxAge)]));
    this.#querier = new Querier((error) => logger.error({ err: error }, 'the query thread ended; the next query starts another'));
    this.#answers = new Answers({ answer: this.#querier.answer, counts: options.figures.queries });
    this.#builder = new Builder(buildOptions(config), {
      onPublished: (index) => this.#load(index),
      onRequests: (counts) => options.figures.addRegistryRequests(counts),
      onRequest: logger.isLevelEnabled('debug') ? (request) => logger.debug({ ...request }, describeLogged(request)) : undefined,
      onWarning: (message) => logger.warn(message),
      onCatalogLost: () => {
        if (!this.#ending.signal.aborted) this.#queue.request({ reason: 'the catalog was damaged', scope: { kind: 'everything' } });
      },
      onExit: (error) => logger.error({ err: error }, 'the build thread ended; the next rebuild starts another'),
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
    this.#notifications = new Notifications(this.#queue);
    this.#schedule = new Schedule({ queue: this.#queue, registries: registries.keys(), interval: config.rescanInterval });
    this.#bus = config.bus && this.#createBus(config.bus);
  }

  /** Makes all ready to answer. @throws what the system says of a file of the configuration that cannot be read */
  static async open(options: ServiceOptions): Promise<Service> {
    const service = new Service(options);
    try {
      await service.#open();
    } catch (error) {
      await service.close();
      throw error;
    }
    return service;
  }

  /** What answers here. */
  get app(): FastifyInstance {
    return this.#ready().app;
  }

  /** Serves what is on disk, which somebody else may have built. */
  async loadSnapshots(): Promise<void> {
    for (const name of this.indexes.keys()) this.#load(name);
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
    await this.#opened?.app.close();
    await this.#opened?.pulls.close();
    await this.#builder.close();
    await this.#querier.close();
    await this.#loading;
    for (const { snapshot } of this.indexes.values()) await snapshot?.close();
  }

  #ready(): Opened {
    if (this.#opened === undefined) throw new TypeError('the service is not open');
    return this.#opened;
  }

  async #open(): Promise<void> {
    const { config, logger, startedAt, figures, requests } = this.#options;
    const { indexes, server: serverConfig } = config;
    await this.loadSnapshots();

    const wanted = indexes.map((index) => {
      const covered = new CoveredRepositories(config.registries.get(index.registry)?.repositories ?? []);
      return wantedBy(index, (repository) => covered.has(repository));
    });
    const pulls = await openPulls(pullOptions(config), requests);
    const app = await createServer({
      trustProxy: serverConfig.trustProxy,
      tls: serverConfig.tls !== undefined,
      basePath: serverConfig.basePath,
      defaultIndex: config.defaultIndex,
      iconsDir: config.iconsDir,
      iconsUri: config.iconsUri,
      signatures: Object.fromEntries(indexes.flatMap(({ name, signaturesDir }) => (signaturesDir === undefined ? [] : [[name, signaturesDir]]))),
      publication: await publication(config),
      logger,
      indexes: this.indexes,
      answer: this.#answers.answer,
      pullSources: pulls.pullSources,
      registryProxy: pulls.registryProxy,
      reindex: {
        token: serverConfig.adminToken,
        rebuilds: this.#queue,
        hasIndex: (name) => this.indexes.has(name),
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
        version,
        startedAt,
        registryOf: (name) => indexes.find((index) => index.name === name)?.registry,
        warnings: () => allIndexWarnings(config, new Map([...this.indexes].flatMap(([name, { snapshot }]) => (snapshot === undefined ? [] : [[name, snapshot.footer]])))),
        rebuilds: () => this.#queue.recent(),
        bus: () => this.#bus?.status(),
      },
      rebuildEvents: this.#queue,
      figures,
    });
    this.#opened = { app, pulls };
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

  /** Serves the snapshot of an index that is on disk; one after the other, so that the last one published is the last one served. */
  #load(name: string): void {
    this.#loading = this.#loading.then(async () => {
      try {
        const snapshot = await Snapshot.open(snapshotPath(snapshotsDir(this.config.stateDir), name));
        await Promise.all([this.indexes.get(name)?.use(snapshot), this.#querier.use(snapshot)]);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
        this.#options.logger.warn({ err: error, index: name }, 'the snapshot of an index cannot be served; the next rebuild makes it anew');
      }
    });
  }
}
