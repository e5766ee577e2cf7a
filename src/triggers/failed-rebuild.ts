/** The failures of a finished rebuild, and the scope of its retry. */
import type { RebuildResult, RebuildScope } from '../indexing/rebuild.ts';

/** `result` with the detailed errors of its failures, for the log. */
export function withDetails(result: RebuildResult): RebuildResult {
  return {
    ...result,
    failures: result.failures.map(({ detail, error, ...failure }) => ({ ...failure, error: detail ?? error })),
  };
}

/** The failures of `result` in one line; `undefined` if there are none. */
export function failureOf({ failures, indexes }: RebuildResult): string | undefined {
  const errors = failures.map(({ repository, error }) =>
    repository === undefined ? error : `${repository}: ${error}`,
  );
  for (const { index, error } of indexes) if (error !== undefined) errors.push(`index ${index}: ${error}`);
  const [first, ...others] = errors;
  if (first === undefined) return undefined;
  return others.length === 0 ? first : `${first} (and ${others.length} more)`;
}

/**
 * The smallest scope that retries the failures of a rebuild of `scope`: the repositories that could not be read, or all
 * of it if the registry could not. Indexes that could not be written need no scope: every rebuild writes them again.
 */
export function scopeToRetry(scope: RebuildScope, { failures }: RebuildResult): RebuildScope {
  const repositories = new Map<string, 'all' | ReadonlySet<string>>();
  for (const { repository } of failures) {
    if (repository === undefined) return scope;
    // Retries single tags only if nothing else in the scope can have included the repository.
    const onlyNamed = scope.indexes !== 'all' && scope.indexes.size === 0;
    repositories.set(repository, (onlyNamed ? scope.repositories.get(repository) : undefined) ?? 'all');
  }
  return { indexes: new Set(), repositories, ...(scope.acceptLosses === true && { acceptLosses: true }) };
}
