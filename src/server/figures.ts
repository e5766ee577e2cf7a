/**
 * Metrics that the service counts from start to shutdown, across reloads: for `/metrics`, and in part for `/status`.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { countedAs, type RequestCount } from '../registry/http/transport/request-counts.ts';
import type { SentRequest } from '../registry/http/transport/sent-request.ts';
import type { DeltaOutcome } from '../store/deltas.ts';
import type { ReadOperation } from '../store/timed-reader.ts';
import type { BusCounts } from '../triggers/bus/bus.ts';
import type { QueryCounts } from './documents/questions.ts';
import type { DeltaStatus, RebuildEvents } from './site.ts';

/** Upper bounds in seconds. */
const REQUEST_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const READ_BUCKETS = [0.0001, 0.001, 0.01, 0.1, 1, 10];
const REBUILD_BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];

/** Notifications since the start. */
export interface EventCounts {
  /** Changes that led to a rebuild. */
  triggered: number;
  /** Notifications of other kinds, and of repositories and tags that no index includes. */
  ignored: number;
  malformed: number;
}

/** Notifications for one registry since the start. */
export interface RegistryNotifications {
  /** Changes that led to a rebuild. */
  readonly triggered: number;
  /** When the last of them came, in milliseconds since the epoch. */
  readonly last: number;
}

/** The metrics of one service. */
export class Figures {
  readonly requests = new RequestFigures();
  readonly events: EventCounts = { triggered: 0, ignored: 0, malformed: 0 };
  /** By the id of the registry; those without a notification are absent. */
  readonly notifications = new Map<string, RegistryNotifications>();
  readonly queries: QueryCounts = { hits: 0, misses: 0 };
  readonly bus: BusCounts = { triggered: 0, ignored: 0, malformed: 0, reconnects: 0 };
  readonly deltas = new DeltaFigures();
  readonly #process = new Registry();
  readonly #rebuilds = new RebuildFigures();
  readonly #registryRequests = new Counter({
    name: 'regindexer_registry_requests_total',
    help: 'Requests to registries, by response status.',
    labelNames: ['registry', 'status'],
    registers: [],
  });

  readonly #storeReads = new Histogram({
    name: 'regindexer_store_read_duration_seconds',
    help: 'Duration of reads from the store for answers, by operation.',
    labelNames: ['operation'],
    buckets: READ_BUCKETS,
    registers: [],
  });

  /** Answers that failed because the database that replicas share could not be reached. */
  readonly databaseUnavailable = new Counter({
    name: 'regindexer_database_unavailable_answers_total',
    help: 'Answers that failed because the database could not be reached.',
    registers: [],
  });

  /**
   * Starts to measure process, memory, garbage collection and event loop delay. Call it once in a process: it cannot be
   * stopped.
   */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#process });
  }

  /** Counts the rebuilds of this queue, which reads `registries`, from now on. */
  follow(rebuilds: RebuildEvents, registries: ReadonlySet<string>): void {
    this.#rebuilds.follow(rebuilds, registries);
  }

  /** Forgets what only the last rebuild knows: from now on, another replica rebuilds. */
  forgetRebuilds(): void {
    this.#rebuilds.forget();
    this.deltas.forget();
  }

  /** Counts a change that a notification tells of, for its registry. */
  countNotification(registry: string): void {
    const triggered = (this.notifications.get(registry)?.triggered ?? 0) + 1;
    this.notifications.set(registry, { triggered, last: Date.now() });
  }

  /** Counts a request to a registry. */
  countRegistryRequest(request: SentRequest): void {
    this.#registryRequests.inc(countedAs(request));
  }

  /** Adds requests to registries that were counted elsewhere. */
  addRegistryRequests(requests: readonly RequestCount[]): void {
    for (const { registry, status, count } of requests) this.#registryRequests.inc({ registry, status }, count);
  }

  /** Counts one read from the store. */
  readonly countStoreRead = (operation: ReadOperation, seconds: number): void => {
    this.#storeReads.observe({ operation }, seconds);
  };

  /** Returns these metrics in the text format of Prometheus. */
  async metrics(): Promise<string> {
    const others = new Registry();
    others.registerMetric(this.#registryRequests);
    others.registerMetric(this.#storeReads);
    others.registerMetric(this.databaseUnavailable);
    return (
      await Promise.all(
        [this.#process, this.requests.registry, this.#rebuilds.registry, this.deltas.registry, others].map((registry) =>
          registry.metrics(),
        ),
      )
    ).join('\n');
  }
}

/** Deltas that were made, and those that there are. */
export class DeltaFigures {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #ended = new Counter({
    name: 'regindexer_deltas_total',
    help: 'Deltas that were tried to make, by result.',
    labelNames: ['result'],
    registers: this.#registers,
  });
  readonly #duration = new Histogram({
    name: 'regindexer_delta_duration_seconds',
    help: 'Duration of making a delta, whatever came of it.',
    buckets: REBUILD_BUCKETS,
    registers: this.#registers,
  });
  readonly #kept = this.#gauge('regindexer_deltas_kept', 'Deltas that clients can use.');
  readonly #pending = this.#gauge('regindexer_deltas_pending', 'Deltas that are still to be made.');
  readonly #stored = this.#gauge('regindexer_delta_store_bytes', 'Size of all deltas in the store.');
  readonly #saved = this.#gauge(
    'regindexer_delta_saved_bytes',
    'Bytes that one download of each kept delta saves, beside the layers.',
  );

  /** Counts one that was made, or failed. */
  count(result: DeltaOutcome['kind'], seconds: number): void {
    this.#ended.inc({ result });
    this.#duration.observe(seconds);
  }

  /** Shows what there is now. */
  show({ made, pending, saved, stored }: Pick<DeltaStatus, 'made' | 'pending' | 'saved' | 'stored'>): void {
    this.#kept.set(made);
    this.#pending.set(pending);
    this.#stored.set(stored);
    this.#saved.set(saved);
  }

  /** Forgets what only the replica knows that leads. */
  forget(): void {
    for (const gauge of [this.#kept, this.#pending, this.#stored, this.#saved]) gauge.reset();
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: this.#registers });
  }
}

/** Counts and durations of answered requests. */
export class RequestFigures {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #answers = new Counter({
    name: 'regindexer_http_requests_total',
    help: 'Answered requests, by method, route and status.',
    labelNames: ['method', 'route', 'status'],
    registers: this.#registers,
  });
  readonly #durations = new Histogram({
    name: 'regindexer_http_request_duration_seconds',
    help: 'Duration of requests.',
    labelNames: ['route'],
    buckets: REQUEST_BUCKETS,
    registers: this.#registers,
  });

  /**
   * Counts one answer.
   * @param route the pattern of the route, not the path: labels must be few
   */
  count(route: string, method: string, status: number, seconds: number): void {
    this.counter(route, method, status)(seconds);
  }

  /** Returns a function that counts one answer of this kind; faster than {@link count} where the kind is known. */
  counter(route: string, method: string, status: number): (seconds: number) => void {
    const [answers, durations] = [this.#answers.labels(method, route, String(status)), this.#durations.labels(route)];
    return (seconds) => {
      answers.inc();
      durations.observe(seconds);
    };
  }
}

class RebuildFigures {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #ended = new Counter({
    name: 'regindexer_rebuilds_total',
    help: 'Finished rebuilds, by result.',
    labelNames: ['registry', 'result'],
    registers: this.#registers,
  });
  readonly #duration = new Histogram({
    name: 'regindexer_rebuild_duration_seconds',
    help: 'Duration of rebuilds.',
    labelNames: ['registry'],
    buckets: REBUILD_BUCKETS,
    registers: this.#registers,
  });
  readonly #failed = new Gauge({
    name: 'regindexer_failed_repositories',
    help: 'Repositories that the last rebuild could not read.',
    labelNames: ['registry'],
    registers: this.#registers,
  });
  readonly #last = new Gauge({
    name: 'regindexer_last_successful_rebuild_timestamp_seconds',
    help: 'Time of the last successful rebuild.',
    labelNames: ['registry'],
    registers: this.#registers,
  });

  readonly #held = new Gauge({
    name: 'regindexer_index_held_images',
    help: 'Images that the registry reports as gone, kept until the next full scan confirms it.',
    labelNames: ['index'],
    registers: this.#registers,
  });
  /** Registries of the queue that is followed. */
  #registries: ReadonlySet<string> = new Set();

  follow(rebuilds: RebuildEvents, registries: ReadonlySet<string>): void {
    // Stale values of removed registries would raise alerts; the others are soon read again.
    this.forget();
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

  forget(): void {
    this.#failed.reset();
    this.#held.reset();
  }
}
