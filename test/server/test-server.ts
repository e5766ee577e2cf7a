/** A server over the indexes of a {@link TestState}, built as in the service, but without threads. */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { pino } from 'pino';
import { contentOf } from '../../src/app/index-warnings.ts';
import { Figures } from '../../src/server/figures.ts';
import type { ConnectionLimitsOptions } from '../../src/server/http/connection-limits.ts';
import type { ReadersOptions } from '../../src/server/plugins/readers.ts';
import { PublicationLoader } from '../../src/server/documents/publication-loader.ts';
import { ServedIndex } from '../../src/server/documents/served-index.ts';
import { type QueryCounts, Questions, type QuestionsOptions } from '../../src/server/documents/questions.ts';
import { Server } from '../../src/server/server.ts';
import type { Site } from '../../src/server/site.ts';
import type { PublicationReader } from '../../src/store/publications.ts';
import { storeSizes } from '../../src/store/sqlite/sqlite-store.ts';
import type { BusStatus } from '../../src/triggers/bus/bus.ts';
import { RebuildQueue } from '../../src/triggers/rebuild-queue.ts';
import type { TestState } from '../indexing/test-state.ts';

export const ADMIN_TOKEN = 'the-one-admin-token';
export const EVENTS_TOKEN = 'the-events-token';

export interface TestServerOptions
  extends
    Partial<
      Pick<
        Site,
        | 'iconsUri'
        | 'pullSources'
        | 'registryProxy'
        | 'signatures'
        | 'trustProxy'
        | 'defaultIndex'
        | 'description'
        | 'sharing'
      >
    >,
    ConnectionLimitsOptions {
  readonly readers?: ReadersOptions;
  /** The names of the state's indexes; `apps` if absent. */
  readonly indexes?: readonly string[];
  /** Bytes of segments to cache. */
  readonly maxBodyBytes?: number;
  /** Wraps each read of a chunk's body from the store. */
  readonly readBody?: (read: () => Promise<Buffer | undefined>) => Promise<Buffer | undefined>;
  /** `undefined` for none. */
  readonly adminToken?: string | undefined;
  readonly eventsToken?: string | undefined;
  readonly bus?: BusStatus;
  /** Warnings beside those about images. */
  readonly warnings?: readonly string[];
  /** Says whether the index includes a repository, or a tag of it; all if absent. */
  readonly wants?: (repository: string, tag?: string) => boolean;
  readonly knowsRepository?: Site['reindex']['knowsRepository'];
  readonly questions?: Omit<QuestionsOptions, 'counts'>;
}

export class TestServer {
  readonly server: Server;
  readonly site: Site;
  readonly queue: RebuildQueue;
  /** All lines of the log, parsed. */
  readonly log: LogLine[];
  /** See {@link MemoryLog}. */
  readonly logged: MemoryLog['logged'];
  readonly #indexes: ReadonlyMap<string, ServedIndex>;
  readonly #state: TestState;
  #loader: PublicationLoader | undefined;
  /** Cache hits and misses of questions. */
  readonly queries: QueryCounts;
  readonly #options: TestServerOptions;

  private constructor(parts: {
    server: Server;
    site: Site;
    queue: RebuildQueue;
    log: LogLine[];
    logged: MemoryLog['logged'];
    indexes: ReadonlyMap<string, ServedIndex>;
    state: TestState;
    queries: QueryCounts;
    options: TestServerOptions;
  }) {
    this.server = parts.server;
    this.site = parts.site;
    this.queue = parts.queue;
    this.log = parts.log;
    this.logged = parts.logged;
    this.#indexes = parts.indexes;
    this.#state = parts.state;
    this.queries = parts.queries;
    this.#options = parts.options;
  }

  /** Creates a server without any publication: {@link publish}, or request a rebuild from the queue. */
  static async create(t: TestContext, state: TestState, options: TestServerOptions = {}): Promise<TestServer> {
    const { indexes: names = ['apps'] } = options;
    const { log, logger, logged } = memoryLog();
    const indexes = new Map(
      names.map((name) => [
        name,
        new ServedIndex({ name, fileName: `${name}-file`, maxAge: 60, repositoryPriority: [] }),
      ]),
    );
    const queue = new RebuildQueue({
      registries: new Map([[state.registry.id, names]]),
      logger,
      run: async (_registry, scope, { signal, onProgress }) => {
        const result = await state.rebuild(scope, { signal, onProgress });
        await testServer.publish();
        return result;
      },
    });
    const figures = new Figures();
    const site: Site = {
      trustProxy: options.trustProxy ?? false,
      basePath: URL.parse(options.description?.baseUrl ?? '')?.pathname.replace(/\/$/, '') ?? '',
      description: options.description ?? { baseUrl: undefined, indexes: [] },
      indexes,
      defaultIndex: options.defaultIndex ?? names[0] ?? '',
      questions: new Questions({ ...options.questions, counts: figures.queries }),
      readIcon: (digest) => state.store.publications.png(digest),
      iconsUri: options.iconsUri ?? 'icons/',
      blobs: state.store.blobs,
      onBlobLost: ({ digest }) => void state.indexer.deltas.lose(digest),
      servesDeltas: true,
      pullSources: options.pullSources ?? [],
      registryProxy: options.registryProxy,
      signatures: options.signatures ?? new Map(),
      reindex: {
        token: 'adminToken' in options ? options.adminToken : ADMIN_TOKEN,
        knowsRepository:
          options.knowsRepository ??
          (async (name) =>
            ((await state.store.catalog.known(state.registry.id, [name])).repositories.get(name)?.tags.size ?? 0) > 0),
      },
      events: {
        token: 'eventsToken' in options ? options.eventsToken : EVENTS_TOKEN,
        request: async (request) => void queue.request(request),
        registriesWith: (repository, tag) => (options.wants?.(repository, tag) === false ? [] : [state.registry.id]),
      },
      rebuilds: queue,
      storeSizes: () => storeSizes(state.folder),
      sharing: options.sharing,
      status: {
        registries: [{ id: state.registry.id, indexes: names, listedBy: 'catalog' }],
        registryOf: () => state.registry.id,
        warnings: () =>
          new Map(
            [...indexes.values()].map(({ name, shown }) => [
              name,
              [...(options.warnings ?? []), ...contentOf(shown?.chunks ?? []).warnings],
            ]),
          ),
        bus: () => options.bus,
        explain: async () => [],
        deltas: () => undefined,
      },
    };
    const { tls, patience, keptAlive, maxConnections, readers } = options;
    const server = await Server.create(
      {
        logger,
        figures,
        version: '1.2.3',
        startedAt: 0,
        tls,
        patience,
        keptAlive,
        maxConnections,
        readers: { patience, ...readers },
      },
      site,
    );
    const testServer = new TestServer({
      server,
      site,
      queue,
      log,
      logged,
      indexes,
      state,
      queries: figures.queries,
      options,
    });
    t.after(async () => {
      await queue.close({ graceMs: 1000 });
      await server.close(0);
    });
    return testServer;
  }

  get fastify(): FastifyInstance {
    return this.server.fastify;
  }

  /** Publishes, and loads the publications. */
  async publish(): Promise<void> {
    await this.#state.indexer.settled();
    const { maxBodyBytes, readBody = (read) => read() } = this.#options;
    const publications = (): PublicationReader => this.#state.store.publications;
    const reader: PublicationReader = {
      publication: (index) => publications().publication(index),
      chunkHeads: (chunks) => publications().chunkHeads(chunks),
      chunkSegment: (chunk, segment) => readBody(() => publications().chunkSegment(chunk, segment)),
      png: (digest) => publications().png(digest),
      apps: (index) => publications().apps(index),
    };
    this.#loader ??= new PublicationLoader(reader, {
      maxBodyBytes,
      onUnreadable: async () => {
        await this.publish();
        return undefined;
      },
    });
    const loader = this.#loader;
    for (const index of this.#indexes.values()) if (await loader.load(index)) await loader.loadApps(index);
  }

  /** Rebuilds everything, and loads the publications. */
  async rebuild(): Promise<void> {
    await this.#state.rebuild();
    await this.publish();
  }

  /** Listens on a port that the system chooses. */
  async listen(): Promise<number> {
    return this.server.listen({ host: '127.0.0.1', port: 0 });
  }

  /** Resolves when a rebuild has ended. */
  async rebuilt(): Promise<void> {
    await once(this.queue, 'finished');
  }
}

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface MemoryLog {
  readonly log: LogLine[];
  readonly logger: Logger;
  /** Resolves with the next line whose message matches. */
  readonly logged: (message: RegExp) => Promise<LogLine>;
}

/** Creates a logger that keeps lines of all levels in memory. */
export function memoryLog(): MemoryLog {
  const log: LogLine[] = [];
  const awaited = new Map<RegExp, (line: LogLine) => void>();
  const write = (text: string): void => {
    const line = JSON.parse(text) as LogLine;
    log.push(line);
    for (const [message, resolve] of awaited) if (message.test(line.msg)) resolve(line);
  };
  const logged = (message: RegExp): Promise<LogLine> => new Promise((resolve) => awaited.set(message, resolve));
  return { log, logger: pino({ level: 'trace' }, { write }), logged };
}

/** Returns the header `Authorization` for a token. */
export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
