/** How requests reach a registry: redirects over authentication over repetition over connections. */
import { registryId } from '../../registry-id.ts';
import type { AccessOptions } from '../access/access-options.ts';
import { Logins } from '../access/logins.ts';
import { Authenticator, type Subject } from './authenticator.ts';
import { CongestionControl } from './congestion-control.ts';
import { Connections } from './connections.ts';
import { Gate } from './gate.ts';
import type { HttpRequest, HttpResponse, Send } from './http-message.ts';
import { followRedirects } from './redirects.ts';
import { retrying } from './retry.ts';
import type { OnRequest } from './sent-request.ts';

/** In milliseconds; a request is tried once more often than there are pauses. */
const PAUSES: readonly number[] = [300, 900, 2700];

export interface TransportOptions extends AccessOptions {
  /** With `http` or `https`, perhaps a path, and without credentials. */
  readonly url: string;
  /** Requests at once, at most; how many there are is found. */
  readonly concurrency: number;
  /** There are always as many at once as may be: to compare with. */
  readonly fixedConcurrency?: boolean | undefined;
  /** For one request as a whole, in milliseconds. */
  readonly timeout: number;
  /** Answers are streamed to clients that may be slow: how many of these are under way at once is not bounded, only how many wait for one. */
  readonly streams?: boolean | undefined;
  /** Says to the registry who asks; `regindexer` if absent. */
  readonly userAgent?: string | undefined;
  /** The longest pauses before the second and each further attempt, in milliseconds. */
  readonly pauses?: readonly number[] | undefined;
  /** How long a request that is answered 429 is repeated, in milliseconds. */
  readonly patience?: number | undefined;
  readonly onRequest?: OnRequest | undefined;
}

export interface TransportRequest extends Pick<HttpRequest, 'accept' | 'conditions' | 'limit' | 'streamed' | 'signal'> {
  /** `GET` if absent. */
  readonly method?: 'GET' | 'HEAD';
  /** At the registry's origin, with the query. */
  readonly path: string;
  readonly subject: Subject;
  /** A redirect to another origin is an answer, rather than followed. */
  readonly passRedirects?: boolean | undefined;
}

/** Sends requests to one registry. No layer above it sees a redirect, a challenge or a fault that passed. */
export class Transport {
  /** The registry's URL, normalised, without a slash at its end. */
  readonly url: string;
  readonly origin: string;
  /** The path below which the Distribution API is: `/v2`, or a prefix and `/v2`. */
  readonly base: string;
  readonly #connections: Connections;
  readonly #gate: Gate;
  readonly #authenticator: Authenticator;
  readonly #closing = new AbortController();

  /** @throws TypeError if `url` is none of a registry. */
  constructor({ url: text, concurrency, fixedConcurrency, timeout, streams = false, userAgent = 'regindexer', pauses = PAUSES, patience, onRequest, ...access }: TransportOptions) {
    this.url = registryId(text, '/');
    const { origin, pathname } = new URL(this.url);
    this.origin = origin;
    this.base = `${pathname.replace(/\/$/, '')}/v2`;
    this.#connections = new Connections({ ...access, url: this.url, origin, concurrency: streams ? null : concurrency, timeout, userAgent, onRequest });
    const control = new CongestionControl({ bound: concurrency, fixed: fixedConcurrency });
    this.#gate = new Gate(control);
    const send = retrying({
      send: (request) => this.#connections.exchange(request),
      gate: this.#gate,
      control,
      pauses,
      patience,
      closing: this.#closing.signal,
    });
    this.#authenticator = new Authenticator({ url: this.url, base: this.base, logins: new Logins({ ...access, url: this.url }), send });
  }

  /** Requests sent so far, of every kind. */
  get requests(): number {
    return this.#connections.requests;
  }

  /**
   * Sends a request and reads its answer, whole unless its body is streamed; every status is an answer.
   * @throws RegistryError `unavailable`, `denied`, `too-large` or `malformed`, or the signal's reason.
   */
  request({ method = 'GET', path, subject, passRedirects = false, ...rest }: TransportRequest): Promise<HttpResponse> {
    const send: Send = (request) => this.#authenticator.send(request, subject);
    return followRedirects({ method, origin: this.origin, path, ...rest }, send, passRedirects ? this.origin : undefined);
  }

  /** Ends all connections and waits; requests under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#gate.end();
    await this.#connections.close();
  }
}
