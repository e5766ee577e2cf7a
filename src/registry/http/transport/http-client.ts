/** Sends requests to a host, through layers: retries, congestion control, connections. */
import type { RequestOptions } from '../access/access-options.ts';
import { CongestionControl } from './congestion-control.ts';
import { ConnectionPools, type ConnectionPoolsOptions } from './connection-pools.ts';
import { Gate } from './gate.ts';
import type { HttpResponse, Send } from './http-message.ts';
import { holdRequests, withRetries, type RetryOptions } from './retry.ts';

/** The default of `RequestOptions.pauses`, in milliseconds. */
const PAUSES: readonly number[] = [300, 900, 2700];

/** Settings of {@link HttpClient}. */
export interface HttpClientOptions
  extends Omit<ConnectionPoolsOptions, 'concurrency'>, RequestOptions, Pick<RetryOptions, 'patience' | 'askedPause'> {
  /** Answers are streamed to slow clients: `concurrency` then bounds only requests whose answer has not begun. */
  readonly streams?: boolean | undefined;
}

/** Sends requests to one host, and to others that it leads to. The layers above it see no temporary failure. */
export class HttpClient {
  /** Sends one request, again after temporary failures. */
  readonly send: Send;
  readonly #connections: ConnectionPools;
  readonly #gate: Gate;
  readonly #closing = new AbortController();

  constructor(options: HttpClientOptions) {
    const { concurrency, fixedConcurrency, streams = false, pauses = PAUSES, patience, askedPause } = options;
    this.#connections = new ConnectionPools({ ...options, concurrency: streams ? null : concurrency });
    const control = new CongestionControl({ bound: concurrency, fixed: fixedConcurrency });
    this.#gate = new Gate(control);
    this.send = withRetries({
      send: (request) => this.#connections.exchange(request),
      gate: this.#gate,
      control,
      pauses,
      patience,
      askedPause,
      closing: this.#closing.signal,
    });
  }

  /** The number of requests sent so far, retries and token requests included. */
  get requests(): number {
    return this.#connections.requests;
  }

  /**
   * Sends nothing for so many milliseconds, because `answer` was the last that is allowed. Requests wait if that is
   * short, and fail otherwise.
   */
  hold(answer: HttpResponse, milliseconds: number): void {
    holdRequests(this.#gate, answer, milliseconds);
  }

  /** Closes all connections and cancels pauses; pending requests fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#gate.end();
    await this.#connections.close();
  }
}
