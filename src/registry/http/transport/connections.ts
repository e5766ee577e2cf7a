/** The connections to a registry and to the hosts that it sends its clients to. */
import { Agent, type Dispatcher, Pool } from 'undici';
import { RegistryError, withPlace } from '../../registry-error.ts';
import type { AccessOptions } from '../access/access-options.ts';
import { Certificates } from '../access/certificates.ts';
import { PrivateAddresses } from '../access/private-addresses.ts';
import { Proxies } from '../access/proxies.ts';
import { asConnector, createConnect, type Connect } from './connector.ts';
import { Exchange } from './exchange.ts';
import { describeRequest, type HttpRequest, type HttpResponse } from './http-message.ts';
import { ProxyDispatcher } from './proxy-dispatcher.ts';
import type { OnRequest } from './sent-request.ts';

export interface ConnectionsOptions extends AccessOptions {
  /** The registry's. */
  readonly url: string;
  readonly origin: string;
  /** The most connections to one host; null for as many as there are requests. */
  readonly concurrency: number | null;
  /** For one request as a whole, in milliseconds; for one that is streamed, until its body begins, and between the parts of that. */
  readonly timeout: number;
  readonly userAgent: string;
  readonly onRequest?: OnRequest | undefined;
}

/** What leads to a host. */
type Route = Pick<Dispatcher | ProxyDispatcher, 'dispatch'>;

/** One pool of kept-alive connections for each origin. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connect: Connect;
  readonly #pool: Pool;
  /** For all hosts but the registry's. */
  readonly #agent: Agent;
  /** To these the registry may lead. */
  readonly #addresses: PrivateAddresses;
  readonly #proxies: Proxies;
  /** By the URLs of the proxies. */
  readonly #proxied = new Map<string, ProxyDispatcher>();
  /** To the registry, which most requests go to. */
  #route: Route | undefined;
  #requests = 0;
  #closed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const certificates = new Certificates(options);
    this.#connect = createConnect(certificates, options.timeout);
    this.#addresses = new PrivateAddresses({ url: options.url, allowed: options.privateRedirects });
    this.#proxies = new Proxies(options.proxies ?? {});
    const settings: Pool.Options = {
      connect: asConnector(this.#connect),
      connections: options.concurrency,
      // An exchange has a time for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      // One broken connection must cost one request; over HTTP/2 it would cost all that share it.
      allowH2: false,
    };
    this.#pool = new Pool(options.origin, settings);
    this.#agent = new Agent({ ...settings, connect: asConnector(createConnect(certificates, options.timeout, this.#addresses)) });
  }

  /** Every request sent so far: repeated and redirected ones and those for tokens too. */
  get requests(): number {
    return this.#requests;
  }

  /** Sends one request and reads its answer: all of it, or its head if the body is streamed. */
  async exchange(request: HttpRequest): Promise<HttpResponse> {
    if (this.#closed) throw new RegistryError('unavailable', `${describeRequest(request)}: the connections were closed`);
    request.signal?.throwIfAborted();
    const route = this.#routeTo(request.origin);
    if (route instanceof ProxyDispatcher && request.origin !== this.#options.origin) {
      await this.#addresses.check(new URL(request.origin).hostname).catch((error: unknown) => {
        throw withPlace(describeRequest(request), error);
      });
      request.signal?.throwIfAborted();
    }
    const { timeout, userAgent } = this.#options;
    const { method, origin, path, accept, authorization, conditions = {}, form, streamed = false } = request;
    const headers = ['user-agent', userAgent, 'accept-encoding', 'identity'];
    if (accept !== undefined) headers.push('accept', accept);
    if (authorization !== undefined) headers.push('authorization', authorization);
    for (const [name, value] of Object.entries(conditions)) headers.push(name, value);
    if (form !== undefined) headers.push('content-type', 'application/x-www-form-urlencoded');
    return new Promise((resolve, reject) => {
      this.#requests++;
      // undici would end the connection after each HEAD (`reset`), which makes up most of a rescan.
      route.dispatch({ method, origin, path, headers, body: form ?? null, reset: false, ...(streamed && { bodyTimeout: timeout }) }, new Exchange(request, { timeout, onOutcome: this.#tell(request), resolve, reject }));
    });
  }

  /** Tells of the request what becomes of it. */
  #tell({ method, origin, path }: HttpRequest): (outcome: { readonly status: number } | { readonly error: string }) => void {
    const { onRequest, url } = this.#options;
    if (onRequest === undefined) return () => undefined;
    const started = performance.now();
    return (outcome) =>
      onRequest({
        registry: origin === this.#options.origin ? url : undefined,
        method,
        url: origin + path.split('?', 1)[0],
        ...outcome,
        seconds: Math.round(performance.now() - started) / 1000,
      });
  }

  /** Ends all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#pool.destroy(), this.#agent.destroy(), ...[...this.#proxied.values()].map((proxied) => proxied.destroy())]);
  }

  #routeTo(origin: string): Route {
    if (origin !== this.#options.origin) return this.#findRoute(origin);
    this.#route ??= this.#findRoute(origin);
    return this.#route;
  }

  #findRoute(origin: string): Route {
    const proxy = this.#proxies.proxyFor(origin);
    if (proxy === undefined) return origin === this.#options.origin ? this.#pool : this.#agent;
    let proxied = this.#proxied.get(proxy.href);
    if (proxied === undefined) {
      const { concurrency, timeout } = this.#options;
      proxied = new ProxyDispatcher({ proxy, connect: this.#connect, concurrency, timeout });
      this.#proxied.set(proxy.href, proxied);
    }
    return proxied;
  }
}
