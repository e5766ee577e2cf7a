/** Counts requests by registry and status. */
import type { SentRequest } from './sent-request.ts';

/** The number of requests with one outcome. */
export interface RequestCount {
  /** The registry's `id`; `other` for other hosts, such as token servers and blob stores. */
  readonly registry: string;
  /** The HTTP status; `error` if there was no answer. */
  readonly status: string;
  readonly count: number;
}

/** Counters of requests since the last {@link take}. */
export class RequestCounts {
  #counts = new Map<string, RequestCount>();

  /** Counts a request. */
  readonly count = (request: SentRequest): void => {
    const { registry, status } = countedAs(request);
    const key = `${registry} ${status}`;
    this.#counts.set(key, { registry, status, count: (this.#counts.get(key)?.count ?? 0) + 1 });
  };

  /** Returns the counts since the last call, and resets them. */
  take(): readonly RequestCount[] {
    const counts = [...this.#counts.values()];
    this.#counts = new Map();
    return counts;
  }
}

/** The counter of a request. */
export function countedAs({ registry = 'other', status }: SentRequest): Omit<RequestCount, 'count'> {
  return { registry, status: status === undefined ? 'error' : String(status) };
}
