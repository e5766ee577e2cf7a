/** Asks a realm for tokens (Distribution, "Token Authentication Specification"). */
import { parseJsonObject, type JsonObject } from '../../json-object.ts';
import { located, RegistryError } from '../../registry-error.ts';
import { loginAdvice, type Login } from '../access/login.ts';
import { answerError } from './answer-error.ts';
import type { HttpRequest, HttpResponse, Send } from './http-message.ts';
import { MAX_REDIRECTS, redirectTarget, withTls } from './redirects.ts';

const MAX_TOKEN_BYTES = 1024 * 1024;
/** What a token is good for if its service does not say, in seconds. */
const DEFAULT_LIFETIME = 60;
/** Statuses by which a realm refuses a token; 400 is that of OAuth2 (RFC 6749, section 5.2). */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 404]);
const CLIENT_ID = 'regindexer';

export interface Realm {
  /** The URL of the registry that named it. */
  readonly registry: string;
  readonly url: URL;
  readonly service: string | undefined;
}

export interface FetchedToken {
  readonly text: string;
  /** In seconds. */
  readonly lifetime: number;
}

/**
 * The realm that a Bearer challenge names.
 * @throws RegistryError `malformed` if it names none.
 */
export function realmOf(parameters: ReadonlyMap<string, string>, { where }: HttpResponse, registry: string): Realm {
  const url = URL.parse(parameters.get('realm') ?? '');
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new RegistryError('malformed', `${where}: asks for a Bearer token without a realm that is an http or https URL`);
  }
  return { registry, url: withTls(url, registry), service: parameters.get('service') };
}

/**
 * A token for `scope`. Redirects are followed; the login is shown over https, to the realm's own host alone.
 * @throws RegistryError `denied` if the realm gives none or the login cannot be shown, and what `send` throws.
 */
export async function fetchToken(realm: Realm, login: Login | undefined, scope: string, send: Send): Promise<FetchedToken> {
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
        throw new RegistryError('denied', `${new URL(registry).origin}: names the token realm ${url.origin}${url.pathname}; credentials are not sent there without https`);
      }
      // Without the realm nobody knows what the registry has: this is no word about the repository.
      if (response.status !== 200) throw answerError(response, REFUSALS.has(response.status) ? { code: 'denied', advice: loginAdvice(registry, shown !== undefined && response.status === 401) } : {});
      return located(response.where, () => parseToken(response.body));
    }
    if (redirects === MAX_REDIRECTS) throw new RegistryError('malformed', `${response.where}: redirects more than ${MAX_REDIRECTS} times`);
    url = target;
  }
}

/** Both may have the port of their scheme. */
function isSameHost(one: URL, other: URL): boolean {
  return one.hostname === other.hostname && one.port === other.port;
}

/** Asks with Basic credentials, if there are any, or with an identity token (Distribution, "Oauth2 Token Authentication"). */
function tokenRequest(login: Login | undefined, url: URL, service: string | undefined, scope: string): HttpRequest {
  const place = { origin: url.origin, limit: MAX_TOKEN_BYTES };
  if (login?.kind === 'identity') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: login.token, client_id: CLIENT_ID, ...(service !== undefined && { service }), scope });
    return { ...place, method: 'POST', path: url.pathname + url.search, form: form.toString() };
  }
  const query = new URLSearchParams(url.search);
  if (service !== undefined) query.set('service', service);
  // In the place of any that the registry has put there: a token that allows more is not the registry's to have.
  query.set('scope', scope);
  return { ...place, method: 'GET', path: `${url.pathname}?${query.toString()}`, authorization: login?.authorization };
}

/** Its text is a secret: no error quotes it. */
function parseToken(body: Buffer): FetchedToken {
  const { token, access_token: accessToken, expires_in: expiresIn } = parseSecret(body);
  const text = token === undefined || token === null || token === '' ? accessToken : token;
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
