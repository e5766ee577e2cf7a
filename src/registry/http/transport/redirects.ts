/** Follows redirects (RFC 9110, section 15.4), as registries answer blobs with them. */
import { RegistryError } from '../../registry-error.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;

/**
 * Sends `request` and follows where the answers lead; gives the last one.
 * @param within an origin: an answer that leads out of it is the last one, too
 * @throws RegistryError `malformed` for a loop, more than 5 redirects, or a place that is no http or https URL.
 */
export async function followRedirects(request: HttpRequest, send: Send, within?: string): Promise<HttpResponse> {
  let response = await send(request);
  if (!REDIRECTS.has(response.status)) return response;

  const visited = new Set([request.origin + request.path]);
  let current = request;
  while (REDIRECTS.has(response.status)) {
    const location = headerValue(response.headers, 'location');
    const url = location === undefined ? null : URL.parse(location, current.origin + current.path);
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
      throw new RegistryError('malformed', `${response.where}: redirects (${response.status}) without an http or https URL in Location`);
    }
    if (within !== undefined && url.origin !== within) return response;
    current = { ...request, origin: url.origin, path: url.pathname + url.search };
    const target = current.origin + current.path;
    if (visited.has(target)) throw new RegistryError('malformed', `${response.where}: redirects in a loop, back to ${url.origin}${url.pathname}`);
    if (visited.size > MAX_REDIRECTS) throw new RegistryError('malformed', `${response.where}: redirects more than ${MAX_REDIRECTS} times`);
    visited.add(target);
    response = await send(current);
  }
  return response;
}
