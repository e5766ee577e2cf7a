/** The schedule: a full rebuild of each registry, a while after its last one has ended. */
import type { RebuildQueue } from './rebuild-queue.ts';
import type { Rebuild } from './rebuild.ts';

/** Of the interval, either way: so that several servers do not ask a registry at the same moment for ever. */
const JITTER = 0.1;
/** Timers cannot wait for longer (2^31 - 1 ms, about 25 days). */
const LONGEST_TIMER = 2_147_483_647;

export interface ScheduleOptions {
  readonly queue: RebuildQueue;
  /** The ids of the registries. */
  readonly registries: Iterable<string>;
  /** From the end of one full rebuild to the next, in milliseconds; 0 means never. */
  readonly interval: number;
}

/** It does not matter what the last full rebuild was asked for by; while one runs, none is asked for. */
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

  /** Begins to count, also for a registry that is never rebuilt for any other reason. Call it before the first rebuild is asked for. */
  start(): void {
    const { queue, registries, interval } = this.#options;
    if (interval === 0) return;
    queue.on('started', this.#onStarted).on('finished', this.#onFinished);
    for (const registry of registries) this.#wait(registry);
  }

  /** Asks for nothing more. Call it before the queue is closed. */
  stop(): void {
    this.#options.queue.off('started', this.#onStarted).off('finished', this.#onFinished);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #wait(registry: string): void {
    const { queue, interval } = this.#options;
    const pause = interval * (1 - JITTER + 2 * JITTER * Math.random());
    clearTimeout(this.#timers.get(registry));
    const timer = setTimeout(() => {
      queue.request({ reason: 'schedule', scope: { kind: 'registry', registry } });
    }, Math.min(pause, LONGEST_TIMER));
    this.#timers.set(registry, timer);
  }
}

function isFull(rebuild: Rebuild): rebuild is Rebuild & { readonly registry: string } {
  return rebuild.registry !== undefined && rebuild.scope.indexes === 'all';
}
