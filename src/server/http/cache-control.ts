/** What is said of answers that never change: they are named by their content. A year is the longest that is of any use. */
export const IMMUTABLE = 'public, max-age=31536000, immutable';

/** How long a cache may answer from what it has while the server is away, in seconds. */
const STALE_IF_ERROR = 86_400;

/**
 * What is said of an index: a cache in front answers while it asks anew, and hides an outage (RFC 5861).
 * @param maxAge in seconds
 */
export function indexCacheControl(maxAge: number): string {
  return `public, max-age=${maxAge}, stale-while-revalidate=${maxAge}, stale-if-error=${STALE_IF_ERROR}`;
}
