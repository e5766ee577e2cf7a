/** What went wrong in a rebuild that came to its end, and what of it must be tried again. */
import type { RebuildResult, RebuildScope } from '../indexing/rebuild.ts';

/** `result` with all that is known of its failures, for the log. */
export function withDetails(result: RebuildResult): RebuildResult {
  return { ...result, failures: result.failures.map(({ detail, error, ...failure }) => ({ ...failure, error: detail ?? error })) };
}

/** Why `result` is no success, in one line; `undefined` if it is one. */
export function failureOf({ failures, indexes }: RebuildResult): string | undefined {
  const errors = failures.map(({ repository, error }) => (repository === undefined ? error : `${repository}: ${error}`));
  for (const { index, error } of indexes) if (error !== undefined) errors.push(`index ${index}: ${error}`);
  const [first, ...others] = errors;
  if (first === undefined) return undefined;
  return others.length === 0 ? first : `${first} (and ${others.length} more)`;
}

/**
 * The least that makes good what failed in a rebuild of `scope`: the repositories that could not be read, or the same again if
 * the registry itself could not. An index that could not be written is made anew by every rebuild, whatever it reads.
 */
export function scopeToRetry(scope: RebuildScope, { failures }: RebuildResult): RebuildScope {
  const repositories = new Map<string, 'all' | ReadonlySet<string>>();
  for (const { repository } of failures) {
    if (repository === undefined) return scope;
    // Tags alone are asked for again only if nothing else in the scope can have led to the repository.
    const onlyNamed = scope.indexes !== 'all' && scope.indexes.size === 0;
    repositories.set(repository, (onlyNamed ? scope.repositories.get(repository) : undefined) ?? 'all');
  }
  return { indexes: new Set(), repositories, ...(scope.acceptLosses === true && { acceptLosses: true }) };
}
