/** What the process counts from its start to its end, whatever the configuration: for `/metrics`, and in part for `/status`. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { countedAs, type RequestCount } from '../registry/http/transport/request-counts.ts';
import type { SentRequest } from '../registry/http/transport/sent-request.ts';
import type { BusCounts } from '../triggers/bus/bus.ts';
import type { QueryCounts } from './documents/questions.ts';
import type { RebuildEvents } from './site.ts';

/** Upper bounds in seconds. */
const REQUEST_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const REBUILD_BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];

/** Events since the start. */
export interface EventCounts {
  /** That led to a rebuild. */
  triggered: number;
  /** Of other kinds, or of repositories and tags that no index takes. */
  ignored: number;
  malformed: number;
}

export class Figures {
  readonly requests = new RequestFigures();
  readonly events: EventCounts = { triggered: 0, ignored: 0, malformed: 0 };
  readonly queries: QueryCounts = { hits: 0, misses: 0 };
  readonly bus: BusCounts = { triggered: 0, ignored: 0, malformed: 0, reconnects: 0 };
  readonly #process = new Registry();
  readonly #rebuilds = new RebuildFigures();
  readonly #registryRequests = new Counter({ name: 'regindexer_registry_requests_total', help: 'Requests to registries, by the status of the answer.', labelNames: ['registry', 'status'], registers: [] });

  /** Begins to measure process, memory, garbage collection and the delay of the event loop: one is enough, for that never ends. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.#process });
  }

  /** Counts the rebuilds of `rebuilds`, which are of `registries`, from now on. */
  follow(rebuilds: RebuildEvents, registries: ReadonlySet<string>): void {
    this.#rebuilds.follow(rebuilds, registries);
  }

  /** Counts a request that was made to a registry. */
  countRegistryRequest(request: SentRequest): void {
    this.#registryRequests.inc(countedAs(request));
  }

  /** Adds requests that were made to registries. */
  addRegistryRequests(requests: readonly RequestCount[]): void {
    for (const { registry, status, count } of requests) this.#registryRequests.inc({ registry, status }, count);
  }

  /** All but what a server tells by itself, in the format of Prometheus. */
  async metrics(): Promise<string> {
    const registries = new Registry();
    registries.registerMetric(this.#registryRequests);
    return (await Promise.all([this.#process, this.requests.registry, this.#rebuilds.registry, registries].map((registry) => registry.metrics()))).join('\n');
  }
}

/** How many requests were answered, how, and how fast. */
export class RequestFigures {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #answers = new Counter({ name: 'regindexer_http_requests_total', help: 'Requests that were answered, by route.', labelNames: ['method', 'route', 'status'], registers: this.#registers });
  readonly #durations = new Histogram({ name: 'regindexer_http_request_duration_seconds', help: 'How long answers took.', labelNames: ['route'], buckets: REQUEST_BUCKETS, registers: this.#registers });

  /** @param route its pattern: there are only so many */
  count(route: string, method: string, status: number, seconds: number): void {
    this.counter(route, method, status)(seconds);
  }

  /** Counts one answer of this kind, that took so many seconds, each time that it is called. */
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
