/** What the process counts from its start to its end, whatever the configuration: for `/metrics`, and in part for `/status`. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { BusCounts } from '../triggers/bus/bus.ts';
import type { QueryCounts } from './answers.ts';
import type { EventCounts } from './routes/events.ts';
import type { RebuildEvents } from './routes/rebuild-events.ts';
import { ThreadFigures } from './thread-figures.ts';

/** Upper bounds in seconds. */
const REBUILD_BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];

export class Figures extends ThreadFigures {
  readonly events: EventCounts = { triggered: 0, ignored: 0, malformed: 0 };
  /** One thread answers the questions of all. */
  readonly queries: QueryCounts = { hits: 0, misses: 0 };
  readonly bus: BusCounts = { triggered: 0, ignored: 0, malformed: 0, reconnects: 0 };
  readonly #process = new Registry();
  readonly #rebuilds = new RebuildFigures();

  /** Begins to measure process, memory, garbage collection and the delay of the event loop: one is enough, for that never ends. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#process });
  }

  /** Counts the rebuilds of `rebuilds`, which are of `registries`, from now on. */
  follow(rebuilds: RebuildEvents, registries: ReadonlySet<string>): void {
    this.#rebuilds.follow(rebuilds, registries);
  }

  /** All but what a server tells by itself, in the format of Prometheus. */
  async metrics(): Promise<string> {
    return `${await this.#process.metrics()}\n${await this.#rebuilds.registry.metrics()}`;
  }
}

class RebuildFigures {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #ended = new Counter({ name: 'regindexer_rebuilds_total', help: 'Rebuilds that ended, by how.', labelNames: ['registry', 'result'], registers: this.#registers });
  readonly #duration = new Histogram({ name: 'regindexer_rebuild_duration_seconds', help: 'How long rebuilds took.', labelNames: ['registry'], buckets: REBUILD_BUCKETS, registers: this.#registers });
  readonly #failed = new Gauge({ name: 'regindexer_failed_repositories', help: 'Repositories that the last rebuild could not read.', labelNames: ['registry'], registers: this.#registers });
  readonly #last = new Gauge({ name: 'regindexer_last_successful_rebuild_timestamp_seconds', help: 'When the last rebuild without a failure ended.', labelNames: ['registry'], registers: this.#registers });

  readonly #held = new Gauge({ name: 'regindexer_index_held_images', help: 'Images that the registry says are gone, kept until the next full scan finds the same.', labelNames: ['index'], registers: this.#registers });

  /** Of the last. */
  #registries: ReadonlySet<string> = new Set();

  follow(rebuilds: RebuildEvents, registries: ReadonlySet<string>): void {
    // Of registries that are not read any more, nothing is known; the others are read anew.
    this.#failed.reset();
    this.#held.reset();
    for (const registry of this.#registries) if (!registries.has(registry)) this.#last.remove({ registry });
    this.#registries = registries;
    rebuilds.on('finished', ({ registry = '', state, startedAt, finishedAt = 0, result }) => {
      this.#ended.inc({ registry, result: state === 'done' ? 'success' : 'failure' });
      if (startedAt !== undefined) this.#duration.observe({ registry }, (finishedAt - startedAt) / 1000);
      if (result !== undefined) this.#failed.set({ registry }, result.failed);
      for (const { index, held } of result?.indexes ?? []) this.#held.set({ index }, held?.images ?? 0);
      if (state === 'done') this.#last.set({ registry }, finishedAt / 1000);
    });
  }
}
