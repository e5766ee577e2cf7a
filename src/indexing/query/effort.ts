/** What answering one question costs: in turns with other work, and only so much. */
import { setImmediate } from 'node:timers/promises';
import { type Condition, parameterName } from './query.ts';
import { QueryError } from './parse-query.ts';

/** In milliseconds. */
const TURN = 5;
/** Steps after which the clock is looked at. */
const LOOK = 16 * 1024;
/** Of a question that a client asks: a step is about a character that is compared or read. */
export const MAX_STEPS = 256 * 1024 * 1024;

export interface EffortOptions {
  /** Ends the work. */
  readonly signal?: AbortSignal | undefined;
  /** As many as it takes unless given. */
  readonly maxSteps?: number | undefined;
}

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
   * Counts steps that `condition` is about to take; `true` once it is time for a {@link turn}.
   * @throws QueryError if they are too many
   */
  spend(condition: Condition, steps: number): boolean {
    this.#steps += steps;
    if (this.#steps > this.#maxSteps) {
      throw new QueryError(400, `The query parameter ${JSON.stringify(parameterName(condition))} takes more than ${this.#maxSteps} steps over this index; ask with fewer or shorter patterns, or for less at once.`);
    }
    return this.#steps - this.#looked > LOOK;
  }

  /**
   * Lets others have their turn once this one has taken its time.
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
