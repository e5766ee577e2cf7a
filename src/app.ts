/** Puts the rooms together: the server, the threads behind it, and what says when to rebuild. Starts and stops them. */
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { buildOptions } from './build-options.ts';
import { snapshotsDir } from './build.ts';
import { StateLock } from './catalog/state-lock.ts';
import type { BusConfig, Config } from './config/config.ts';
import { proxyWarnings } from './config/proxied-registry.ts';
import { wantedBy } from './indexing/globs.ts';
import { snapshotPath } from './indexing/indexer.ts';
import { Snapshot } from './indexing/snapshot/snapshot.ts';
import { gracefulClose } from './server/graceful-close.ts';
import { publication } from './publication.ts';
import { openPulls, pullOptions } from './pulls.ts';
import { PublishedIndex } from './server/published-index.ts';
import { createServer } from './server/server.ts';
import { Builder } from './threads/builder.ts';
import { Querier } from './threads/querier.ts';
import type { ServeOptions } from './threads/serving-threads.ts';
import { ServingThreads } from './threads/serving-threads.ts';
import { Bus } from './triggers/bus/bus.ts';
import { Notifications } from './triggers/notifications.ts';
import { RebuildQueue } from './triggers/rebuild-queue.ts';
import { Schedule } from './triggers/schedule.ts';
import { version } from './version.ts';

/** How long requests under way may take to end when the server stops, in milliseconds. */
const GRACE = 10_000;

export interface App {
  /** Where it listens. */
  readonly url: string;
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  /** Resolves when the rebuild at the start has ended, well or not. */
  readonly started: Promise<void>;
  /** Stops accepting, lets what is under way end within 10 s, and leaves the state whole. */
  close(): Promise<void>;
}

/**
 * Serves what is on disk at once, then brings it up to date.
 * @throws StateLockedError if another process uses the `state_dir`; the system's error if the address is taken.
 */
export async function startApp(config: Config, logger: Logger): Promise<App> {
  const startedAt = Date.now();
  const lock = StateLock.acquire(config.stateDir);
  try {
    return await new Starting(config, logger, lock, startedAt).start();
  } catch (error) {
    lock.release();
    throw error;
  }
}

class Starting {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #lock: StateLock;
  readonly #startedAt: number;
  readonly #indexes: ReadonlyMap<string, PublishedIndex>;
  readonly #querier: Querier;
  readonly #threads: ServingThreads;
  readonly #builder: Builder;
  readonly #queue: RebuildQueue;
  readonly #closing = new AbortController();
  /** Settles when all snapshots that were published are being served. */
  #loading: Promise<void> = Promise.resolve();

  constructor(config: Config, logger: Logger, lock: StateLock, startedAt: number) {
    this.#config = config;
    this.#logger = logger;
    this.#lock = lock;
    this.#startedAt = startedAt;
    this.#indexes = new Map(config.indexes.map(({ name, fileName }) => [name, new PublishedIndex(name, fileName, config.server.maxAge)]));
    this.#querier = new Querier((error) => logger.error({ err: error }, 'the query thread ended; the next query starts another'));
    this.#threads = new ServingThreads({ count: config.server.workers - 1, answer: this.#querier.answer, logger });
    this.#builder = new Builder(buildOptions(config), {
      onPublished: (index) => this.#load(index),
      onWarning: (message) => logger.warn(message),
      onExit: (error) => logger.error({ err: error }, 'the build thread ended; the next rebuild starts another'),
    });
    const registries = new Map([...config.registries.keys()].map((id) => [id, config.indexes.filter(({ registry }) => registry === id).map(({ name }) => name)]));
    this.#queue = new RebuildQueue({
      registries,
      logger,
      run: async (registry, scope, options) => {
        const result = await this.#builder.rebuild(registry, scope, options);
        await this.#loading;
        return result;
      },
    });
  }

  async start(): Promise<App> {
    const { indexes, server: serverConfig, registries, rescanInterval, bus: busConfig } = this.#config;
    for (const warning of proxyWarnings(this.#config)) this.#logger.warn(warning);
    for (const { name } of indexes) this.#load(name);
    await this.#loading;

    const bus = busConfig && this.#bus(busConfig);
    const notifications = new Notifications(this.#queue);
    const wanted = indexes.map(wantedBy);
    const pulling = pullOptions(this.#config);
    const pulls = await openPulls(pulling);
    const common = {
      trustProxy: serverConfig.trustProxy,
      tls: serverConfig.tls && { cert: await readFile(serverConfig.tls.cert), key: await readFile(serverConfig.tls.key) },
      defaultIndex: this.#config.defaultIndex,
      iconsDir: this.#config.iconsDir,
      iconsUri: this.#config.iconsUri,
      signatures: Object.fromEntries(indexes.flatMap(({ name, signaturesDir }) => (signaturesDir === undefined ? [] : [[name, signaturesDir]]))),
      publication: await publication(this.#config),
    };
    const server = await createServer({
      ...common,
      logger: this.#logger,
      indexes: this.#indexes,
      answer: this.#threads.answer,
      pullSources: pulls.pullSources,
      registryProxy: pulls.registryProxy,
      reindex: {
        token: serverConfig.adminToken,
        rebuilds: this.#queue,
        hasIndex: (name) => this.#indexes.has(name),
        knowsRepository: async (name) => wanted.some((index) => index.repository(name)) && this.#builder.knowsRepository(name),
      },
      events: {
        token: serverConfig.eventsToken,
        request: (request) => notifications.request(request),
        wants: (repository, tag) => wanted.some((index) => index.repository(repository) && (tag === undefined || index.tag(tag))),
      },
      status: {
        version,
        startedAt: this.#startedAt,
        registryOf: (name) => indexes.find((index) => index.name === name)?.registry,
        rebuilds: () => this.#queue.recent(),
        bus: () => bus?.status(),
      },
      rebuildEvents: this.#queue,
      registryRequests: () => this.#builder.registryRequests(),
    });
    const stop = gracefulClose(server);
    const port = await this.#listen(server, {
      ...common,
      level: this.#logger.level,
      indexes: indexes.map(({ name, fileName }) => ({ name, fileName, maxAge: serverConfig.maxAge })),
      pulls: pulling,
    });

    const schedule = new Schedule({ queue: this.#queue, registries: registries.keys(), interval: rescanInterval });
    schedule.start();
    const started = this.#firstRebuild();
    bus?.start();

    return {
      url: serverConfig.baseUrl ?? urlOf(serverConfig.host, port, serverConfig.tls !== undefined),
      indexes: this.#indexes,
      started,
      close: async () => {
        schedule.stop();
        notifications.stop();
        this.#closing.abort(new Error('the server is stopping'));
        try {
          await Promise.all([bus?.close(), stop(GRACE), this.#threads.close(GRACE), this.#queue.close({ graceMs: GRACE })]);
          await pulls.close();
          await this.#builder.close();
          await this.#querier.close();
          await this.#loading;
          for (const { snapshot } of this.#indexes.values()) await snapshot?.close();
        } finally {
          this.#lock.release();
        }
      },
    };
  }

  /** Has all threads listen at the configured address, and returns the port. */
  async #listen(server: FastifyInstance, serve: ServeOptions): Promise<number> {
    const { host, port, workers } = this.#config.server;
    try {
      const listening = { host, port, reusePort: workers > 1 };
      await server.listen(listening);
      const address = server.server.address() as AddressInfo;
      await this.#threads.listen({ host, port: address.port, serve, server });
      return address.port;
    } catch (error) {
      await Promise.all([server.close(), this.#threads.close(0)]);
      throw error;
    }
  }

  /** What the catalog knows is served before the registries are asked. */
  async #firstRebuild(): Promise<void> {
    const { signal } = this.#closing;
    await this.#builder.refresh(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#logger.error({ err: error }, 'the indexes could not be made from the catalog');
    });
    if (signal.aborted) return;
    const { id } = this.#queue.request({ reason: 'start', scope: { kind: 'everything' } });
    await this.#queue.finished(id);
  }

  #bus(config: BusConfig): Bus {
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
      onTrigger: (reason) => void this.#queue.request({ reason, scope: { kind: 'everything' } }),
      logger: this.#logger,
    });
  }

  /** Serves the snapshot of an index that is on disk; one after the other, so that the last one published is the last one served. */
  #load(name: string): void {
    this.#loading = this.#loading.then(async () => {
      try {
        const snapshot = await Snapshot.open(snapshotPath(snapshotsDir(this.#config.stateDir), name));
        await Promise.all([this.#indexes.get(name)?.use(snapshot), this.#querier.use(snapshot), this.#threads.use(snapshot)]);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
        this.#logger.warn({ err: error, index: name }, 'the snapshot of an index cannot be served; the next rebuild makes it anew');
      }
    });
  }
}

function urlOf(host: string, port: number, tls: boolean): string {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `${tls ? 'https' : 'http'}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
