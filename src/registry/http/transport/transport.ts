/** Sends requests to a registry through layers: redirects, authentication, retries, connections. */
import { registryId } from '../../registry-id.ts';
import type { AccessOptions, RequestOptions } from '../access/access-options.ts';
import { Keychain } from '../access/keychain.ts';
import { Authenticator, type Subject } from './authenticator.ts';
import { CongestionControl } from './congestion-control.ts';
import { ConnectionPools } from './connection-pools.ts';
import { Gate } from './gate.ts';
import type { HttpRequest, HttpResponse, Send } from './http-message.ts';
import { followRedirects } from './redirects.ts';
import { withRetries } from './retry.ts';
import type { OnRequest } from './sent-request.ts';

/** The default of `RequestOptions.pauses`, in milliseconds. */
const PAUSES: readonly number[] = [300, 900, 2700];

/** Settings of the transport to one registry. */
export interface TransportOptions extends AccessOptions, RequestOptions {
  /** The registry's http or https URL, without credentials; it may have a path. */
  readonly url: string;
  /** Answers are streamed to slow clients: `concurrency` then bounds only requests whose answer has not begun. */
  readonly streams?: boolean | undefined;
  /** How long a request is retried after answers 429, in milliseconds; two minutes if absent. */
  readonly patience?: number | undefined;
  /** Called once for each request. */
  readonly onRequest?: OnRequest | undefined;
}

/** A request to the registry, before authentication. */
export interface TransportRequest extends Pick<HttpRequest, 'accept' | 'conditions' | 'limit' | 'streamed' | 'signal'> {
  /** `GET` if absent. */
  readonly method?: 'GET' | 'HEAD';
  /** The path at the registry's origin, with the query. */
  readonly path: string;
  readonly subject: Subject;
  /** Returns a redirect to another origin as the answer instead of following it. */
  readonly passRedirects?: boolean | undefined;
}

/** Sends requests to one registry. The layers above it see no redirect, challenge or temporary failure. */
export class Transport {
  /** The registry's URL, normalised, without a trailing slash. */
  readonly url: string;
  readonly origin: string;
  /** The path below which the Distribution API is: `/v2`, or a prefix and `/v2`. */
  readonly base: string;
  readonly #connections: ConnectionPools;
  readonly #gate: Gate;
  readonly #authenticator: Authenticator;
  readonly #closing = new AbortController();

  /** @throws TypeError if `url` is not valid for a registry. */
  constructor(options: TransportOptions) {
    const { concurrency, fixedConcurrency, streams = false, pauses = PAUSES, patience } = options;
    this.url = registryId(options.url, '/');
    const { origin, pathname } = new URL(this.url);
    this.origin = origin;
    this.base = `${pathname.replace(/\/$/, '')}/v2`;
    this.#connections = new ConnectionPools({
      ...options,
      url: this.url,
      origin,
      concurrency: streams ? null : concurrency,
    });
    const control = new CongestionControl({ bound: concurrency, fixed: fixedConcurrency });
    this.#gate = new Gate(control);
    const send = withRetries({
      send: (request) => this.#connections.exchange(request),
      gate: this.#gate,
      control,
      pauses,
      patience,
      closing: this.#closing.signal,
    });
    this.#authenticator = new Authenticator({
      url: this.url,
      base: this.base,
      keychain: new Keychain({ ...options, url: this.url }),
      send,
    });
  }

  /** The number of requests sent so far, retries and token requests included. */
  get requests(): number {
    return this.#connections.requests;
  }

  /**
   * Sends a request and reads its answer, completely unless the body is streamed. Any status is an answer, not an
   * error.
   * @throws RegistryError `unavailable`, `denied`, `too-large` or `malformed`, or the signal's reason.
   */
  request({ method = 'GET', path, subject, passRedirects = false, ...rest }: TransportRequest): Promise<HttpResponse> {
    const send: Send = (request) => this.#authenticator.send(request, subject);
    return followRedirects(
      { method, origin: this.origin, path, ...rest },
      send,
      passRedirects ? this.origin : undefined,
    );
  }

  /** Closes all connections and cancels pauses; pending requests fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#gate.end();
    await this.#connections.close();
  }
}
