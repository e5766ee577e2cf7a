/** Chooses the proxy for each origin. */
import { RegistryError } from '../../registry-error.ts';
import type { ProxyOptions } from './access-options.ts';
import { isLoopback, parseNoProxy, type IsDirect } from './no-proxy.ts';
import { defaultPortOf } from './registry-names.ts';

/** The proxies of the environment. */
export class Proxies {
  readonly #http: string;
  readonly #https: string;
  readonly #isDirect: IsDirect;

  constructor({ http = '', https = '', none = '' }: ProxyOptions) {
    this.#http = http;
    this.#https = https;
    this.#isDirect = parseNoProxy(none);
  }

  /**
   * The URL of the proxy for `origin`, which may hold a login; `undefined` for a direct connection, as always to this
   * machine.
   * @throws RegistryError `unavailable` if the environment variable is not the URL of a supported proxy.
   */
  proxyFor(origin: string): URL | undefined {
    const { protocol, hostname, port } = new URL(origin);
    const written = protocol === 'https:' ? this.#https : this.#http;
    if (written === '' || isLoopback(hostname) || this.#isDirect(hostname, Number(port || defaultPortOf(protocol))))
      return undefined;
    const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(written) ? written : `http://${written}`);
    if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
    // Not quoted, because it may hold a password.
    throw new RegistryError(
      'unavailable',
      `${origin}: ${protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'} is not the URL of a proxy, expected http://HOST:PORT or https://HOST:PORT`,
    );
  }
}
