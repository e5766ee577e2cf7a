/** Repeats requests that failed for reasons that pass. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RegistryError } from '../../registry-error.ts';
import type { Gate } from './gate.ts';
import { headerValue, type HttpRequest, type HttpResponse, type Send } from './http-message.ts';
import { parseRetryAfter } from './retry-after.ts';

/** No attempt begins later than this after the first one, in milliseconds. */
const MAX_TIME = 120_000;
/** The longest time for which a registry is left alone, in milliseconds; then it is asked whether it still wants to be. */
const MAX_LEFT_ALONE = 3_600_000;

export interface RetryOptions {
  readonly send: Send;
  readonly gate: Gate;
  /** The pauses before the second and each further attempt, in milliseconds; each is shortened by up to a half, by chance. */
  readonly pauses: readonly number[];
  /** Ends all pauses; nothing is repeated after it. */
  readonly closing: AbortSignal;
}

/** Says whether an answer with `status` may be another one soon. */
export function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Sends through the gate, and again after a pause where there was no whole answer or a transient one; gives the last answer.
 * A 429 closes the gate for as long as it asks for: the registry means all its clients, not only this request.
 */
export function retrying({ send, gate, pauses, closing }: RetryOptions): Send {
  return async (request) => {
    let started: number | undefined;
    for (let attempt = 0; ; attempt++) {
      let outcome: HttpResponse | RegistryError;
      let pause: number | undefined;
      await gate.enter(request.signal);
      try {
        started ??= performance.now();
        outcome = await outcomeOf(send, request);
        if (!closing.aborted) {
          pause = pauseAfter(outcome, pauses[attempt], performance.now() - started);
          // Before anybody else is let in.
          if (!(outcome instanceof RegistryError) && outcome.status === 429) leaveAlone(gate, outcome, pause);
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

/** Has the others wait until this request is repeated, or as long as the registry asks for; if that is too long to wait, it is not asked at all. */
function leaveAlone(gate: Gate, answer: HttpResponse, pause: number | undefined): void {
  const time = pause ?? Math.min(askedPause(answer), MAX_LEFT_ALONE);
  if (time <= MAX_TIME) {
    gate.pause(time);
    return;
  }
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
