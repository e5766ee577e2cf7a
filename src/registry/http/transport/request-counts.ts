/** Counts requests by registry and by the status of the answer. */
import type { SentRequest } from './sent-request.ts';

export interface RequestCount {
  /** The `id` of a registry, or `other` for what it leads to: token servers and stores of blobs. */
  readonly registry: string;
  /** The HTTP status, or `error` where none came. */
  readonly status: string;
  readonly count: number;
}

export class RequestCounts {
  #counts = new Map<string, RequestCount>();

  readonly count = (request: SentRequest): void => {
    const { registry, status } = countedAs(request);
    const key = `${registry} ${status}`;
    this.#counts.set(key, { registry, status, count: (this.#counts.get(key)?.count ?? 0) + 1 });
  };

  /** What was counted since this was last called. */
  take(): readonly RequestCount[] {
    const counts = [...this.#counts.values()];
    this.#counts = new Map();
    return counts;
  }
}

/** What a request counts as. */
export function countedAs({ registry = 'other', status }: SentRequest): Omit<RequestCount, 'count'> {
  return { registry, status: status === undefined ? 'error' : String(status) };
}
