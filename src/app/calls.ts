/** Remote calls between threads: method calls with their answers or errors, and events back to the caller. */
import type { MessagePort, Worker } from 'node:worker_threads';
import { messageOf } from '../system/message-of.ts';

/**
 * Methods that another thread may call; their arguments must be cloneable. The signal is aborted when the caller's is.
 */
export type Methods = Record<string, (signal: AbortSignal, ...args: never[]) => unknown>;

type Parameters<M> = M extends (signal: AbortSignal, ...args: infer A) => unknown ? A : never;
type Answer<M> = M extends (...args: never[]) => infer R ? Awaited<R> : never;

type Call = { readonly call: number; readonly method: string; readonly args: unknown[] };
type Abort = { readonly abort: number };
type Reply = { readonly reply: number; readonly value: unknown } | Failure;
type Failure = {
  readonly reply: number;
  readonly error: unknown;
  /** Properties of an error that cloning loses. */ readonly own: {
    readonly name?: string;
    readonly code?: unknown;
    readonly statusCode?: unknown;
  };
};
type Event<E> = { readonly event: E };

/** The called thread has ended before it answered. */
export class ThreadEnded extends Error {
  override readonly name = 'ThreadEnded';
}

/** Ignores a {@link ThreadEnded} and throws any other error; the next call starts another thread. */
export function unlessEnded(error: unknown): void {
  if (!(error instanceof ThreadEnded)) throw error;
}

/** Answers calls from `port` with `methods`, and returns a function that sends events to the caller. */
export function answerCalls(port: MessagePort, methods: Methods): (event: unknown) => void {
  const running = new Map<number, AbortController>();
  const answer = async ({ call, method, args }: Call): Promise<void> => {
    const abort = new AbortController();
    running.set(call, abort);
    try {
      const run = methods[method];
      if (run === undefined) throw new RangeError(`no method ${method}`);
      post(port, { reply: call, value: await run(abort.signal, ...(args as never[])) });
    } catch (error) {
      postError(port, call, error);
    } finally {
      running.delete(call);
    }
  };
  port.on('message', (message: Call | Abort) => {
    if ('abort' in message) running.get(message.abort)?.abort();
    else void answer(message);
  });
  return (event) => post(port, { event });
}

function post(thread: Worker | MessagePort, message: Call | Abort | Reply | Event<unknown>): void {
  thread.postMessage(message);
}

/** Posts an error, reduced to its message if it cannot be cloned. */
function postError(port: MessagePort, call: number, error: unknown): void {
  const own =
    error instanceof Error
      ? {
          name: error.name,
          ...('code' in error && { code: error.code }),
          ...('statusCode' in error && { statusCode: error.statusCode }),
        }
      : {};
  try {
    post(port, { reply: call, error, own });
  } catch {
    post(port, { reply: call, error: new Error(messageOf(error)), own });
  }
}

/** Restores the properties that an error lost when it was cloned. */
function withOwn(error: unknown, own: Failure['own']): unknown {
  if (!(error instanceof Error)) return error;
  for (const [key, value] of Object.entries(own))
    if (Reflect.get(error, key) !== value) Object.defineProperty(error, key, { value });
  return error;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Calls the methods that another thread answers with {@link answerCalls}. */
export class Calls<M extends Methods, E = never> {
  readonly #thread: Worker;
  readonly #pending = new Map<number, Pending>();
  #last = 0;
  #ended: ThreadEnded | undefined;
  #terminated = false;

  /**
   * @param onEvent called with each event
   * @param onExit called when the thread has ended without {@link terminate}
   */
  constructor(
    thread: Worker,
    { onEvent, onExit }: { onEvent?: (event: E) => void; onExit?: (error: Error) => void } = {},
  ) {
    this.#thread = thread;
    thread.on('message', (message: Reply | Event<E>) => {
      if ('event' in message) onEvent?.(message.event);
      else this.#settle(message);
    });
    thread.on('error', (error: unknown) =>
      this.#end(new ThreadEnded(`the thread ended: ${messageOf(error)}`, { cause: error })),
    );
    thread.on('exit', (code: number) => {
      const ended = this.#end(new ThreadEnded(`the thread ended with status ${code}`));
      if (!this.#terminated) onExit?.(ended);
    });
  }

  /** Calls `method`; rejects with its error, or with {@link ThreadEnded}. */
  call<K extends keyof M & string>(method: K, args: Parameters<M[K]>, signal?: AbortSignal): Promise<Answer<M[K]>> {
    if (this.#ended) return Promise.reject(this.#ended);
    const call = ++this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(call, { resolve, reject });
    post(this.#thread, { call, method, args });
    const abort = (): void => post(this.#thread, { abort: call });
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    return promise.finally(() => signal?.removeEventListener('abort', abort)) as Promise<Answer<M[K]>>;
  }

  /** Ends the thread and rejects pending calls. */
  async terminate(): Promise<void> {
    this.#terminated = true;
    this.#end(new ThreadEnded('the thread was ended'));
    await this.#thread.terminate();
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.reply);
    this.#pending.delete(reply.reply);
    if ('error' in reply) pending?.reject(withOwn(reply.error, reply.own));
    else pending?.resolve(reply.value);
  }

  #end(error: ThreadEnded): ThreadEnded {
    const reason = (this.#ended ??= error);
    for (const pending of this.#pending.values()) pending.reject(reason);
    this.#pending.clear();
    return reason;
  }
}
