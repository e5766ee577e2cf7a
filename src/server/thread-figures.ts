/** What a thread that serves counts, from its start to its end, whatever the configuration. */
import type { RequestCount } from '../registry/http/transport/request-counts.ts';
import { addRoutes, RequestFigures, type RouteFigures } from './request-figures.ts';

/** What was counted until one moment. It can be cloned, so that it can be sent to another thread. */
export interface Counts {
  readonly routes: ReadonlyMap<string, RouteFigures>;
  readonly registryRequests: readonly RequestCount[];
}

export class ThreadFigures {
  readonly requests = new RequestFigures();
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
    return { routes: this.requests.routes, registryRequests: [...this.#registryRequests.values()] };
  }
}

/** What several threads have counted. */
export function sumOf(threads: readonly Counts[]): Counts {
  const sum = new ThreadFigures();
  for (const { routes, registryRequests } of threads) {
    addRoutes(sum.requests.routes, routes);
    sum.addRegistryRequests(registryRequests);
  }
  return sum.counts();
}
