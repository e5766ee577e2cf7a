/** Tells of each request of this thread when its answer begins or it fails, as undici tells of them. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { CREATED, onOutcome, targetOf, type Published } from './published-requests.ts';

/** A request to a registry, or to what it leads to: token servers and stores of blobs. */
export interface LoggedRequest {
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

/** Has `onRequest` told of each request from now on; what is returned ends that. */
export function logRequests(onRequest: (request: LoggedRequest) => void): Disposable {
  /** When each request was made, on the clock of `performance.now()`. */
  const created = new WeakMap<Published['request'], number>();
  const onCreate = (message: unknown): void => {
    created.set((message as Published).request, performance.now());
  };
  subscribe(CREATED, onCreate);
  const outcomes = onOutcome(({ request, response, error }) => {
    const start = created.get(request);
    // It was made before anybody listened.
    if (start === undefined) return;
    const { method = 'GET' } = request;
    const { origin, path } = targetOf(request);
    const url = origin + path.split('?', 1)[0];
    onRequest({
      method,
      url,
      ...(response && { status: response.statusCode }),
      // Some errors say of which request they are.
      ...(error && { error: error.message.replace(`${method} ${url}: `, '') }),
      seconds: Math.round(performance.now() - start) / 1000,
    });
  });
  return {
    [Symbol.dispose]: () => {
      unsubscribe(CREATED, onCreate);
      outcomes[Symbol.dispose]();
    },
  };
}

/** The request in words for the log. */
export function describeLogged({ method, url, status, error }: LoggedRequest): string {
  return `${method} ${url}: ${status ?? error ?? 'failed'}`;
}
