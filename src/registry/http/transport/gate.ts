/** Lets a number of requests through at once, and none for a time when the registry asks for it: they wait, or are refused. */
import { onAbort } from '../../../on-abort.ts';

interface Waiting {
  readonly admit: () => void;
  readonly refuse: (reason: Error) => void;
}

export class Gate {
  readonly #waiting: Waiting[] = [];
  #free: number;
  #opensAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Makes the error of those who come while it is closed. */
  #refusal: (() => Error) | undefined;

  constructor(places: number) {
    this.#free = places;
  }

  /** Takes a place, waiting for one if need be. Each place is given back by {@link leave}. Throws or rejects if it is closed. */
  enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (this.#free > 0 && this.#timer === undefined) {
      this.#free--;
      return undefined;
    }
    if (this.#refusal !== undefined) throw this.#refusal();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        admit: () => {
          forgetAbort?.();
          resolve();
        },
        refuse: (reason) => {
          forgetAbort?.();
          reject(reason);
        },
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        waiting.refuse(signal?.reason as Error);
      };
      this.#waiting.push(waiting);
      const forgetAbort = signal && onAbort(signal, giveUp);
    });
  }

  leave(): void {
    this.#free++;
    this.#admit();
  }

  /** Lets nobody in for so many milliseconds. */
  pause(milliseconds: number): void {
    const opensAt = performance.now() + milliseconds;
    if (opensAt <= this.#opensAt) return;
    this.#opensAt = opensAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.resume();
    }, milliseconds);
  }

  /** Lets nobody in for so many milliseconds; who waits, or comes until then, is refused. */
  close(milliseconds: number, refusal: () => Error): void {
    this.pause(milliseconds);
    this.#refusal = refusal;
    for (const { refuse } of this.#waiting.splice(0)) refuse(refusal());
  }

  /** Ends a pause. */
  resume(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#refusal = undefined;
    this.#opensAt = 0;
    this.#admit();
  }

  #admit(): void {
    while (this.#free > 0 && this.#timer === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#free--;
      next.admit();
    }
  }
}
