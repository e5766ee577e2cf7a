/** What undici publishes of its requests (its `docs/api/DiagnosticsChannel.md`). */

export const CREATED = 'undici:request:create';
export const ANSWERED = 'undici:request:headers';
export const FAILED = 'undici:request:error';

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
