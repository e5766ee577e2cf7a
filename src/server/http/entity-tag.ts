/** Whether a client has what would be sent (RFC 9110, section 13.1). */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** A strong entity tag for a body, quotes included. */
export function entityTagOf(body: string | Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url')}"`;
}

/**
 * Says whether a GET or HEAD with these headers is answered by 304. `If-None-Match` is compared weakly and beats
 * `If-Modified-Since`, whose time counts in whole seconds.
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
