/** Fetches tokens from a realm (Distribution, "Token Authentication Specification"). */
import { parseSecretObject } from '../../json-object.ts';
import { locateErrors, RegistryError } from '../../registry-error.ts';
import { loginAdvice, type Login } from '../access/login.ts';
import { answerError } from './answer-error.ts';
import type { HttpRequest, HttpResponse, Send } from './http-message.ts';
import { MAX_REDIRECTS, redirectTarget, withTls } from './redirects.ts';

const MAX_TOKEN_BYTES = 1024 * 1024;
/** The lifetime of a token whose answer names none, in seconds (Distribution, "Token Authentication Specification"). */
const DEFAULT_LIFETIME = 60;
/** Statuses of a realm that refuses a token; 400 is that of OAuth2 (RFC 6749, section 5.2). */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 404]);
const CLIENT_ID = 'regindexer';

/** A token server. */
export interface Realm {
  /** The URL of the registry that named it. */
  readonly registry: string;
  readonly url: URL;
  readonly service: string | undefined;
}

/** A token, and how long it is valid. */
export interface FetchedToken {
  readonly text: string;
  /** The lifetime in seconds. */
  readonly lifetime: number;
}

/**
 * The realm of a Bearer challenge.
 * @throws RegistryError `malformed` if it does not name an http or https URL.
 */
export function realmOf(parameters: ReadonlyMap<string, string>, { where }: HttpResponse, registry: string): Realm {
  const url = URL.parse(parameters.get('realm') ?? '');
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new RegistryError(
      'malformed',
      `${where}: asks for a Bearer token without a realm that is an http or https URL`,
    );
  }
  return { registry, url: withTls(url, registry), service: parameters.get('service') };
}

/**
 * Fetches a token for `scope`, following redirects. The login is sent over https alone, and only to the realm's own
 * host.
 * @throws RegistryError `denied` if the realm refuses or the login cannot be sent, and the errors of `send`.
 */
export async function fetchToken(
  realm: Realm,
  login: Login | undefined,
  scope: string,
  send: Send,
): Promise<FetchedToken> {
  const { registry, service } = realm;
  let url = realm.url;
  for (let redirects = 0; ; redirects++) {
    const encrypted = url.protocol === 'https:' || registry.startsWith('http:');
    const shown = encrypted && isSameHost(url, realm.url) ? login : undefined;
    const request = tokenRequest(shown, url, service, scope);
    const response = await send(request);
    const target = redirectTarget(response, request);
    if (target === undefined) {
      if (login !== undefined && !encrypted) {
        throw new RegistryError(
          'denied',
          `${new URL(registry).origin}: names the token realm ${url.origin}${url.pathname}; credentials are not sent there without https`,
        );
      }
      // A 404 of the realm does not mean that the repository does not exist.
      if (response.status !== 200)
        throw answerError(
          response,
          REFUSALS.has(response.status)
            ? { code: 'denied', advice: loginAdvice(registry, shown !== undefined && response.status === 401) }
            : {},
        );
      return locateErrors(response.where, () => parseToken(response.body));
    }
    if (redirects === MAX_REDIRECTS)
      throw new RegistryError('malformed', `${response.where}: redirects more than ${MAX_REDIRECTS} times`);
    url = target;
  }
}

/** Compares hosts and explicit ports; default ports of different schemes count as equal. */
function isSameHost(one: URL, other: URL): boolean {
  return one.hostname === other.hostname && one.port === other.port;
}

/**
 * The request for a token, with Basic credentials, an identity token (Distribution, "Oauth2 Token Authentication") or
 * none.
 */
function tokenRequest(login: Login | undefined, url: URL, service: string | undefined, scope: string): HttpRequest {
  const place = { origin: url.origin, limit: MAX_TOKEN_BYTES };
  if (login?.kind === 'identity') {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: login.token,
      client_id: CLIENT_ID,
      ...(service !== undefined && { service }),
      scope,
    });
    return {
      ...place,
      method: 'POST',
      path: url.pathname + url.search,
      content: { mediaType: 'application/x-www-form-urlencoded', text: form.toString() },
    };
  }
  const query = new URLSearchParams(url.search);
  if (service !== undefined) query.set('service', service);
  // Replaces a scope in the realm's URL: the registry must not get a token for more than this.
  query.set('scope', scope);
  return { ...place, method: 'GET', path: `${url.pathname}?${query.toString()}`, authorization: login?.authorization };
}

/** Parses the answer of a realm. It is secret: no error quotes it. */
function parseToken(body: Buffer): FetchedToken {
  const { token, access_token: accessToken, expires_in: expiresIn } = parseSecretObject(body);
  const text = token === undefined || token === null || token === '' ? accessToken : token;
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text))
    throw new RegistryError('malformed', 'expected a token');
  return { text, lifetime: typeof expiresIn === 'number' && expiresIn > 0 ? expiresIn : DEFAULT_LIFETIME };
}
