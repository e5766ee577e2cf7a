/** Long work on one thread, in turns with other work. */
import { setImmediate } from 'node:timers/promises';

/** In milliseconds. */
const TURN = 5;

/** The turns of one piece of work. */
export class Turns {
  readonly #signal: AbortSignal | undefined;
  #began = performance.now();

  /** @param signal ends the work */
  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /**
   * Lets others have theirs once this one has taken its time. Call it again and again.
   * @throws the signal's reason once it is aborted.
   */
  async next(): Promise<void> {
    if (performance.now() - this.#began < TURN) return;
    await setImmediate();
    this.#signal?.throwIfAborted();
    this.#began = performance.now();
  }
}
