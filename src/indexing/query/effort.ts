/** Limits the work of answering one question, and gives way to other work. */
import { setImmediate } from 'node:timers/promises';
import { type Condition, parameterName } from './query.ts';
import { QueryError } from './parse-query.ts';

/** Time after which other work gets its turn, in milliseconds. */
const TURN = 5;
/** Steps between two looks at the clock. */
const LOOK = 16 * 1024;
/** Most steps for a client's question; a step is about one character that is compared or read. */
export const MAX_STEPS = 256 * 1024 * 1024;

/** Options of {@link Effort}. */
export interface EffortOptions {
  /** Cancels the work. */
  readonly signal?: AbortSignal | undefined;
  /** Unlimited unless given. */
  readonly maxSteps?: number | undefined;
}

/** Effort of one question: counts its steps and takes turns. */
export class Effort {
  readonly #signal: AbortSignal | undefined;
  readonly #maxSteps: number;
  #began = performance.now();
  #steps = 0;
  #looked = 0;

  constructor({ signal, maxSteps = Infinity }: EffortOptions = {}) {
    this.#signal = signal;
    this.#maxSteps = maxSteps;
  }

  /**
   * Counts steps that `condition` is about to take; returns `true` when a {@link turn} is due.
   * @throws QueryError if they are too many
   */
  spend(condition: Condition, steps: number): boolean {
    this.#steps += steps;
    if (this.#steps > this.#maxSteps) {
      throw new QueryError(
        400,
        `The query parameter ${JSON.stringify(parameterName(condition))} takes more than ${this.#maxSteps} steps over this index; ask with fewer or shorter patterns, or for less at once.`,
      );
    }
    return this.#steps - this.#looked > LOOK;
  }

  /**
   * Gives way to other work if the time of a turn is over.
   * @throws the signal's reason once it is aborted
   */
  async turn(): Promise<void> {
    this.#looked = this.#steps;
    if (performance.now() - this.#began < TURN) return;
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#began = performance.now();
  }
}
