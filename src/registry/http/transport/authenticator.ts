/** Answers the challenges of a registry: Basic, and Bearer with tokens from its realm (Distribution, "Token Authentication Specification"). */
import { LRUCache } from 'lru-cache';
import { untilAborted } from '../../../on-abort.ts';
import { parseJsonObject, type JsonObject } from '../../json-object.ts';
import { located, RegistryError } from '../../registry-error.ts';
import { isSameLogin, loginAdvice, type Login } from '../access/login.ts';
import type { Logins } from '../access/logins.ts';
import { answerError } from './answer-error.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';
import { parseChallenges } from './www-authenticate.ts';

const MAX_TOKENS = 1000;
const MAX_TOKEN_BYTES = 1024 * 1024;
/** What a token is good for if its service does not say, in seconds. */
const DEFAULT_LIFETIME = 60;
/** A token is renewed when this part of its life is over: it must still be valid when it arrives. */
const USED_LIFETIME = 0.9;
/** Statuses by which a realm refuses a token; 400 is that of OAuth2 (RFC 6749, section 5.2). */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 404]);
const CLIENT_ID = 'regindexer';

/** What a request is about. */
export interface Subject {
  /** `undefined` for what belongs to none, such as the catalog. */
  readonly repository: string | undefined;
  /** What a token must allow, such as `repository:NAME:pull`. */
  readonly scope: string;
}

export interface AuthenticatorOptions {
  /** The registry's; only its origin is ever sent an `Authorization`. */
  readonly url: string;
  readonly logins: Logins;
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
  readonly #url: string;
  readonly #origin: string;
  readonly #logins: Logins;
  readonly #send: Send;
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  /** Of the logins that the tokens were given for. */
  #generation = 0;
  #realm: Realm | undefined;

  constructor({ url, logins, send }: AuthenticatorOptions) {
    this.#url = url;
    this.#origin = new URL(url).origin;
    this.#logins = logins;
    this.#send = send;
  }

  /**
   * Sends `request`, and once more if the registry challenges it; all of it again if the login was refused and there is a newer one.
   * @throws RegistryError `denied` if the realm refuses a token, `unavailable` if the login cannot be read, and what `send` throws.
   */
  async send(request: HttpRequest, subject: Subject): Promise<HttpResponse> {
    const { signal } = request;
    signal?.throwIfAborted();
    if (request.origin !== this.#origin) return this.#send(request);
    const found = this.#logins.of(subject.repository);
    const login = found instanceof Promise ? await untilAborted(found, signal) : found;

    let outcome: HttpResponse | RegistryError;
    try {
      outcome = await this.#sendAs(login, request, subject);
      if (outcome.status !== 401) return outcome;
    } catch (error) {
      if (!(error instanceof RegistryError && error.code === 'denied')) throw error;
      outcome = error;
    }
    const newer = await untilAborted(this.#logins.renew(subject.repository, login), signal);
    if (!isSameLogin(newer, login)) return this.#sendAs(newer, request, subject);
    if (outcome instanceof RegistryError) throw outcome;
    return outcome;
  }

  async #sendAs(login: Login | undefined, request: HttpRequest, { scope }: Subject): Promise<HttpResponse> {
    if (this.#generation !== this.#logins.generation) {
      this.#generation = this.#logins.generation;
      this.#tokens.clear();
    }
    const basic = login?.kind === 'basic' ? login.authorization : undefined;
    const used = this.#realm && this.#token(login, this.#realm, scope, scope);
    const authorization = used ? `Bearer ${await untilAborted(used.text, request.signal)}` : basic;
    const response = await this.#send(authorization === undefined ? request : { ...request, authorization });
    if (response.status !== 401) return response;

    const challenges = parseChallenges(headerValue(response.headers, 'www-authenticate') ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    if (bearer) {
      this.#realm = realmOf(bearer, response);
      if (this.#tokens.get(scope) === used) this.#tokens.delete(scope);
      const token = await untilAborted(this.#token(login, this.#realm, scope, bearer.get('scope') ?? scope).text, request.signal);
      return this.#send({ ...request, authorization: `Bearer ${token}` });
    }
    if (basic !== undefined && authorization !== basic && challenges.some(({ scheme }) => scheme === 'basic')) {
      return refusing(await this.#send({ ...request, authorization: basic }));
    }
    return basic !== undefined && authorization === basic ? refusing(response) : response;
  }

  /** The token kept for `scope`, or a new one, for which the realm is asked for `asked`. */
  #token(login: Login | undefined, realm: Realm, scope: string, asked: string): Token {
    const kept = this.#tokens.get(scope);
    if (kept !== undefined && performance.now() < kept.expires) return kept;
    const asking = performance.now();
    const token: Token = {
      expires: Number.POSITIVE_INFINITY,
      text: this.#fetchToken(login, realm, asked).then(
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

  async #fetchToken(login: Login | undefined, { url, service }: Realm, asked: string): Promise<{ text: string; lifetime: number }> {
    const encrypted = url.protocol === 'https:' || this.#origin.startsWith('http:');
    if (login !== undefined && !encrypted) {
      throw new RegistryError('denied', `${this.#origin}: names the token realm ${url.origin}${url.pathname}; credentials are not sent there without https`);
    }
    const response = await this.#send(tokenRequest(login, { url, service }, asked));
    // Without the realm nobody knows what the registry has: this is no word about the repository.
    if (response.status !== 200) throw answerError(response, REFUSALS.has(response.status) ? { code: 'denied', advice: loginAdvice(this.#url, login !== undefined && response.status === 401) } : {});
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

/** Asks with Basic credentials, if there are any, or with an identity token (Distribution, "Oauth2 Token Authentication"). */
function tokenRequest(login: Login | undefined, { url, service }: Realm, asked: string): HttpRequest {
  const place = { origin: url.origin, limit: MAX_TOKEN_BYTES };
  const parameters = new URLSearchParams(service === undefined ? {} : { service });
  if (login?.kind === 'identity') {
    for (const [name, value] of Object.entries({ grant_type: 'refresh_token', refresh_token: login.token, client_id: CLIENT_ID, scope: asked })) parameters.set(name, value);
    return { ...place, method: 'POST', path: url.pathname + url.search, form: parameters.toString() };
  }
  const query = new URLSearchParams(url.search);
  for (const [name, value] of parameters) query.set(name, value);
  // A challenge may name several scopes, one after the other.
  for (const scope of asked.split(' ')) query.append('scope', scope);
  return { ...place, method: 'GET', path: `${url.pathname}?${query.toString()}`, authorization: login?.authorization };
}

/** The token and its lifetime in seconds. Its text is a secret: no error quotes it. */
function parseToken(body: Buffer): { text: string; lifetime: number } {
  const { token, access_token: accessToken, expires_in: expiresIn } = parseSecret(body);
  const text = token ?? accessToken;
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) throw new RegistryError('malformed', 'expected a token');
  return { text, lifetime: typeof expiresIn === 'number' && expiresIn > 0 ? expiresIn : DEFAULT_LIFETIME };
}

/** As `parseJsonObject`, without the cause of an error, which would quote the text. */
function parseSecret(body: Buffer): JsonObject {
  try {
    return parseJsonObject(body);
  } catch {
    throw new RegistryError('malformed', 'expected a JSON object with a token');
  }
}

/** The answer to a login itself, which a token would hide. */
function refusing(response: HttpResponse): HttpResponse {
  return response.status === 401 ? { ...response, loginRefused: true } : response;
}
