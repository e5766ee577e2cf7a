/** Requests a full rebuild of each registry at an interval after the end of its last one. */
import type { RebuildQueue } from './rebuild-queue.ts';
import type { Rebuild } from './rebuild.ts';

/**
 * The random part of the interval in each direction, so that several services do not scan a registry at the same time.
 */
const JITTER = 0.1;
/** The longest delay of a timer, in milliseconds (2^31 - 1, about 25 days). */
const MAX_TIMER = 2_147_483_647;

/** Settings of the schedule. */
export interface ScheduleOptions {
  readonly queue: RebuildQueue;
  /** The ids of the registries. */
  readonly registries: Iterable<string>;
  /** The time from the end of one full rebuild to the next, in milliseconds; 0 for never. */
  readonly interval: number;
}

/** Timers of full rebuilds. A full rebuild that something else requested restarts the timer, too. */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #onStarted = (rebuild: Rebuild): void => {
    if (isFull(rebuild)) clearTimeout(this.#timers.get(rebuild.registry));
  };
  readonly #onFinished = (rebuild: Rebuild): void => {
    if (isFull(rebuild)) this.#wait(rebuild.registry);
  };

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** Starts the timers of all registries. Call it before the first rebuild is requested. */
  start(): void {
    const { queue, registries, interval } = this.#options;
    if (interval === 0) return;
    queue.on('started', this.#onStarted).on('finished', this.#onFinished);
    for (const registry of registries) this.#wait(registry);
  }

  /** Stops the timers. Call it before the queue is closed. */
  stop(): void {
    this.#options.queue.off('started', this.#onStarted).off('finished', this.#onFinished);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #wait(registry: string): void {
    const { queue, interval } = this.#options;
    const pause = interval * (1 - JITTER + 2 * JITTER * Math.random());
    clearTimeout(this.#timers.get(registry));
    const timer = setTimeout(
      () => {
        queue.request({ reason: 'schedule', scope: { kind: 'registry', registry } });
      },
      Math.min(pause, MAX_TIMER),
    );
    this.#timers.set(registry, timer);
  }
}

function isFull(rebuild: Rebuild): rebuild is Rebuild & { readonly registry: string } {
  return rebuild.registry !== undefined && rebuild.scope.indexes === 'all';
}
