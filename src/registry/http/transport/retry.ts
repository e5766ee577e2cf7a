/** Retries requests after temporary failures. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RegistryError } from '../../registry-error.ts';
import type { CongestionControl } from './congestion-control.ts';
import type { Gate, Turn } from './gate.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';

/** The time after the first attempt in which retries may begin, in milliseconds. */
const MAX_TIME = 120_000;
/** The factor of the last pause for further answers 429 in a row. */
const LONG_PAUSE = 10;
/** The number of answers 429 that a request may get for each failure that it may have. */
const MORE_REFUSALS = 8;
/** Statuses of overloaded registries. */
const OVERLOADED: ReadonlySet<number> = new Set([503, 504]);
/** The longest time without requests to a registry that answers 429, in milliseconds. */
const MAX_CLOSED = 3_600_000;

/** Settings of {@link withRetries}. */
export interface RetryOptions {
  readonly send: Send;
  readonly gate: Gate;
  /** Records the outcome of each request. */
  readonly control: CongestionControl;
  /** The longest pause before the second and each further attempt, in milliseconds; half of each is random. */
  readonly pauses: readonly number[];
  /** How long a request is retried after answers 429, in milliseconds; two minutes if absent. */
  readonly patience?: number | undefined;
  /**
   * The pause that an answer asks for because too many requests were sent, in milliseconds; `undefined` if it does not
   * say so. By default that is a 429 with its Retry-After.
   */
  readonly askedPause?: ((answer: HttpResponse) => number | undefined) | undefined;
  /** Cancels pauses and retries at shutdown. */
  readonly closing: AbortSignal;
}

/** Says whether a retry may help after an answer with `status`. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Wraps `send` so that requests pass the gate and are retried after failures and transient statuses; returns the last
 * answer. A 429 does not count as a failure, and pauses all requests to the registry.
 */
export function withRetries({
  send,
  gate,
  control,
  pauses,
  patience = MAX_TIME,
  askedPause = pauseOfRefusal,
  closing,
}: RetryOptions): Send {
  /** Pauses the gate after a 429, and says whether to retry. */
  const limited = (answer: HttpResponse, asked: number, turn: Turn, started: number, refusals: number): boolean => {
    const now = performance.now();
    const inRow = control.limited(turn.at, now);
    const longest = pauses[inRow - 1] ?? LONG_PAUSE * (pauses.at(-1) ?? 0);
    const pause = Math.max(asked, longest * (1 - Math.random() / 2));
    const again = refusals <= MORE_REFUSALS * pauses.length && now - started + pause <= patience;
    // Before the gate admits another request.
    if (again) gate.pause(pause);
    else if (pause <= MAX_TIME && inRow <= Math.max(1, 2 * pauses.length)) gate.pause(asked);
    else closeGate(gate, answer, pause);
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
          const asked = outcome instanceof RegistryError ? undefined : askedPause(outcome);
          if (!(outcome instanceof RegistryError) && asked !== undefined) {
            if (limited(outcome, asked, turn, started, ++refusals)) continue;
          } else {
            const now = performance.now();
            if (isOverload(outcome)) control.failed(turn.at, now);
            else if (!(outcome instanceof RegistryError))
              control.answered(
                { kind: kindOf(request), sentAt: turn.at, latency: outcome.latency, full: turn.full },
                now,
              );
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

/** The kind of a request, for latencies: requests of one kind take about the same time. */
function kindOf({ method, origin, path }: HttpRequest): string {
  return `${method} ${origin} ${/\/v2\/.*\/(manifests|blobs|tags)\//.exec(path)?.[1] ?? ''}`;
}

function isOverload(outcome: HttpResponse | RegistryError): boolean {
  if (!(outcome instanceof RegistryError)) return OVERLOADED.has(outcome.status);
  const { cause } = outcome;
  return cause instanceof Error && (cause.name.includes('Timeout') || ('code' in cause && cause.code === 'ETIMEDOUT'));
}

/** The answer, or an error after which a retry may help. */
async function outcomeOf(send: Send, request: HttpRequest): Promise<HttpResponse | RegistryError> {
  try {
    return await send(request);
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'unavailable') return error;
    throw error;
  }
}

/**
 * The pause before the next attempt, in milliseconds; `undefined` for no retry.
 * @param elapsed since the first attempt began, in milliseconds
 */
function pauseAfter(
  outcome: HttpResponse | RegistryError,
  longest: number | undefined,
  elapsed: number,
): number | undefined {
  const failed = outcome instanceof RegistryError;
  if (longest === undefined || (!failed && !isTransient(outcome.status))) return undefined;
  const asked = failed ? 0 : retryAfter(outcome);
  if (elapsed + asked > MAX_TIME) return undefined;
  return Math.max(asked, longest * (1 - Math.random() / 2));
}

/** The default of `RetryOptions.askedPause`. */
function pauseOfRefusal(answer: HttpResponse): number | undefined {
  return answer.status === 429 ? retryAfter(answer) : undefined;
}

/** The pause that Retry-After asks for, in milliseconds; 0 if absent. */
function retryAfter({ headers }: HttpResponse): number {
  return parseRetryAfter(headerValue(headers, 'retry-after'), Date.now()) ?? 0;
}

/**
 * The pause that `Retry-After` asks for (RFC 9110, section 10.2.3), in milliseconds and never negative; `undefined` if
 * absent or invalid.
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

/**
 * Admits no request for so many milliseconds after `answer`. Requests wait if that is short, and are refused otherwise.
 */
export function holdRequests(gate: Gate, answer: HttpResponse, time: number): void {
  if (time <= MAX_TIME) gate.pause(time);
  else closeGate(gate, answer, time);
}

/** Refuses all requests for so many milliseconds, at most an hour. */
function closeGate(gate: Gate, answer: HttpResponse, pause: number): void {
  const time = Math.min(pause, MAX_CLOSED);
  const end = new Date(Date.now() + time).toISOString();
  gate.close(
    time,
    () =>
      new RegistryError(
        'unavailable',
        `the registry limits requests, and gets none until ${end}: ${answer.where}: answered ${answer.status}`,
      ),
  );
}

async function pauseFor(milliseconds: number, signal: AbortSignal | undefined, closing: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal: signal ? AbortSignal.any([signal, closing]) : closing });
  } catch {
    // Aborted by the caller, or by shutdown, after which the next attempt fails by itself.
    signal?.throwIfAborted();
  }
}
