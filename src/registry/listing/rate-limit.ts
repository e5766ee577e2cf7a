/** Reads what answers say of rate limits: `X-RateLimit-*`, `RateLimit-*`, `Retry-After` and `X-Retry-After`. */
import { headerValue, type HttpHeaders, type HttpResponse } from '../http/transport/http-message.ts';
import { parseRetryAfter } from '../http/transport/retry.ts';

/** Numbers of seconds above which a number is a time since 1970, not a pause. */
const FIRST_TIME = 1_000_000_000;
/** The pause of a limit that does not say when it ends (GitHub REST API, "Rate limits"), in milliseconds. */
const UNKNOWN_PAUSE = 60_000;
/** Times in headers are whole seconds. */
const SECOND = 1000;

/**
 * The pause that an answer asks for because too many requests were sent, in milliseconds; `undefined` for other
 * answers. It is 429, or 403 with what else tells of a limit; a 429 need not say how long.
 */
export function refusalPause({ status, headers }: HttpResponse): number | undefined {
  const asked = askedPause(headers);
  if (status === 429) return Math.max(asked ?? 0, resetPause(headers) ?? 0);
  if (status !== 403 || (asked === undefined && !isUsedUp(headers))) return undefined;
  return asked ?? resetPause(headers) ?? UNKNOWN_PAUSE;
}

/** The pause after an answer that used up a limit, in milliseconds; 0 if it did not. */
export function usedUpPause({ headers }: HttpResponse): number {
  return isUsedUp(headers) ? (resetPause(headers) ?? 0) : 0;
}

function isUsedUp(headers: HttpHeaders): boolean {
  return (headerValue(headers, 'x-ratelimit-remaining') ?? headerValue(headers, 'ratelimit-remaining')) === '0';
}

/** The pause until a used up limit is reset. */
function resetPause(headers: HttpHeaders): number | undefined {
  return isUsedUp(headers) ? (pauseOf(headers, 'x-ratelimit-reset') ?? pauseOf(headers, 'ratelimit-reset')) : undefined;
}

function askedPause(headers: HttpHeaders): number | undefined {
  return parseRetryAfter(headerValue(headers, 'retry-after'), nowAt(headers)) ?? pauseOf(headers, 'x-retry-after');
}

/** The pause in a header that has a number of seconds, or the seconds of a time since 1970. */
function pauseOf(headers: HttpHeaders, name: string): number | undefined {
  const text = headerValue(headers, name)?.trim();
  if (text === undefined || !/^\d{1,12}$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds < FIRST_TIME ? seconds * SECOND : Math.max(0, (seconds + 1) * SECOND - nowAt(headers));
}

/** The time at the server, whose clock may differ from this machine's. */
function nowAt(headers: HttpHeaders): number {
  const date = Date.parse(headerValue(headers, 'date') ?? '');
  return Number.isNaN(date) ? Date.now() : date;
}
