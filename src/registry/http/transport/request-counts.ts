/** Counts the requests of this thread by registry and by the status of the answer, as undici tells of them. */
import { onOutcome, targetOf, type Published } from './published-requests.ts';

export interface RequestCount {
  /** The `id` of a registry, or `other` for what it leads to: token servers and stores of blobs. */
  readonly registry: string;
  /** The HTTP status, or `error` where none came. */
  readonly status: string;
  readonly count: number;
}

const OTHER = 'other';

export class RequestCounts implements Disposable {
  readonly #registries = new Map<string, string>();
  readonly #outcomes: Disposable;
  #counts = new Map<string, RequestCount>();

  /** @param registries the ids of registries; those that are no URLs are never asked over HTTP */
  constructor(registries: Iterable<string> = []) {
    this.know(registries);
    this.#outcomes = onOutcome(({ request, response }) => this.#count(request, String(response?.statusCode ?? 'error')));
  }

  /** Tells these apart, too, from now on. */
  know(registries: Iterable<string>): void {
    for (const id of registries) if (/^https?:/.test(id)) this.#registries.set(new URL(id).origin, id);
  }

  /** What was counted since this was last called. */
  take(): readonly RequestCount[] {
    const counts = [...this.#counts.values()];
    this.#counts = new Map();
    return counts;
  }

  [Symbol.dispose](): void {
    this.#outcomes[Symbol.dispose]();
  }

  #count(request: Published['request'], status: string): void {
    const registry = this.#registries.get(targetOf(request).origin) ?? OTHER;
    const key = `${registry} ${status}`;
    this.#counts.set(key, { registry, status, count: (this.#counts.get(key)?.count ?? 0) + 1 });
  }
}
