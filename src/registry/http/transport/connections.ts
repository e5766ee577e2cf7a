/** The connections to a registry and to the hosts that it sends its clients to. */
import { Agent } from 'undici';
import { RegistryError } from '../../registry-error.ts';
import { Exchange } from './exchange.ts';
import { describeRequest, type HttpRequest, type HttpResponse } from './http-message.ts';

export interface ConnectionsOptions {
  /** The most connections to one host. */
  readonly concurrency: number;
  /** For one request as a whole, in milliseconds. */
  readonly timeout: number;
  readonly userAgent: string;
}

/** One pool of kept-alive connections for each origin. */
export class Connections {
  readonly #agent: Agent;
  readonly #timeout: number;
  readonly #userAgent: string;
  #requests = 0;
  #closed = false;

  constructor({ concurrency, timeout, userAgent }: ConnectionsOptions) {
    this.#timeout = timeout;
    this.#userAgent = userAgent;
    this.#agent = new Agent({
      connections: concurrency,
      connectTimeout: timeout,
      // An exchange has a time for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      // One broken connection must cost one request; over HTTP/2 it would cost all that share it.
      allowH2: false,
    });
  }

  /** Every request sent so far: repeated and redirected ones and those for tokens too. */
  get requests(): number {
    return this.#requests;
  }


  /** Sends one request and reads its whole answer. */
  exchange(request: HttpRequest): Promise<HttpResponse> {
    if (this.#closed) return Promise.reject(new RegistryError('unavailable', `${describeRequest(request)}: the connections were closed`));
    if (request.signal?.aborted === true) return Promise.reject(request.signal.reason);
    this.#requests++;
    const { method, origin, path, accept, authorization } = request;
    const headers = ['user-agent', this.#userAgent, 'accept-encoding', 'identity'];
    if (accept !== undefined) headers.push('accept', accept);
    if (authorization !== undefined) headers.push('authorization', authorization);
    return new Promise((resolve, reject) => {
      // undici would end the connection after each HEAD (`reset`), which makes up most of a rescan.
      this.#agent.dispatch({ method, origin, path, headers, reset: false }, new Exchange(request, this.#timeout, resolve, reject));
    });
  }

  /** Ends all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#agent.destroy();
  }
}
