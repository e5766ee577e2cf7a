/** Answers the challenges of a registry: Basic, and Bearer with tokens from its realm (Distribution, "Token Authentication Specification"). */
import { LRUCache } from 'lru-cache';
import { parseJsonObject } from '../../json-object.ts';
import { located, RegistryError } from '../../registry-error.ts';
import { answerError } from './answer-error.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';
import { parseChallenges } from './www-authenticate.ts';

const MAX_TOKENS = 1000;
const MAX_TOKEN_BYTES = 1024 * 1024;
/** What a token is good for if its service does not say, in seconds. */
const DEFAULT_LIFETIME = 60;
/** A token is renewed when this part of its life is over: it must still be valid when it arrives. */
const USED_LIFETIME = 0.9;

export interface AuthenticatorOptions {
  /** The registry's own: only it is ever sent an `Authorization`. */
  readonly origin: string;
  readonly credentials: Credentials | undefined;
  readonly send: Send;
}

interface Realm {
  readonly url: URL;
  readonly service: string | undefined;
}

interface Token {
  readonly text: Promise<string>;
  /** On the clock of `performance.now()`; never while it is being fetched. */
  expires: number;
}

/**
 * Adds what the registry wants to know of its client. Once the registry has named its realm, each scope's token is
 * fetched before its first request, by one request however many wait for it.
 */
export class Authenticator {
  readonly #origin: string;
  readonly #basic: string | undefined;
  readonly #send: Send;
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  #realm: Realm | undefined;

  constructor({ origin, credentials, send }: AuthenticatorOptions) {
    this.#origin = origin;
    this.#basic = credentials && basicAuthorization(credentials);
    this.#send = send;
  }

  /**
   * Sends `request`, which needs `scope` (`repository:NAME:pull`), and once more if the registry challenges it.
   * @throws RegistryError `denied` if the realm refuses a token, and what `send` throws.
   */
  async send(request: HttpRequest, scope: string): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    if (request.origin !== this.#origin) return this.#send(request);
    const used = this.#realm && this.#token(this.#realm, scope, scope);
    const authorization = used ? `Bearer ${await untilAborted(used.text, request.signal)}` : this.#basic;
    const response = await this.#send(authorization === undefined ? request : { ...request, authorization });
    if (response.status !== 401) return response;

    const challenges = parseChallenges(headerValue(response.headers, 'www-authenticate') ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    if (bearer) {
      this.#realm = realmOf(bearer, response);
      if (this.#tokens.get(scope) === used) this.#tokens.delete(scope);
      const token = await untilAborted(this.#token(this.#realm, scope, bearer.get('scope') ?? scope).text, request.signal);
      return this.#send({ ...request, authorization: `Bearer ${token}` });
    }
    if (this.#basic !== undefined && authorization !== this.#basic && challenges.some(({ scheme }) => scheme === 'basic')) {
      return this.#send({ ...request, authorization: this.#basic });
    }
    return response;
  }

  /** The token kept for `scope`, or a new one, for which the realm is asked for `asked`. */
  #token(realm: Realm, scope: string, asked: string): Token {
    const kept = this.#tokens.get(scope);
    if (kept !== undefined && performance.now() < kept.expires) return kept;
    const asking = performance.now();
    const token: Token = {
      expires: Number.POSITIVE_INFINITY,
      text: this.#fetchToken(realm, asked).then(
        ({ text, lifetime }) => {
          token.expires = asking + lifetime * 1000 * USED_LIFETIME;
          return text;
        },
        (error: unknown) => {
          token.expires = 0;
          throw error;
        },
      ),
    };
    this.#tokens.set(scope, token);
    return token;
  }

  async #fetchToken({ url, service }: Realm, asked: string): Promise<{ text: string; lifetime: number }> {
    const encrypted = url.protocol === 'https:' || this.#origin.startsWith('http:');
    if (this.#basic !== undefined && !encrypted) {
      throw new RegistryError('denied', `${this.#origin}: names the token realm ${url.origin}${url.pathname}; credentials are not sent there without https`);
    }
    const query = new URLSearchParams(url.search);
    if (service !== undefined) query.set('service', service);
    // A challenge may name several scopes, one after the other.
    for (const scope of asked.split(' ')) query.append('scope', scope);
    const response = await this.#send({
      method: 'GET',
      origin: url.origin,
      path: `${url.pathname}?${query.toString()}`,
      authorization: this.#basic,
      limit: MAX_TOKEN_BYTES,
    });
    // Without the realm nobody knows what the registry has: this is no word about the repository.
    if (response.status !== 200) throw answerError(response, response.status === 404 ? { code: 'denied' } : {});
    return located(response.where, () => parseToken(response.body));
  }
}

function realmOf(parameters: ReadonlyMap<string, string>, { where }: HttpResponse): Realm {
  const url = URL.parse(parameters.get('realm') ?? '');
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new RegistryError('malformed', `${where}: asks for a Bearer token without a realm that is an http or https URL`);
  }
  return { url, service: parameters.get('service') };
}

/** The token and its lifetime in seconds. Its text is a secret: no error quotes it. */
function parseToken(body: Buffer): { text: string; lifetime: number } {
  const { token, access_token: accessToken, expires_in: expiresIn } = parseJsonObject(body);
  const text = token ?? accessToken;
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) throw new RegistryError('malformed', 'expected a token');
  return { text, lifetime: typeof expiresIn === 'number' && expiresIn > 0 ? expiresIn : DEFAULT_LIFETIME };
}

/** Waits for what others wait for too: an abort ends only this wait. */
function untilAborted<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    shared.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
