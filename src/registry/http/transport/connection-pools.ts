/** The connections to a registry, or to an API beside it, and to the hosts that these lead to. */
import { Agent, type Dispatcher, Pool } from 'undici';
import { RegistryError, withLocation } from '../../registry-error.ts';
import type { AccessOptions, RequestOptions } from '../access/access-options.ts';
import { Certificates } from '../access/certificates.ts';
import { PrivateAddresses } from '../access/private-addresses.ts';
import { Proxies } from '../access/proxies.ts';
import { asConnector, createConnect, type Connect } from './connector.ts';
import { Exchange } from './exchange.ts';
import { describeRequest, type HttpRequest, type HttpResponse } from './http-message.ts';
import { ProxyDispatcher } from './proxy-dispatcher.ts';
import type { OnRequest } from './sent-request.ts';

/** Settings of {@link ConnectionPools}. */
export interface ConnectionPoolsOptions extends AccessOptions, Pick<RequestOptions, 'timeout' | 'userAgent'> {
  /** The URL of the registry, for which requests are counted. */
  readonly url: string;
  /** The origin that is asked: that of `url`, or of an API beside the registry. */
  readonly origin: string;
  /** The most connections to one host; null for no limit. */
  readonly concurrency: number | null;
  /** Called once for each request. */
  readonly onRequest?: OnRequest | undefined;
}

/** A way to send requests to a host: directly or through a proxy. */
type Route = Pick<Dispatcher | ProxyDispatcher, 'dispatch'>;

/** Pools of kept-alive connections, one for each origin. */
export class ConnectionPools {
  readonly #options: ConnectionPoolsOptions;
  readonly #connect: Connect;
  readonly #pool: Pool;
  /** Connections to hosts other than `origin`. */
  readonly #agent: Agent;
  /** Checks the hosts that the registry names. */
  readonly #addresses: PrivateAddresses;
  readonly #proxies: Proxies;
  /** Dispatchers by the URL of their proxy. */
  readonly #proxied = new Map<string, ProxyDispatcher>();
  /** The route to `origin`, kept because most requests take it. */
  #route: Route | undefined;
  #requests = 0;
  #closed = false;

  constructor(options: ConnectionPoolsOptions) {
    this.#options = options;
    const certificates = new Certificates({ ...options, origin: new URL(options.url).origin });
    this.#connect = createConnect(certificates, options.timeout);
    this.#addresses = new PrivateAddresses({ url: options.url, allowed: options.privateRedirects });
    this.#proxies = new Proxies(options.proxies ?? {});
    const settings: Pool.Options = {
      connect: asConnector(this.#connect),
      connections: options.concurrency,
      // Exchange has a timeout of its own for the whole request.
      headersTimeout: 0,
      bodyTimeout: 0,
      // A broken HTTP/2 connection would fail all requests that share it.
      allowH2: false,
    };
    this.#pool = new Pool(options.origin, settings);
    this.#agent = new Agent({
      ...settings,
      connect: asConnector(createConnect(certificates, options.timeout, this.#addresses)),
    });
  }

  /** The number of requests sent so far; retries, redirects and token requests included. */
  get requests(): number {
    return this.#requests;
  }

  /**
   * Sends one request and reads its answer: completely, or its head if the body is streamed.
   * @throws RegistryError, or the signal's reason.
   */
  async exchange(request: HttpRequest): Promise<HttpResponse> {
    if (this.#closed)
      throw new RegistryError('unavailable', `${describeRequest(request)}: the connections were closed`);
    request.signal?.throwIfAborted();
    const route = this.#routeTo(request.origin);
    if (route instanceof ProxyDispatcher && request.origin !== this.#options.origin) {
      await this.#addresses.check(new URL(request.origin).hostname).catch((error: unknown) => {
        throw withLocation(describeRequest(request), error);
      });
      request.signal?.throwIfAborted();
    }
    const { timeout, userAgent = 'regindexer' } = this.#options;
    const { method, origin, path, accept, authorization, fields = {}, content, streamed = false } = request;
    const headers = ['user-agent', userAgent, 'accept-encoding', 'identity'];
    if (accept !== undefined) headers.push('accept', accept);
    if (authorization !== undefined) headers.push('authorization', authorization);
    for (const [name, value] of Object.entries(fields)) headers.push(name, value);
    if (content !== undefined) headers.push('content-type', content.mediaType);
    return new Promise((resolve, reject) => {
      this.#requests++;
      // By default undici closes the connection after each HEAD, and a rescan is mostly HEADs.
      route.dispatch(
        {
          method,
          origin,
          path,
          headers,
          body: content?.text ?? null,
          reset: false,
          ...(streamed && { bodyTimeout: timeout }),
        },
        new Exchange(request, { timeout, onOutcome: this.#tell(request), resolve, reject }),
      );
    });
  }

  /** A callback that reports the outcome of a request to `onRequest`. */
  #tell({
    method,
    origin,
    path,
  }: HttpRequest): (outcome: { readonly status: number } | { readonly error: string }) => void {
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

  /** Closes all connections; pending requests fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([
      this.#pool.destroy(),
      this.#agent.destroy(),
      ...[...this.#proxied.values()].map((proxied) => proxied.destroy()),
    ]);
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
