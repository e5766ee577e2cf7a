/**
 * Authenticates requests: Basic, and Bearer with tokens of a realm (Distribution, "Token Authentication
 * Specification").
 */
import { LRUCache } from 'lru-cache';
import { untilAborted } from '../../../system/on-abort.ts';
import { RegistryError } from '../../registry-error.ts';
import { isSameLogin, type Login } from '../access/login.ts';
import type { Keychain } from '../access/keychain.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';
import { fetchToken, realmOf, type Realm } from './realm.ts';
import { parseChallenges } from './www-authenticate.ts';

const MAX_TOKENS = 1000;
const MAX_REALMS = 100;
/** The part of a token's lifetime after which it is renewed, so that it is still valid when it arrives. */
const USED_LIFETIME = 0.9;
/** Answers of registries that reject a login that they did not challenge for. */
const UNASKED: ReadonlySet<number> = new Set([400, 401, 403, 404]);

/** The repository and token scope of a request. */
export interface Subject {
  /** The repository; `undefined` for the catalog. */
  readonly repository: string | undefined;
  /** The scope that a token must have, such as `repository:NAME:pull`. */
  readonly scope: string;
}

/** Settings of {@link Authenticator}. */
export interface AuthenticatorOptions {
  /** The registry's URL. Logins, and tokens for them, are sent to its origin alone. */
  readonly url: string;
  /** The path of the API; other paths are not sent an `Authorization`. */
  readonly base: string;
  readonly keychain: Keychain;
  readonly send: Send;
}

interface Token {
  readonly text: Promise<string>;
  /** The expiry time on the clock of `performance.now()`; infinite while the token is being fetched. */
  expires: number;
}

/** The result of a request with one login. */
interface Outcome {
  /** The answer, or an error with the code `denied`. */
  readonly result: HttpResponse | RegistryError;
  /** It was also sent without a login, which failed. */
  readonly sentWithout?: boolean;
}

/**
 * Adds `Authorization` to requests. Once the realm is known, a scope's token is fetched before its first request, and
 * all requests that need it wait for the same token.
 */
export class Authenticator {
  readonly #url: string;
  readonly #origin: string;
  readonly #base: string;
  readonly #keychain: Keychain;
  readonly #send: Send;
  /** Tokens by origin, login or none, and scope. */
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  /** Realms by origin. */
  readonly #realms = new LRUCache<string, Realm>({ max: MAX_REALMS });
  /** Scopes for which the registry rejects the login, but answers anonymous requests. */
  readonly #open = new LRUCache<string, true>({ max: MAX_TOKENS });
  /** Scopes for which the last request that succeeded needed no login. */
  readonly #public = new LRUCache<string, true>({ max: MAX_TOKENS });
  /** The keychain's generation for which the tokens were fetched. */
  #generation = 0;
  /** The registry has challenged for Basic credentials. */
  #wantsBasic = false;

  constructor({ url, base, keychain, send }: AuthenticatorOptions) {
    this.#url = url;
    this.#origin = new URL(url).origin;
    this.#base = base;
    this.#keychain = keychain;
    this.#send = send;
  }

  /**
   * Sends `request`, again after a challenge, again with a new login if the login is refused and the keychain has
   * another, and at last anonymously, so that public repositories stay readable.
   * @throws RegistryError `denied` if the realm refuses a token, `unavailable` if the login cannot be read, and what
   * `send` throws.
   */
  async send(request: HttpRequest, subject: Subject): Promise<HttpResponse> {
    const { signal } = request;
    signal?.throwIfAborted();
    if (request.origin !== this.#origin || !request.path.startsWith(`${this.#base}/`))
      return this.#sendElsewhere(request, subject);
    const found = this.#keychain.of(subject.repository);
    const login = found instanceof Promise ? await untilAborted(found, signal) : found;
    if (this.#generation !== this.#keychain.generation) {
      this.#generation = this.#keychain.generation;
      this.#tokens.clear();
      this.#open.clear();
    }
    const { repository, scope } = subject;
    const open =
      login !== undefined && this.#open.has(scope)
        ? (await this.#outcomeOf(undefined, request, scope)).result
        : undefined;
    if (open !== undefined && isSuccess(open)) return responseOf(open);
    this.#open.delete(scope);

    let used = login;
    let { result, sentWithout = open !== undefined } = await this.#outcomeOf(login, request, scope);
    if (statusOf(result) === 401) {
      const newer = await untilAborted(this.#keychain.renew(repository, login), signal);
      if (!isSameLogin(newer, login)) {
        used = newer;
        ({ result, sentWithout = false } = await this.#outcomeOf(newer, request, scope));
      }
    }
    if (used !== undefined && isDenied(result)) {
      // No anonymous request for the catalog: it could silently list fewer repositories.
      const other =
        repository === undefined
          ? await this.#sendUnasked(used, request)
          : sentWithout
            ? undefined
            : (await this.#outcomeOf(undefined, request, scope)).result;
      if (other !== undefined && isSuccess(other)) {
        if (repository !== undefined) this.#open.set(scope, true);
        return responseOf(other);
      }
    }
    if (open === undefined || statusOf(open) !== 404 || isSuccess(result)) return responseOf(result);
    // Anonymous requests were answered before, and the login does not help: the 404 is the registry's answer.
    this.#open.set(scope, true);
    return responseOf(open);
  }

  /** Says whether the last request for a scope that succeeded, a short while ago, needed no login. */
  isPublic(scope: string): boolean {
    return this.#public.has(scope);
  }

  /** Follows a redirect out of the API. If another registry challenges, an anonymous token is used. */
  #sendElsewhere(request: HttpRequest, { scope }: Subject): Promise<HttpResponse> {
    const repository = /\/v2\/([^?]+)\/(?:blobs|manifests|tags)\//.exec(request.path)?.[1];
    const isApi = repository !== undefined && request.origin !== this.#origin;
    return this.#answerChallenge(undefined, request, isApi ? `repository:${repository}:pull` : scope, isApi).then(
      ({ response }) => response,
    );
  }

  /** Sends `request` with `login`; if the registry rejects it without a challenge, sends it only after one. */
  async #outcomeOf(login: Login | undefined, request: HttpRequest, scope: string): Promise<Outcome> {
    try {
      const first = await this.#answerChallenge(login, request, scope, true);
      const { response } = first;
      if (isSuccess(response)) this.#noteAccess(scope, login === undefined);
      if (!first.unasked || this.#wantsBasic || !UNASKED.has(response.status)) return { result: response };
      const second = await this.#answerChallenge(login, request, scope, false);
      if (second.challenged) {
        if (isSuccess(second.response)) this.#noteAccess(scope, false);
        return { result: second.response };
      }
      if (!isSuccess(second.response)) return { result: response, sentWithout: true };
      this.#open.set(scope, true);
      this.#noteAccess(scope, true);
      return { result: second.response };
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'denied') return { result: error };
      throw error;
    }
  }

  #noteAccess(scope: string, isPublic: boolean): void {
    if (isPublic) this.#public.set(scope, true);
    else this.#public.delete(scope);
  }

  /** Sends Basic credentials in spite of a Bearer realm: Harbor's catalog needs them, and never challenges. */
  async #sendUnasked(login: Login, request: HttpRequest): Promise<HttpResponse | undefined> {
    if (login.kind !== 'basic' || !this.#realms.has(this.#origin)) return undefined;
    return this.#send({ ...request, authorization: login.authorization });
  }

  /**
   * Sends `request`, and again with the authorization that a challenge asks for.
   * @param ahead sends the likely authorization at once: a token if the realm is known, else Basic credentials
   */
  async #answerChallenge(
    login: Login | undefined,
    request: HttpRequest,
    scope: string,
    ahead: boolean,
  ): Promise<{ response: HttpResponse; challenged: boolean; unasked: boolean }> {
    const basic = login?.kind === 'basic' ? login.authorization : undefined;
    const known = ahead ? this.#realms.get(request.origin) : undefined;
    const used = known && this.#token(login, known, request.origin, scope);
    const authorization = used ? await bearer(used, request) : ahead ? basic : undefined;
    const isBasic = basic !== undefined && authorization === basic;
    const response = await this.#send(authorization === undefined ? request : { ...request, authorization });
    if (response.status !== 401) return { response, challenged: false, unasked: isBasic };

    const challenges = parseChallenges(headerValue(response.headers, 'www-authenticate') ?? '');
    const parameters = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    if (parameters) {
      const realm = realmOf(parameters, response, request.origin === this.#origin ? this.#url : request.origin);
      this.#realms.set(request.origin, realm);
      const key = keyOf(login, request.origin, scope);
      if (this.#tokens.get(key) === used) this.#tokens.delete(key);
      const renewed = await bearer(this.#token(login, realm, request.origin, scope), request);
      return { response: await this.#send({ ...request, authorization: renewed }), challenged: true, unasked: false };
    }
    const challenged = basic !== undefined && challenges.some(({ scheme }) => scheme === 'basic');
    if (challenged) this.#wantsBasic = true;
    if (challenged && !isBasic)
      return { response: refusing(await this.#send({ ...request, authorization: basic })), challenged, unasked: false };
    return { response: isBasic ? refusing(response) : response, challenged, unasked: isBasic };
  }

  /** The cached token for `scope`, or a new one. */
  #token(login: Login | undefined, realm: Realm, origin: string, scope: string): Token {
    const key = keyOf(login, origin, scope);
    const kept = this.#tokens.get(key);
    if (kept !== undefined && performance.now() < kept.expires) return kept;
    const asking = performance.now();
    const token: Token = {
      expires: Number.POSITIVE_INFINITY,
      text: fetchToken(realm, login, scope, this.#send).then(
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
    this.#tokens.set(key, token);
    return token;
  }
}

/** The cache key of a token. A scope has at most one login at a time. */
function keyOf(login: Login | undefined, origin: string, scope: string): string {
  return `${origin} ${login === undefined ? 'anonymous' : 'login'} ${scope}`;
}

async function bearer({ text }: Token, { signal }: HttpRequest): Promise<string> {
  return `Bearer ${await untilAborted(text, signal)}`;
}

/** Says whether the answer is a success; 416 concerns only the requested range. */
function isSuccess(result: HttpResponse | RegistryError): boolean {
  return !(result instanceof RegistryError) && (result.status < 400 || result.status === 416);
}

function responseOf(result: HttpResponse | RegistryError): HttpResponse {
  if (result instanceof RegistryError) throw result;
  return result;
}

/** Says whether the answer refuses the login or its absence. */
function isDenied(result: HttpResponse | RegistryError): boolean {
  return statusOf(result) === 401 || statusOf(result) === 403;
}

/** The status of an answer; 401 for an error of the realm. */
function statusOf(result: HttpResponse | RegistryError): number {
  return result instanceof RegistryError ? 401 : result.status;
}

/** Marks a 401 to Basic credentials as a refused login. */
function refusing(response: HttpResponse): HttpResponse {
  return response.status === 401 ? { ...response, loginRefused: true } : response;
}
