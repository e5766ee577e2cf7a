/** Follows redirects (RFC 9110, section 15.4), which registries use for blobs. */
import { RegistryError } from '../../registry-error.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** The most redirects that are followed. */
export const MAX_REDIRECTS = 5;

/**
 * Sends `request`, follows redirects and returns the last answer.
 * @param within an origin; a redirect out of it is not followed, but returned
 * @throws RegistryError `malformed` for a loop, more than 5 redirects or an invalid Location.
 */
export async function followRedirects(request: HttpRequest, send: Send, within?: string): Promise<HttpResponse> {
  let response = await send(request);
  let url = redirectTarget(response, request);
  if (url === undefined) return response;

  const visited = new Set([request.origin + request.path]);
  while (url !== undefined) {
    if (within !== undefined && url.origin !== within) return response;
    const current: HttpRequest = { ...request, origin: url.origin, path: url.pathname + url.search };
    const target = current.origin + current.path;
    if (visited.has(target))
      throw new RegistryError(
        'malformed',
        `${response.where}: redirects in a loop, back to ${url.origin}${url.pathname}`,
      );
    if (visited.size > MAX_REDIRECTS)
      throw new RegistryError('malformed', `${response.where}: redirects more than ${MAX_REDIRECTS} times`);
    visited.add(target);
    response = await send(current);
    url = redirectTarget(response, current);
  }
  return response;
}

/**
 * The target of a redirect; `undefined` for other answers.
 * @throws RegistryError `malformed` if Location is not an http or https URL.
 */
export function redirectTarget({ status, headers, where }: HttpResponse, request: HttpRequest): URL | undefined {
  if (!REDIRECTS.has(status)) return undefined;
  const location = headerValue(headers, 'location');
  const url = location === undefined ? null : URL.parse(location, request.origin + request.path);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new RegistryError('malformed', `${where}: redirects (${status}) without an http or https URL in Location`);
  }
  return withTls(url, request.origin);
}

/**
 * `url` with https instead of http if it is on the host of `from`, which has https: a registry may not know that a
 * proxy adds TLS.
 */
export function withTls(url: URL, from: string): URL {
  const { protocol, hostname, port } = new URL(from);
  const isIts = url.hostname === hostname && (url.port === '' || url.port === (port || '443'));
  if (url.protocol !== 'http:' || protocol !== 'https:' || !isIts) return url;
  const meant = new URL(url);
  meant.protocol = 'https:';
  meant.port = port;
  return meant;
}
