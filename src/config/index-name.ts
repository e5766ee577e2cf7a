/** Names of indexes in the configuration file. */
import { Type } from 'typebox';

/** First path segments that the server's own routes have. */
export const ROUTES: ReadonlySet<string> = new Set([
  'index',
  'icons',
  'healthz',
  'readyz',
  'status',
  'metrics',
  'reindex',
  'events',
  'v2',
  'api',
  'page',
  'openapi.json',
]);

/** A name of an index, which is also a path segment of its URLs. */
export function indexName() {
  const pattern = Type.String({
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    expected: 'a name such as apps, of letters, digits, ".", "_" and "-"',
  });
  return Type.Refine(
    pattern,
    (name) => !ROUTES.has(name),
    () => "has the name of one of the server's own routes",
  );
}
