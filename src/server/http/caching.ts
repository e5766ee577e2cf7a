/** Headers that let clients and caches keep answers (RFC 9110, section 13; RFC 9111). */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** `Cache-Control` of an answer named by its content. A year is the longest useful time. */
export const IMMUTABLE = 'public, max-age=31536000, immutable';

/** How long a cache may use a stale answer while the server is away, in seconds. */
const STALE_IF_ERROR = 86_400;

/**
 * `Cache-Control` of an index: a cache in front answers while it revalidates, and hides an outage (RFC 5861).
 * @param maxAge in seconds
 */
export function indexCacheControl(maxAge: number): string {
  return `public, max-age=${maxAge}, stale-while-revalidate=${maxAge}, stale-if-error=${STALE_IF_ERROR}`;
}

/** Returns a strong entity tag for a body, quotes included. */
export function entityTagOf(body: string | Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url')}"`;
}

/**
 * Says whether a GET or HEAD with these headers is answered with 304. `If-None-Match` is compared weakly, and overrides
 * `If-Modified-Since`.
 * @param modified milliseconds since the epoch
 */
export function isFresh(headers: IncomingHttpHeaders, etag: string, modified?: number): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch === etag || ifNoneMatch.trim() === '*') return true;
    const tags: readonly string[] = ifNoneMatch.match(/"[^"]*"/g) ?? [];
    return tags.includes(etag.replace(/^W\//, ''));
  }
  const ifModifiedSince = headers['if-modified-since'];
  if (ifModifiedSince === undefined || modified === undefined) return false;
  const since = Date.parse(ifModifiedSince);
  return Number.isFinite(since) && modified <= since;
}
