/** Lets a number of requests through at once, and none for a time when the registry asks for it. */
import { onAbort } from './on-abort.ts';

export class Gate {
  readonly #waiting: (() => void)[] = [];
  #free: number;
  #opensAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(places: number) {
    this.#free = places;
  }

  /** Takes a place, waiting for one if need be. Each place is given back by {@link leave}. */
  enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    signal?.throwIfAborted();
    if (this.#free > 0 && this.#timer === undefined) {
      this.#free--;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        forgetAbort?.();
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(signal?.reason);
      };
      this.#waiting.push(admit);
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

  /** Ends a pause. */
  resume(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#opensAt = 0;
    this.#admit();
  }

  #admit(): void {
    while (this.#free > 0 && this.#timer === undefined) {
      const admit = this.#waiting.shift();
      if (admit === undefined) return;
      this.#free--;
      admit();
    }
  }
}
