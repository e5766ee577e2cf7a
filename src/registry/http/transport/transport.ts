/** Sends requests to a registry through layers: redirects, authentication, and those of the HTTP client. */
import { registryId } from '../../registry-id.ts';
import type { AccessOptions, RequestOptions } from '../access/access-options.ts';
import { Keychain } from '../access/keychain.ts';
import { Authenticator, type Subject } from './authenticator.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';
import type { HttpRequest, HttpResponse, Send } from './http-message.ts';
import { followRedirects } from './redirects.ts';
import type { OnRequest } from './sent-request.ts';

/** Settings of the transport to one registry. */
export interface TransportOptions
  extends AccessOptions, RequestOptions, Pick<HttpClientOptions, 'streams' | 'patience'> {
  /** The registry's http or https URL, without credentials; it may have a path. */
  readonly url: string;
  /** Called once for each request. */
  readonly onRequest?: OnRequest | undefined;
}

/** A request to the registry, before authentication. */
export interface TransportRequest extends Pick<HttpRequest, 'accept' | 'fields' | 'limit' | 'streamed' | 'signal'> {
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
  readonly #client: HttpClient;
  readonly #authenticator: Authenticator;

  /** @throws TypeError if `url` is not valid for a registry. */
  constructor(options: TransportOptions) {
    this.url = registryId(options.url, '/');
    const { origin, pathname } = new URL(this.url);
    this.origin = origin;
    this.base = `${pathname.replace(/\/$/, '')}/v2`;
    this.#client = new HttpClient({ ...options, url: this.url, origin });
    this.#authenticator = new Authenticator({
      url: this.url,
      base: this.base,
      keychain: new Keychain({ ...options, url: this.url }),
      send: this.#client.send,
    });
  }

  /** The number of requests sent so far, retries and token requests included. */
  get requests(): number {
    return this.#client.requests;
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

  /** Says whether the last request about `subject` that succeeded, a short while ago, needed no login. */
  isPublic({ scope }: Subject): boolean {
    return this.#authenticator.isPublic(scope);
  }

  /** Closes all connections and cancels pauses; pending requests fail. */
  async close(): Promise<void> {
    await this.#client.close();
  }
}
