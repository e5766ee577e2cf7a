/** Answers the challenges of a registry: Basic, and Bearer with tokens from its realm (Distribution, "Token Authentication Specification"). */
import { LRUCache } from 'lru-cache';
import { untilAborted } from '../../../system/on-abort.ts';
import { RegistryError } from '../../registry-error.ts';
import { isSameLogin, type Login } from '../access/login.ts';
import type { Logins } from '../access/logins.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';
import { fetchToken, realmOf, type Realm } from './realm.ts';
import { parseChallenges } from './www-authenticate.ts';

const MAX_TOKENS = 1000;
const MAX_REALMS = 100;
/** A token is renewed when this part of its life is over: it must still be valid when it arrives. */
const USED_LIFETIME = 0.9;
/** By which registries answer a login that they did not ask for. */
const UNASKED: ReadonlySet<number> = new Set([400, 401, 403, 404]);

/** What a request is about. */
export interface Subject {
  /** `undefined` for what belongs to none, such as the catalog. */
  readonly repository: string | undefined;
  /** What a token must allow, such as `repository:NAME:pull`. */
  readonly scope: string;
}

export interface AuthenticatorOptions {
  /** The registry's; only its origin is ever sent a login or a token that was given for one. */
  readonly url: string;
  /** The path below which its API is: nothing else there is sent an `Authorization`. */
  readonly base: string;
  readonly logins: Logins;
  readonly send: Send;
}

interface Token {
  readonly text: Promise<string>;
  /** On the clock of `performance.now()`; never while it is being fetched. */
  expires: number;
}

/** What came of a request. */
interface Outcome {
  /** The error is `denied`. */
  readonly result: HttpResponse | RegistryError;
  /** It was sent without a login, too, to no avail. */
  readonly sentWithout?: boolean;
}

/**
 * Adds what the registry wants to know of its client. Once the registry has named its realm, each scope's token is
 * fetched before its first request, by one request however many wait for it.
 */
export class Authenticator {
  readonly #url: string;
  readonly #origin: string;
  readonly #base: string;
  readonly #logins: Logins;
  readonly #send: Send;
  /** By origin, login or none, and scope. */
  readonly #tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  /** By origin. */
  readonly #realms = new LRUCache<string, Realm>({ max: MAX_REALMS });
  /** Scopes for which the registry does not take the login, but answers without one. */
  readonly #open = new LRUCache<string, true>({ max: MAX_TOKENS });
  /** Of the logins that the tokens were given for. */
  #generation = 0;
  /** The registry has asked for Basic credentials. */
  #wantsBasic = false;

  constructor({ url, base, logins, send }: AuthenticatorOptions) {
    this.#url = url;
    this.#origin = new URL(url).origin;
    this.#base = base;
    this.#logins = logins;
    this.#send = send;
  }

  /**
   * Sends `request`, and once more if the registry challenges it; all of it again if the login was refused and there is a newer one.
   * Where no login helps it is sent without: what anybody may read stays readable.
   * @throws RegistryError `denied` if the realm refuses a token, `unavailable` if the login cannot be read, and what `send` throws.
   */
  async send(request: HttpRequest, subject: Subject): Promise<HttpResponse> {
    const { signal } = request;
    signal?.throwIfAborted();
    if (request.origin !== this.#origin || !request.path.startsWith(`${this.#base}/`)) return this.#sendElsewhere(request, subject);
    const found = this.#logins.of(subject.repository);
    const login = found instanceof Promise ? await untilAborted(found, signal) : found;
    if (this.#generation !== this.#logins.generation) {
      this.#generation = this.#logins.generation;
      this.#tokens.clear();
      this.#open.clear();
    }
    const { repository, scope } = subject;
    const open = login !== undefined && this.#open.has(scope) ? (await this.#outcomeOf(undefined, request, scope)).result : undefined;
    if (open !== undefined && isGiven(open)) return given(open);
    this.#open.delete(scope);

    let used = login;
    let { result, sentWithout = open !== undefined } = await this.#outcomeOf(login, request, scope);
    if (statusOf(result) === 401) {
      const newer = await untilAborted(this.#logins.renew(repository, login), signal);
      if (!isSameLogin(newer, login)) {
        used = newer;
        ({ result, sentWithout = false } = await this.#outcomeOf(newer, request, scope));
      }
    }
    if (used !== undefined && isDenied(result)) {
      // A catalog may show less to nobody than to the login, which would not be seen.
      const other = repository === undefined ? await this.#sendUnasked(used, request) : sentWithout ? undefined : (await this.#outcomeOf(undefined, request, scope)).result;
      if (other !== undefined && isGiven(other)) {
        if (repository !== undefined) this.#open.set(scope, true);
        return given(other);
      }
    }
    if (open === undefined || statusOf(open) !== 404 || isGiven(result)) return given(result);
    // Nobody was answered before: this is the registry's word, and no login knows better.
    this.#open.set(scope, true);
    return given(open);
  }

  /** Sends what the registry redirected to. A second registry may ask for a token: nobody's is enough for what anybody may read. */
  #sendElsewhere(request: HttpRequest, { scope }: Subject): Promise<HttpResponse> {
    const repository = /\/v2\/([^?]+)\/(?:blobs|manifests|tags)\//.exec(request.path)?.[1];
    const isApi = repository !== undefined && request.origin !== this.#origin;
    return this.#answerChallenge(undefined, request, isApi ? `repository:${repository}:pull` : scope, isApi).then(({ response }) => response);
  }

  /** What comes of `request` with `login`; without it until it is asked for, if the registry does not take it unasked. */
  async #outcomeOf(login: Login | undefined, request: HttpRequest, scope: string): Promise<Outcome> {
    try {
      const first = await this.#answerChallenge(login, request, scope, true);
      const { response } = first;
      if (!first.unasked || this.#wantsBasic || !UNASKED.has(response.status)) return { result: response };
      const second = await this.#answerChallenge(login, request, scope, false);
      if (second.challenged) return { result: second.response };
      if (!isGiven(second.response)) return { result: response, sentWithout: true };
      this.#open.set(scope, true);
      return { result: second.response };
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'denied') return { result: error };
      throw error;
    }
  }

  /** Harbor shows its catalog to Basic credentials alone, and never asks for them. */
  async #sendUnasked(login: Login, request: HttpRequest): Promise<HttpResponse | undefined> {
    if (login.kind !== 'basic' || !this.#realms.has(this.#origin)) return undefined;
    return this.#send({ ...request, authorization: login.authorization });
  }

  /**
   * Sends `request`, and again with what a challenge asks for.
   * @param ahead sends at once what is likely to be asked for: a token where the realm is known, else Basic credentials
   */
  async #answerChallenge(login: Login | undefined, request: HttpRequest, scope: string, ahead: boolean): Promise<{ response: HttpResponse; challenged: boolean; unasked: boolean }> {
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
    if (challenged && !isBasic) return { response: refusing(await this.#send({ ...request, authorization: basic })), challenged, unasked: false };
    return { response: isBasic ? refusing(response) : response, challenged, unasked: isBasic };
  }

  /** The token kept for `scope`, or a new one. */
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

/** Each scope has one login at a time, or none. */
function keyOf(login: Login | undefined, origin: string, scope: string): string {
  return `${origin} ${login === undefined ? 'nobody' : 'login'} ${scope}`;
}

async function bearer({ text }: Token, { signal }: HttpRequest): Promise<string> {
  return `Bearer ${await untilAborted(text, signal)}`;
}

/** Says whether it is an answer with what was asked for, or a part of it. */
function isGiven(result: HttpResponse | RegistryError): boolean {
  return !(result instanceof RegistryError) && (result.status < 400 || result.status === 416);
}

function given(result: HttpResponse | RegistryError): HttpResponse {
  if (result instanceof RegistryError) throw result;
  return result;
}

/** Says whether it is about who asks. */
function isDenied(result: HttpResponse | RegistryError): boolean {
  return statusOf(result) === 401 || statusOf(result) === 403;
}

/** 401 for a realm that gives no token. */
function statusOf(result: HttpResponse | RegistryError): number {
  return result instanceof RegistryError ? 401 : result.status;
}

/** The answer to a login itself, which a token would hide. */
function refusing(response: HttpResponse): HttpResponse {
  return response.status === 401 ? { ...response, loginRefused: true } : response;
}
