/** What undici publishes of its requests (its `docs/api/DiagnosticsChannel.md`). */

export const CREATED = 'undici:request:create';
export const ANSWERED = 'undici:request:headers';
export const FAILED = 'undici:request:error';

export interface Published {
  readonly request: { readonly method?: string; readonly origin?: string | URL; readonly path?: string };
  readonly response?: { readonly statusCode: number };
  readonly error?: Error;
}

/** Without a slash at its end. */
export function originOf({ origin = '' }: Published['request']): string {
  return String(origin).replace(/\/$/, '');
}
