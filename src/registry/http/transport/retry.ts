/** Repeats requests that failed for reasons that pass. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RegistryError } from '../../registry-error.ts';
import type { CongestionControl } from './congestion-control.ts';
import type { Gate, Turn } from './gate.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';

/** No attempt begins later than this after the first one, in milliseconds. */
const MAX_TIME = 120_000;
/** Where a registry refuses everything, after the last of the usual pauses: this times as long. */
const LONG_PAUSE = 10;
/** A request may be answered 429 so much more often than it may fail. */
const MORE_REFUSALS = 8;
/** Statuses of registries that have too much to do. */
const OVERLOADED: ReadonlySet<number> = new Set([503, 504]);
/** The longest time for which a registry is left alone, in milliseconds; then it is asked whether it still wants to be. */
const MAX_LEFT_ALONE = 3_600_000;

export interface RetryOptions {
  readonly send: Send;
  readonly gate: Gate;
  /** Is told how each request went. */
  readonly control: CongestionControl;
  /** The pauses before the second and each further attempt, in milliseconds; each is shortened by up to a half, by chance. */
  readonly pauses: readonly number[];
  /** How long a request that is answered 429 is repeated, in milliseconds; two minutes if absent. */
  readonly patience?: number | undefined;
  /** Ends all pauses; nothing is repeated after it. */
  readonly closing: AbortSignal;
}

/** Says whether an answer with `status` may be another one soon. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Sends through the gate, and again after a pause where there was no whole answer or a transient one; gives the last answer.
 * A 429 is not counted among them, and closes the gate for as long as it asks for: the registry means all its clients, not only
 * this request.
 */
export function retrying({ send, gate, control, pauses, patience = MAX_TIME, closing }: RetryOptions): Send {
  /** Says whether to ask once more. */
  const limited = (answer: HttpResponse, turn: Turn, started: number, refusals: number): boolean => {
    const now = performance.now();
    const inRow = control.limited(turn.at, now);
    const asked = askedPause(answer);
    const longest = pauses[inRow - 1] ?? LONG_PAUSE * (pauses.at(-1) ?? 0);
    const pause = Math.max(asked, longest * (1 - Math.random() / 2));
    const again = refusals <= MORE_REFUSALS * pauses.length && now - started + pause <= patience;
    // Before anybody else is let in.
    if (again) gate.pause(pause);
    else if (pause <= MAX_TIME && inRow <= Math.max(1, 2 * pauses.length)) gate.pause(asked);
    else leaveAlone(gate, answer, Math.min(pause, MAX_LEFT_ALONE));
    return again;
  };

  return async (request) => {
    let started: number | undefined;
    let failures = 0;
    let refusals = 0;
    for (let again = false; ; again = true) {
      const turn = await gate.enter(request.signal, again);
      let outcome: HttpResponse | RegistryError;
      let pause: number | undefined;
      try {
        started ??= turn.at;
        outcome = await outcomeOf(send, request);
        if (!closing.aborted) {
          if (!(outcome instanceof RegistryError) && outcome.status === 429) {
            if (limited(outcome, turn, started, ++refusals)) continue;
          } else {
            const now = performance.now();
            if (isOverload(outcome)) control.failed(turn.at, now);
            else if (!(outcome instanceof RegistryError)) control.answered({ kind: kindOf(request), sentAt: turn.at, latency: outcome.latency, full: turn.full }, now);
            pause = pauseAfter(outcome, pauses[failures++], now - started);
          }
        }
      } finally {
        gate.leave();
      }
      if (pause !== undefined) await pauseFor(pause, request.signal, closing);
      else if (outcome instanceof RegistryError) throw outcome;
      else return outcome;
    }
  };
}

/** What takes about the same time. */
function kindOf({ method, origin, path }: HttpRequest): string {
  return `${method} ${origin} ${/\/v2\/.*\/(manifests|blobs|tags)\//.exec(path)?.[1] ?? ''}`;
}

function isOverload(outcome: HttpResponse | RegistryError): boolean {
  if (!(outcome instanceof RegistryError)) return OVERLOADED.has(outcome.status);
  const { cause } = outcome;
  return cause instanceof Error && (cause.name.includes('Timeout') || ('code' in cause && cause.code === 'ETIMEDOUT'));
}

/** The answer, or the error if it is of those that pass. */
async function outcomeOf(send: Send, request: HttpRequest): Promise<HttpResponse | RegistryError> {
  try {
    return await send(request);
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'unavailable') return error;
    throw error;
  }
}

/** How long to wait for the next attempt, `elapsed` after the first began; `undefined` if there is to be none. */
function pauseAfter(outcome: HttpResponse | RegistryError, longest: number | undefined, elapsed: number): number | undefined {
  const failed = outcome instanceof RegistryError;
  if (longest === undefined || (!failed && !isTransient(outcome.status))) return undefined;
  const asked = failed ? 0 : askedPause(outcome);
  if (elapsed + asked > MAX_TIME) return undefined;
  return Math.max(asked, longest * (1 - Math.random() / 2));
}

/** In milliseconds. */
function askedPause({ headers }: HttpResponse): number {
  return parseRetryAfter(headerValue(headers, 'retry-after'), Date.now()) ?? 0;
}

/**
 * The pause that `Retry-After` asks for (RFC 9110, section 10.2.3), in milliseconds and never negative; `undefined` if absent or invalid.
 * @param now in milliseconds since the epoch, for the form with a date
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // HTTP dates begin with the day's name; Date.parse alone would accept other texts.
  const date = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Has nobody ask for so many milliseconds. */
function leaveAlone(gate: Gate, answer: HttpResponse, time: number): void {
  const end = new Date(Date.now() + time).toISOString();
  gate.close(time, () => new RegistryError('unavailable', `the registry is left alone until ${end}, as it asks for: ${answer.where}: answered ${answer.status}`));
}

async function pauseFor(milliseconds: number, signal: AbortSignal | undefined, closing: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal: signal ? AbortSignal.any([signal, closing]) : closing });
  } catch {
    // Cut short: by the caller, which is told why, or by closing, after which the next attempt fails by itself.
    signal?.throwIfAborted();
  }
}
