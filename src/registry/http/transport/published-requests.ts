/** What undici publishes of its requests (its `docs/api/DiagnosticsChannel.md`). */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';

export const CREATED = 'undici:request:create';
const ANSWERED = 'undici:request:headers';
const FAILED = 'undici:request:error';

export interface Published {
  readonly request: { readonly method?: string; readonly origin?: string | URL; readonly path?: string };
  readonly response?: { readonly statusCode: number };
  readonly error?: Error;
}

/** Where a request goes, whatever proxy it is sent to: `origin` without a slash at its end, `path` with the query. Of a tunnel only the path is known, which is host and port. */
export function targetOf({ method, origin = '', path = '' }: Published['request']): { readonly origin: string; readonly path: string } {
  if (method === 'CONNECT') return { origin: '', path };
  // As a proxy is asked for it (RFC 9112, section 3.2.2).
  const absolute = /^(https?:\/\/[^/?]*)(.*)$/.exec(path);
  if (absolute) return { origin: absolute[1] ?? '', path: absolute[2] ?? '' };
  return { origin: String(origin).replace(/\/$/, ''), path };
}

/** Tells once of each request of this thread, when its answer begins or it fails; what is returned ends that. */
export function onOutcome(tell: (published: Published) => void): Disposable {
  const told = new WeakSet<Published['request']>();
  const onEnd = (message: unknown): void => {
    const published = message as Published;
    // An answer that has begun may break off, or be given up.
    if (told.has(published.request)) return;
    told.add(published.request);
    tell(published);
  };
  subscribe(ANSWERED, onEnd);
  subscribe(FAILED, onEnd);
  return {
    [Symbol.dispose]: () => {
      unsubscribe(ANSWERED, onEnd);
      unsubscribe(FAILED, onEnd);
    },
  };
}
