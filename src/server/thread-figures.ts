/** What a thread that serves counts, from its start to its end, whatever the configuration. */
import type { RequestCount } from '../registry/http/transport/request-counts.ts';
import type { QueryCounts } from './answers.ts';
import { addRoutes, RequestFigures, type RouteFigures } from './request-figures.ts';

/** What was counted until one moment. It can be cloned, so that it can be sent to another thread. */
export interface Counts {
  readonly routes: ReadonlyMap<string, RouteFigures>;
  readonly queries: QueryCounts;
  readonly registryRequests: readonly RequestCount[];
}

export class ThreadFigures {
  readonly requests = new RequestFigures();
  readonly queries: QueryCounts = { hits: 0, misses: 0 };
  readonly #registryRequests = new Map<string, RequestCount>();
  readonly #take: () => readonly RequestCount[];

  /** @param take gives the requests to registries that this thread has made since it was last called */
  constructor(take: () => readonly RequestCount[] = () => []) {
    this.#take = take;
  }

  /** Adds requests that were made to registries. */
  addRegistryRequests(requests: readonly RequestCount[]): void {
    for (const { registry, status, count } of requests) {
      const key = `${registry} ${status}`;
      this.#registryRequests.set(key, { registry, status, count: count + (this.#registryRequests.get(key)?.count ?? 0) });
    }
  }

  counts(): Counts {
    this.addRegistryRequests(this.#take());
    return { routes: this.requests.routes, queries: this.queries, registryRequests: [...this.#registryRequests.values()] };
  }
}

/** What several threads have counted. */
export function sumOf(threads: readonly Counts[]): Counts {
  const sum = new ThreadFigures();
  for (const { routes, queries, registryRequests } of threads) {
    addRoutes(sum.requests.routes, routes);
    sum.queries.hits += queries.hits;
    sum.queries.misses += queries.misses;
    sum.addRegistryRequests(registryRequests);
  }
  return sum.counts();
}
