/** What became of each request to a registry. */

/** A request to a registry, or to what it leads to: token servers and stores of blobs. */
export interface SentRequest {
  /** The registry's URL, as its `id`; `undefined` where another host was asked. */
  readonly registry: string | undefined;
  readonly method: string;
  /** Without its query, which may hold a signature. */
  readonly url: string;
  /** The HTTP status; `undefined` where none came. */
  readonly status?: number | undefined;
  /** Why none came. */
  readonly error?: string | undefined;
  /** Until the head of the answer, waiting for a connection included. */
  readonly seconds: number;
}

/** Told once of each request, when its answer begins or it fails. */
export type OnRequest = (request: SentRequest) => void;

/** The request in words for the log. */
export function describeSent({ method, url, status, error }: SentRequest): string {
  return `${method} ${url}: ${status ?? error ?? 'failed'}`;
}
