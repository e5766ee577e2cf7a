/** Reads `Retry-After` (RFC 9110, section 10.2.3). */

/** Milliseconds to wait from `now` (milliseconds since the epoch), never negative; `undefined` if the header is absent or neither form of it. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // Dates begin with the day's name; Date.parse would also take other texts for dates.
  const date = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
