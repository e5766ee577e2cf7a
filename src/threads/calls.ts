/** Calls between threads: methods of one side, called by the other, each with its answer or error; and events back. */
import type { MessagePort, Worker } from 'node:worker_threads';

/** What the called side offers: methods of arguments that can be cloned. The signal is aborted when the caller's is. */
export type Methods = Record<string, (signal: AbortSignal, ...args: never[]) => unknown>;

type Parameters<M> = M extends (signal: AbortSignal, ...args: infer A) => unknown ? A : never;
type Answer<M> = M extends (...args: never[]) => infer R ? Awaited<R> : never;

type Request = { readonly call: number; readonly method: string; readonly args: unknown[] } | { readonly abort: number };
type Reply<E> = { readonly call: number; readonly value: unknown } | { readonly call: number; readonly error: unknown } | { readonly event: E };

/** Answers calls that come in at `port` with `methods`; returns how to send events to the caller. */
export function answerCalls(port: MessagePort, methods: Methods): (event: unknown) => void {
  const running = new Map<number, AbortController>();
  const answer = async (call: number, method: string, args: unknown[]): Promise<void> => {
    const abort = new AbortController();
    running.set(call, abort);
    try {
      const run = methods[method];
      if (run === undefined) throw new RangeError(`no method ${method}`);
      port.postMessage({ call, value: await run(abort.signal, ...(args as never[])) } satisfies Reply<unknown>);
    } catch (error) {
      port.postMessage({ call, error } satisfies Reply<unknown>);
    } finally {
      running.delete(call);
    }
  };
  port.on('message', (request: Request) => {
    if ('abort' in request) running.get(request.abort)?.abort();
    else void answer(request.call, request.method, request.args);
  });
  return (event) => {
    port.postMessage({ event } satisfies Reply<unknown>);
  };
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
  #ended: Error | undefined;
  #terminated = false;

  /** @param onEvent told of each event; @param onExit told when the thread ends without having been asked to */
  constructor(thread: Worker, { onEvent, onExit }: { onEvent?: (event: E) => void; onExit?: (error: Error) => void } = {}) {
    this.#thread = thread;
    thread.on('message', (reply: Reply<E>) => {
      if ('event' in reply) onEvent?.(reply.event);
      else this.#settle(reply);
    });
    thread.on('error', (error: Error) => this.#end(error));
    thread.on('exit', (code) => {
      const ended = this.#end(new Error(`the thread ended with status ${code}`));
      if (!this.#terminated) onExit?.(ended);
    });
  }

  /** Calls made that were not answered yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Calls `method`; rejects with its error, or when the thread ends. */
  call<K extends keyof M & string>(method: K, args: Parameters<M[K]>, signal?: AbortSignal): Promise<Answer<M[K]>> {
    if (this.#ended) return Promise.reject(this.#ended);
    const call = ++this.#last;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
    });
    this.#thread.postMessage({ call, method, args } satisfies Request);
    const abort = (): void => this.#thread.postMessage({ abort: call } satisfies Request);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    return answer.finally(() => signal?.removeEventListener('abort', abort)) as Promise<Answer<M[K]>>;
  }

  /** Ends the thread; calls under way are rejected. */
  async terminate(): Promise<void> {
    this.#terminated = true;
    this.#end(new Error('the thread was ended'));
    await this.#thread.terminate();
  }

  #settle(reply: Exclude<Reply<E>, { event: E }>): void {
    const pending = this.#pending.get(reply.call);
    this.#pending.delete(reply.call);
    if ('error' in reply) pending?.reject(reply.error);
    else pending?.resolve(reply.value);
  }

  #end(error: Error): Error {
    const reason = (this.#ended ??= error);
    for (const pending of this.#pending.values()) pending.reject(reason);
    this.#pending.clear();
    return reason;
  }
}
