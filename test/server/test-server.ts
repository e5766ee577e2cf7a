/** A server over the indexes of a {@link TestState}, put together as the program does it but without its threads for building. */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { pino } from 'pino';
import { contentOf } from '../../src/index-warnings.ts';
import { Figures } from '../../src/server/figures.ts';
import { Front, type FrontOptions } from '../../src/server/front.ts';
import { PublicationLoader } from '../../src/server/publication-loader.ts';
import { PublishedIndex } from '../../src/server/published-index.ts';
import { type QueryCounts, Questions, type QuestionsOptions } from '../../src/server/questions.ts';
import type { ServerOptions } from '../../src/server/server.ts';
import { createServer } from '../../src/server/server.ts';
import type { PublicationReader } from '../../src/store/publications.ts';
import { RebuildQueue } from '../../src/triggers/rebuild-queue.ts';
import type { TestState } from '../indexing/test-state.ts';

export const ADMIN_TOKEN = 'the-one-admin-token';
export const EVENTS_TOKEN = 'the-events-token';

export interface TestServerOptions extends Partial<Pick<ServerOptions, 'iconsUri' | 'readers' | 'pullSources' | 'registryProxy' | 'signatures' | 'trustProxy' | 'defaultIndex' | 'publication'>>, FrontOptions {
  /** The names of the state's indexes; `apps` if absent. */
  readonly indexes?: readonly string[];
  /** Bytes of chunks' bodies that are kept in memory. */
  readonly maxBodyBytes?: number;
  /** Stands between the server and the store where bodies of chunks are read. */
  readonly readBody?: (read: () => Promise<Buffer | undefined>) => Promise<Buffer | undefined>;
  /** `undefined` for none. */
  readonly adminToken?: string | undefined;
  readonly eventsToken?: string | undefined;
  readonly wants?: ServerOptions['events']['wants'];
  readonly knowsRepository?: ServerOptions['reindex']['knowsRepository'];
  readonly questions?: Omit<QuestionsOptions, 'counts'>;
}

export class TestServer {
  readonly app: FastifyInstance;
  /** What listens for it. */
  readonly front: Front;
  readonly queue: RebuildQueue;
  /** Every line that was logged, parsed. */
  readonly log: LogLine[];
  /** See {@link MemoryLog}. */
  readonly logged: MemoryLog['logged'];
  readonly #indexes: ReadonlyMap<string, PublishedIndex>;
  readonly #state: TestState;
  #loader: PublicationLoader | undefined;
  /** How many questions were answered by what was kept, and how many were not. */
  readonly queries: QueryCounts;
  readonly #options: TestServerOptions;

  private constructor(
    parts: { app: FastifyInstance; front: Front; queue: RebuildQueue; log: LogLine[]; logged: MemoryLog['logged']; indexes: ReadonlyMap<string, PublishedIndex>; state: TestState; queries: QueryCounts; options: TestServerOptions },
  ) {
    this.app = parts.app;
    this.front = parts.front;
    this.queue = parts.queue;
    this.log = parts.log;
    this.logged = parts.logged;
    this.#indexes = parts.indexes;
    this.#state = parts.state;
    this.queries = parts.queries;
    this.#options = parts.options;
  }

  /** Nothing is built yet; {@link publish} and rebuilds that the queue is asked for do that. */
  static async create(t: TestContext, state: TestState, options: TestServerOptions = {}): Promise<TestServer> {
    const { indexes: names = ['apps'] } = options;
    const { log, logger, logged } = memoryLog();
    const indexes = new Map(names.map((name) => [name, new PublishedIndex({ name, fileName: `${name}-file`, maxAge: 60, repositoryPriority: [] })]));
    const queue = new RebuildQueue({
      registries: new Map([[state.registry.id, names]]),
      logger,
      run: async (_registry, scope, { signal, onProgress }) => {
        const result = await state.rebuild(scope, { signal, onProgress });
        await server.publish();
        return result;
      },
    });
    const figures = new Figures();
    const app = await createServer({
      logger,
      trustProxy: options.trustProxy ?? false,
      tls: options.tls !== undefined,
      ...(options.publication && { publication: options.publication }),
      indexes,
      defaultIndex: options.defaultIndex ?? names[0] ?? '',
      questions: new Questions({ ...options.questions, counts: figures.queries }),
      readIcon: (digest) => state.store.publications.png(digest),
      readers: { patience: options.patience, ...options.readers },
      iconsUri: options.iconsUri ?? 'icons/',
      pullSources: options.pullSources ?? [],
      registryProxy: options.registryProxy,
      signatures: options.signatures ?? {},
      reindex: {
        token: 'adminToken' in options ? options.adminToken : ADMIN_TOKEN,
        rebuilds: queue,
        hasIndex: (name) => indexes.has(name),
        knowsRepository: options.knowsRepository ?? (async (name) => ((await state.store.catalog.known(state.registry.id, [name])).repositories.get(name)?.tags.size ?? 0) > 0),
      },
      events: {
        token: 'eventsToken' in options ? options.eventsToken : EVENTS_TOKEN,
        request: (request) => queue.request(request),
        wants: options.wants ?? (() => true),
      },
      figures,
      rebuildEvents: queue,
      status: { version: '1.2.3', startedAt: 0, registryOf: () => state.registry.id, warnings: () => new Map([...indexes.values()].map(({ name, shown }) => [name, contentOf(shown?.chunks ?? []).warnings])), rebuilds: () => queue.recent(), bus: () => undefined },
    });
    const front = new Front(app, options);
    const server = new TestServer({ app, front, queue, log, logged, indexes, state, queries: figures.queries, options });
    t.after(async () => {
      await queue.close({ graceMs: 1000 });
      await front.close(0);
    });
    return server;
  }

  /** Serves what is published. */
  async publish(): Promise<void> {
    await this.#state.indexer.settled();
    const { maxBodyBytes, readBody = (read) => read() } = this.#options;
    const publications = (): PublicationReader => this.#state.store.publications;
    const reader: PublicationReader = {
      publication: (index) => publications().publication(index),
      chunkHeads: (chunks) => publications().chunkHeads(chunks),
      chunkBody: (chunk, sha256) => readBody(() => publications().chunkBody(chunk, sha256)),
      png: (digest) => publications().png(digest),
      apps: (index) => publications().apps(index),
    };
    this.#loader ??= new PublicationLoader(reader, { maxBodyBytes, onUnreadable: () => this.publish() });
    const loader = this.#loader;
    for (const index of this.#indexes.values()) await loader.load(index);
  }

  /** Rebuilds everything and serves that. */
  async rebuild(): Promise<void> {
    await this.#state.rebuild();
    await this.publish();
  }

  /** Listens on a port that the system chooses. */
  async listen(): Promise<number> {
    return this.front.listen({ host: '127.0.0.1', port: 0 });
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
  /** The next line whose message fits. */
  readonly logged: (message: RegExp) => Promise<LogLine>;
}

/** A log that is kept, down to what is for debugging. */
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

/** What the header `Authorization` says with a token. */
export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
