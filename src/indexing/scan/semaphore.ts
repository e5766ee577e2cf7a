/** Limits how many tasks run at once, for several lists together. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Calls `run` for each value as soon as there is a permit. A list waits for one permit at a time, so that long lists
   * do not block short ones.
   * @throws the error of the first `run` that fails, after which no more are called
   */
  async forEach<T>(values: Iterable<T>, run: (value: T) => Promise<void>): Promise<void> {
    const running = new Set<Promise<void>>();
    let failure: { readonly reason: unknown } | undefined;
    for (const value of values) {
      if (this.#free > 0) this.#free--;
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (failure !== undefined) {
        this.#leave();
        break;
      }
      const ran = run(value)
        .catch((reason: unknown) => {
          failure ??= { reason };
        })
        .finally(() => {
          running.delete(ran);
          this.#leave();
        });
      running.add(ran);
    }
    await Promise.all(running);
    if (failure !== undefined) throw failure.reason;
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
