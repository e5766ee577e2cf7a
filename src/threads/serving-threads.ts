/** Further threads that serve on the port of the first, seen from that. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Snapshot } from '../indexing/snapshot/snapshot.ts';
import type { Answer, AnswerQuery, Question } from '../server/answers.ts';
import type { RebuildEvents } from '../server/routes/rebuild-events.ts';
import type { Forward, ForwardedRequest } from '../server/routes/forward.ts';
import { answerForwarded } from '../server/routes/forward.ts';
import { TooBusy } from '../server/server-error.ts';
import type { KeyPair } from '../server/key-pair.ts';
import type { CommonServerOptions } from '../server/server.ts';
import type { Counts } from '../server/thread-figures.ts';
import type { PullOptions } from '../pulls.ts';
import { answerCalls, Calls, unlessEnded } from './calls.ts';
import type { LogEvent, ServeMethods } from './serve-thread.ts';
import { liveRebuilds, type RebuildNews, relayRebuilds } from './rebuild-relay.ts';
import { startThread } from './start-thread.ts';

/** Between the end of a thread that was not asked to end and the start of another, in milliseconds. */
const PAUSE = 1_000;

/** What a thread serves, in a form that can be cloned. */
export interface ServeOptions extends Omit<CommonServerOptions, 'logger' | 'indexes' | 'answer' | 'pullSources' | 'registryProxy' | 'rebuildEvents'> {
  /** Of the log. */
  readonly level: string;
  readonly indexes: readonly { readonly name: string; readonly fileName: string; readonly maxAge: number }[];
  /** What `/v2/` serves. */
  readonly pulls: PullOptions;
}

/** What the threads ask the first one for. */
export interface MainMethods {
  answer(signal: AbortSignal, question: Question): Promise<Answer | 'whole' | 'busy'>;
  forward(signal: AbortSignal, request: ForwardedRequest): ReturnType<Forward>;
  [method: string]: (signal: AbortSignal, ...args: never[]) => unknown;
}

export interface ServingThreadsOptions {
  /** How many; with 0, nothing is started. */
  readonly count: number;
  readonly logger: Logger;
}

/** Where the threads listen. The first one does so, too, with `reusePort`. */
export interface Listening {
  readonly host: string;
  readonly port: number;
  readonly tls?: KeyPair | undefined;
  readonly patience?: number | undefined;
}

/** What the threads serve. */
export interface Serving {
  readonly serve: ServeOptions;
  /** What answers in the first thread. */
  readonly app: FastifyInstance;
  readonly answer: AnswerQuery;
  readonly snapshots: readonly Snapshot[];
  readonly rebuilds: RebuildEvents;
}

type ServingThread = Calls<ServeMethods, LogEvent>;

/** Serves the same snapshots in several threads; one that dies is started again. */
export class ServingThreads {
  readonly #options: ServingThreadsOptions;
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #threads = new Set<ServingThread>();
  /** What tells each thread of rebuilds. */
  readonly #tell = new Map<ServingThread, (news: RebuildNews) => void>();
  #endRelay: () => void = () => undefined;
  readonly #restarts = new Set<NodeJS.Timeout>();
  #listening: Listening | undefined;
  #serving: Serving | undefined;
  #closing = false;

  constructor(options: ServingThreadsOptions) {
    this.#options = options;
  }

  /** Resolves when all threads serve `snapshot`. */
  async use(snapshot: Snapshot): Promise<void> {
    this.#snapshots.set(snapshot.footer.index, snapshot);
    await Promise.all(Array.from(this.#threads, (thread) => thread.call('use', [snapshot.share()]).catch(unlessEnded)));
  }

  /** Starts the threads; resolves when they listen. */
  async listen(listening: Listening, serving: Serving): Promise<void> {
    this.#listening = listening;
    this.#keep(serving);
    await Promise.all(Array.from({ length: this.#options.count }, () => this.#start()));
  }

  /** Has all threads answer by `serving` from now on, on the connections that there are as well. */
  async answer(serving: Serving): Promise<void> {
    this.#keep(serving);
    await Promise.all(Array.from(this.#threads, (thread) => this.#prepare(thread).catch(unlessEnded)));
  }

  /** What each of them has counted; of one that has ended, nothing is known. */
  async counts(): Promise<readonly Counts[]> {
    const counts = await Promise.all(Array.from(this.#threads, (thread) => thread.call('counts', []).catch(unlessEnded)));
    return counts.filter((one) => one !== undefined);
  }

  /** See `Front.secure`; `pair` was used before. */
  async secure(pair: KeyPair): Promise<void> {
    if (this.#listening) this.#listening = { ...this.#listening, tls: pair };
    await Promise.all(Array.from(this.#threads, (thread) => thread.call('secure', [pair]).catch(unlessEnded)));
  }

  /** Lets requests under way end within `graceMs` milliseconds, and ends the threads. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#endRelay();
    for (const restart of this.#restarts) clearTimeout(restart);
    await Promise.all(
      Array.from(this.#threads, async (thread) => {
        await thread.call('close', [graceMs]).catch(unlessEnded);
        await thread.terminate();
      }),
    );
  }

  #keep(serving: Serving): void {
    this.#endRelay();
    this.#endRelay = relayRebuilds(serving.rebuilds, (news) => {
      for (const tell of this.#tell.values()) tell(news);
    });
    this.#serving = serving;
    this.#snapshots.clear();
    for (const snapshot of serving.snapshots) this.#snapshots.set(snapshot.footer.index, snapshot);
  }

  async #prepare(thread: ServingThread): Promise<void> {
    if (this.#serving === undefined) throw new TypeError('there is nothing to serve');
    await thread.call('answer', [this.#serving.serve, Array.from(this.#snapshots.values(), (snapshot) => snapshot.share()), liveRebuilds(this.#serving.rebuilds)]);
  }

  async #start(): Promise<void> {
    const [listening, serving] = [this.#listening, this.#serving];
    if (listening === undefined || serving === undefined) throw new TypeError('there is nothing to serve');
    const worker = startThread('serve-thread', { level: serving.serve.level });
    const tell = answerCalls(worker, this.#methods(serving));
    let listens = false;
    const thread: ServingThread = new Calls(worker, {
      onEvent: ({ line }) => this.#log(line),
      onExit: (error) => {
        this.#forget(thread);
        if (listens) this.#restart(error);
      },
    });
    this.#threads.add(thread);
    this.#tell.set(thread, tell);
    try {
      await this.#prepare(thread);
      await thread.call('listen', [this.#listening ?? listening]);
      listens = true;
    } catch (error) {
      this.#forget(thread);
      await thread.terminate();
      throw error;
    }
  }

  #forget(thread: ServingThread): void {
    this.#threads.delete(thread);
    this.#tell.delete(thread);
  }

  #restart(cause: unknown): void {
    if (this.#closing) return;
    this.#options.logger.error({ err: cause }, 'a thread that serves has ended; another is started');
    const restart = setTimeout(() => {
      this.#restarts.delete(restart);
      this.#start().catch((error: unknown) => this.#restart(error));
    }, PAUSE);
    this.#restarts.add(restart);
  }

  /** @param first what is served to begin with */
  #methods(first: Serving): MainMethods {
    const serving = (): Serving => this.#serving ?? first;
    return {
      answer: async (signal, question) => {
        try {
          return await serving().answer(question, signal);
        } catch (error) {
          if (error instanceof TooBusy) return 'busy';
          throw error;
        }
      },
      forward: (_signal, request) => answerForwarded(serving().app, request),
    };
  }

  /** Writes a line that a thread has logged. */
  #log(line: string): void {
    const { level, msg, ...fields } = JSON.parse(line) as { level: number; msg: string };
    const { logger } = this.#options;
    const label = logger.levels.labels[level];
    if (label !== undefined && label in logger) (logger[label as 'info'] as (fields: object, msg: string) => void)(fields, msg);
  }
}
