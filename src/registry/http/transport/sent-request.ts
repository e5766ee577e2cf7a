/** Reports of the requests to registries. */

/** The outcome of a request to a registry, or to another host that it names, such as a token server or blob store. */
export interface SentRequest {
  /** The registry's `id`; `undefined` for another host. */
  readonly registry: string | undefined;
  readonly method: string;
  /** The URL without its query, which may hold a signature. */
  readonly url: string;
  /** The HTTP status; `undefined` if there was no answer. */
  readonly status?: number | undefined;
  /** The reason why there was no answer. */
  readonly error?: string | undefined;
  /** The time until the head of the answer, in seconds; waiting for a connection included. */
  readonly seconds: number;
}

/** Called once for each request, when its answer begins or it fails. */
export type OnRequest = (request: SentRequest) => void;

/** Describes a request for the log. */
export function describeSent({ method, url, status, error }: SentRequest): string {
  return `${method} ${url}: ${status ?? error ?? 'failed'}`;
}
