/** Calls between threads: methods of one side, called by the other, each with its answer or error; and events back. */
import type { MessagePort, Worker } from 'node:worker_threads';
import { messageOf } from '../message-of.ts';

/** What the called side offers: methods of arguments that can be cloned. The signal is aborted when the caller's is. */
export type Methods = Record<string, (signal: AbortSignal, ...args: never[]) => unknown>;

/** The other side, as either side has it. Both may call over the same. */
export type OtherThread = Worker | MessagePort;

type Parameters<M> = M extends (signal: AbortSignal, ...args: infer A) => unknown ? A : never;
type Answer<M> = M extends (...args: never[]) => infer R ? Unwrapped<Awaited<R>> : never;
type Unwrapped<R> = R extends Moved<infer V> ? V : R;

type Call = { readonly call: number; readonly method: string; readonly args: unknown[] };
type Abort = { readonly abort: number };
type Reply = { readonly reply: number; readonly value: unknown } | Failure;
type Failure = { readonly reply: number; readonly error: unknown; /** What cloning loses of an error. */ readonly own: { readonly name?: string; readonly code?: unknown; readonly statusCode?: unknown } };
type Event<E> = { readonly event: E };
type Message<E> = Call | Abort | Reply | Event<E>;

/** What a method answers with, if its buffers are to go over to the caller, rather than copies of them. */
export class Moved<V> {
  readonly value: V;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: V, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** The thread that was called has ended, and its answer will never come. */
export class ThreadEnded extends Error {
  override readonly name = 'ThreadEnded';
}

/** Passes over a {@link ThreadEnded}, where whoever starts the next thread sees to it. */
export function unlessEnded(error: unknown): void {
  if (!(error instanceof ThreadEnded)) throw error;
}

/** Answers the calls of `thread` with `methods`; returns how to send events to the caller. */
export function answerCalls(thread: OtherThread, methods: Methods): (event: unknown) => void {
  const running = new Map<number, AbortController>();
  const answer = async ({ call, method, args }: Call): Promise<void> => {
    const abort = new AbortController();
    running.set(call, abort);
    try {
      const run = methods[method];
      if (run === undefined) throw new RangeError(`no method ${method}`);
      const answered = await run(abort.signal, ...(args as never[]));
      if (answered instanceof Moved) post(thread, { reply: call, value: answered.value }, answered.buffers);
      else post(thread, { reply: call, value: answered });
    } catch (error) {
      postError(thread, call, error);
    } finally {
      running.delete(call);
    }
  };
  thread.on('message', (message: Message<never>) => {
    if ('abort' in message) running.get(message.abort)?.abort();
    else if ('method' in message) void answer(message);
  });
  return (event) => post(thread, { event });
}

function post(thread: OtherThread, message: Message<unknown>, moved: readonly ArrayBuffer[] = []): void {
  thread.postMessage(message, moved);
}

/** An error may hold what cannot be cloned. */
function postError(thread: OtherThread, call: number, error: unknown): void {
  const own = error instanceof Error ? { name: error.name, ...('code' in error && { code: error.code }), ...('statusCode' in error && { statusCode: error.statusCode }) } : {};
  try {
    post(thread, { reply: call, error, own });
  } catch {
    post(thread, { reply: call, error: new Error(messageOf(error)), own });
  }
}

/** An error as it was before it was cloned. */
function withOwn(error: unknown, own: Failure['own']): unknown {
  if (!(error instanceof Error)) return error;
  for (const [key, value] of Object.entries(own)) if (Reflect.get(error, key) !== value) Object.defineProperty(error, key, { value });
  return error;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Calls the methods that another thread answers with {@link answerCalls}. */
export class Calls<M extends Methods, E = never> {
  readonly #thread: OtherThread;
  readonly #pending = new Map<number, Pending>();
  #last = 0;
  #ended: ThreadEnded | undefined;
  #terminated = false;

  /** @param onEvent told of each event; @param onExit told when the thread has ended without having been asked to */
  constructor(thread: OtherThread, { onEvent, onExit }: { onEvent?: (event: E) => void; onExit?: (error: Error) => void } = {}) {
    this.#thread = thread;
    thread.on('message', (message: Message<E>) => {
      if ('event' in message) onEvent?.(message.event);
      else if ('reply' in message) this.#settle(message);
    });
    // A thread that calls the one that has started it ends with that.
    if (!('threadId' in thread)) return;
    thread.on('error', (error: unknown) => this.#end(new ThreadEnded(`the thread ended: ${messageOf(error)}`, { cause: error })));
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

  /** Ends the thread; calls under way are rejected. */
  async terminate(): Promise<void> {
    this.#terminated = true;
    this.#end(new ThreadEnded('the thread was ended'));
    if ('threadId' in this.#thread) await this.#thread.terminate();
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
