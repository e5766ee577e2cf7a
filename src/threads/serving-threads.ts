/** Further threads that serve on the port of the first, seen from that. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Snapshot } from '../indexing/snapshot/snapshot.ts';
import type { Answer, AnswerQuery, Question } from '../server/answers.ts';
import { Answers } from '../server/answers.ts';
import type { Forward, ForwardedRequest } from '../server/routes/forward.ts';
import { answerForwarded } from '../server/routes/forward.ts';
import { TooBusy } from '../server/server-error.ts';
import type { CommonServerOptions } from '../server/server.ts';
import type { PullOptions } from '../pulls.ts';
import { answerCalls, Calls, unlessEnded } from './calls.ts';
import type { LogEvent, ServeMethods } from './serve-thread.ts';
import { startThread } from './start-thread.ts';

/** Between the end of a thread that was not asked to end and the start of another, in milliseconds. */
const PAUSE = 1_000;

/** What a thread serves, in a form that can be cloned. */
export interface ServeOptions extends Omit<CommonServerOptions, 'logger' | 'indexes' | 'answer' | 'pullSources' | 'registryProxy'> {
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
  readonly answer: AnswerQuery;
  readonly logger: Logger;
}

/** Where the threads serve, and what. */
export interface Serving {
  readonly host: string;
  readonly port: number;
  readonly serve: ServeOptions;
  /** That of the first thread; it listens there with `reusePort`. */
  readonly server: FastifyInstance;
}

type ServingThread = Calls<ServeMethods, LogEvent>;

/** Serves the same snapshots in several threads; one that dies is started again. */
export class ServingThreads {
  readonly #options: ServingThreadsOptions;
  /** For the first thread as well, so that what one has asked for is there for all. */
  readonly answer: AnswerQuery;
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #threads = new Set<ServingThread>();
  readonly #restarts = new Set<NodeJS.Timeout>();
  #closing = false;

  constructor(options: ServingThreadsOptions) {
    this.#options = options;
    this.answer = options.count === 0 ? options.answer : new Answers({ answer: options.answer }).answer;
  }

  /** Resolves when all threads serve `snapshot`. */
  async use(snapshot: Snapshot): Promise<void> {
    this.#snapshots.set(snapshot.footer.index, snapshot);
    await Promise.all(Array.from(this.#threads, (thread) => thread.call('use', [snapshot.share()]).catch(unlessEnded)));
  }

  /** Starts the threads; resolves when they listen. */
  async listen(serving: Serving): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.count }, () => this.#start(serving)));
  }

  /** Lets requests under way end within `graceMs` milliseconds, and ends the threads. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const restart of this.#restarts) clearTimeout(restart);
    await Promise.all(
      Array.from(this.#threads, async (thread) => {
        await thread.call('close', [graceMs]).catch(unlessEnded);
        await thread.terminate();
      }),
    );
  }

  async #start(serving: Serving): Promise<void> {
    const worker = startThread('serve-thread', serving.serve);
    answerCalls(worker, this.#methods(serving.server));
    let listening = false;
    const thread: ServingThread = new Calls(worker, {
      onEvent: ({ line }) => this.#log(line),
      onExit: (error) => {
        this.#threads.delete(thread);
        if (listening) this.#restart(serving, error);
      },
    });
    this.#threads.add(thread);
    try {
      await Promise.all(Array.from(this.#snapshots.values(), (snapshot) => thread.call('use', [snapshot.share()])));
      await thread.call('listen', [serving.host, serving.port]);
      listening = true;
    } catch (error) {
      this.#threads.delete(thread);
      await thread.terminate();
      throw error;
    }
  }

  #restart(serving: Serving, cause: unknown): void {
    if (this.#closing) return;
    this.#options.logger.error({ err: cause }, 'a thread that serves has ended; another is started');
    const restart = setTimeout(() => {
      this.#restarts.delete(restart);
      this.#start(serving).catch((error: unknown) => this.#restart(serving, error));
    }, PAUSE);
    this.#restarts.add(restart);
  }

  #methods(server: FastifyInstance): MainMethods {
    return {
      answer: async (_signal, question) => {
        try {
          return await this.answer(question);
        } catch (error) {
          if (error instanceof TooBusy) return 'busy';
          throw error;
        }
      },
      forward: (_signal, request) => answerForwarded(server, request),
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
