/** A further thread that serves: the same routes from the same memory, on the same port as the first. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { Logger } from 'pino';
import type { SharedSnapshot } from '../indexing/snapshot/snapshot.ts';
import { Snapshot } from '../indexing/snapshot/snapshot.ts';
import type { Pulls } from '../pulls.ts';
import { openPulls } from '../pulls.ts';
import { RequestCounts } from '../registry/http/transport/request-counts.ts';
import { Front } from '../server/front.ts';
import type { KeyPair } from '../server/key-pair.ts';
import { PublishedIndex } from '../server/published-index.ts';
import { TooBusy } from '../server/server-error.ts';
import { createServer } from '../server/server.ts';
import { type Counts, ThreadFigures } from '../server/thread-figures.ts';
import type { RebuildEvents } from '../server/routes/rebuild-events.ts';
import type { Rebuild } from '../triggers/rebuild.ts';
import { answerCalls, Calls } from './calls.ts';
import { RelayedRebuilds, type RebuildNews } from './rebuild-relay.ts';
import type { Listening, MainMethods, ServeOptions } from './serving-threads.ts';

/** A line of the log, for the thread that writes it. */
export interface LogEvent {
  readonly line: string;
}

export interface ServeMethods {
  /** Answers by these options from now on, from these snapshots to begin with, while these rebuilds run or wait. */
  answer(signal: AbortSignal, options: ServeOptions, snapshots: readonly SharedSnapshot[], live: readonly Rebuild[]): Promise<void>;
  /** Serves a snapshot from now on. */
  use(signal: AbortSignal, shared: SharedSnapshot): Promise<void>;
  /** Call it after {@link answer}. */
  listen(signal: AbortSignal, listening: Listening): Promise<void>;
  /** What it has counted since it was started. */
  counts(signal: AbortSignal): Promise<Counts>;
  /** See {@link Front.secure}. */
  secure(signal: AbortSignal, pair: KeyPair): Promise<void>;
  /** See {@link Front.close}. */
  close(signal: AbortSignal, graceMs: number): Promise<void>;
  [method: string]: (signal: AbortSignal, ...args: never[]) => Promise<unknown>;
}

if (parentPort) serve(parentPort, (workerData as { readonly level: string }).level);

function serve(main: MessagePort, level: string): void {
  const rebuilds = new RelayedRebuilds();
  const calls = new Calls<MainMethods, RebuildNews>(main, { onEvent: (news) => rebuilds.receive(news) });
  const logger = pino({ level, base: null, timestamp: false }, { write: (line) => log({ line }) });
  const requests = new RequestCounts();
  const figures = new ThreadFigures(() => requests.take());
  let current: Answering | undefined;
  let front: Front | undefined;
  /** Settles when the snapshots so far are served: one after the other, so that the last one stays. */
  let using: Promise<void> = Promise.resolve();

  const inTurn = async (run: () => Promise<void>): Promise<void> => {
    const done = using.then(run);
    using = done.catch(() => undefined);
    await done;
  };

  const methods: ServeMethods = {
    answer: (_signal, options, snapshots, live) => {
      // At once: what is told of meanwhile is newer.
      rebuilds.begin(live);
      return inTurn(async () => {
        const next = await Answering.open(options, snapshots, calls, logger, { requests, figures, rebuilds });
        const before = current;
        current = next;
        const ended = front?.use(next.app);
        // Not waited for: what is under way may take its time.
        void before?.close(ended).catch((error: unknown) => logger.error({ err: error }, 'what answered before could not be closed'));
      });
    },
    use: (_signal, shared) => inTurn(async () => current?.use(shared)),
    listen: async (_signal, { host, port, tls, patience }) => {
      if (current === undefined) throw new TypeError('there is nothing that could answer');
      front = new Front(current.app, { tls, patience });
      await front.listen({ host, port, reusePort: true });
      logger.info(`Another thread serves at port ${port} of ${host}`);
    },
    counts: async () => figures.counts(),
    secure: async (_signal, pair) => front?.secure(pair),
    close: async (_signal, graceMs) => {
      await front?.close(graceMs);
      await current?.close();
    },
  };
  const log: (event: LogEvent) => void = answerCalls(main, methods);
}

/** What is there from the start of the thread to its end. */
interface Lasting {
  readonly requests: RequestCounts;
  readonly figures: ThreadFigures;
  readonly rebuilds: RebuildEvents;
}

/** What answers by one configuration. */
class Answering {
  readonly app: FastifyInstance;
  readonly #indexes: ReadonlyMap<string, PublishedIndex>;
  readonly #pulls: Pulls;

  private constructor(app: FastifyInstance, indexes: ReadonlyMap<string, PublishedIndex>, pulls: Pulls) {
    this.app = app;
    this.#indexes = indexes;
    this.#pulls = pulls;
  }

  static async open({ level: _level, indexes: published, pulls: pulling, ...options }: ServeOptions, snapshots: readonly SharedSnapshot[], calls: Calls<MainMethods>, logger: Logger, { requests, figures, rebuilds }: Lasting): Promise<Answering> {
    const indexes = new Map(published.map(({ name, fileName, maxAge }) => [name, new PublishedIndex(name, fileName, maxAge)]));
    const pulls = await openPulls(pulling, requests);
    const app = await createServer({
      ...options,
      logger,
      figures,
      rebuildEvents: rebuilds,
      indexes,
      answer: async (question, signal) => {
        const answer = await calls.call('answer', [question], signal).catch((error: unknown) => {
          signal?.throwIfAborted();
          throw error;
        });
        if (answer === 'busy') throw new TooBusy();
        return answer === 'whole' ? answer : { ...answer, body: Buffer.from(answer.body.buffer, answer.body.byteOffset, answer.body.length) };
      },
      pullSources: pulls.pullSources,
      registryProxy: pulls.registryProxy,
      forward: (request) => calls.call('forward', [request]),
    });
    const answering = new Answering(app, indexes, pulls);
    for (const shared of snapshots) await answering.use(shared);
    return answering;
  }

  /** Serves a snapshot from now on. */
  async use(shared: SharedSnapshot): Promise<void> {
    await this.#indexes.get(shared.footer.index)?.use(await Snapshot.openShared(shared));
  }

  /** @param ended resolves when nobody waits for an answer any more */
  async close(ended?: Promise<void>): Promise<void> {
    await this.app.close();
    await ended;
    await this.#pulls.close();
    for (const { snapshot } of this.#indexes.values()) await snapshot?.close();
  }
}
