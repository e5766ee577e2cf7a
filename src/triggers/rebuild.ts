/** The state of a rebuild in the queue. */
import type { IndexResult, RebuildFailure, RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';

/** The states of a rebuild. */
export type RebuildState = 'queued' | 'running' | 'done' | 'failed';

/**
 * An immutable snapshot of a rebuild. Times are in milliseconds since the epoch.
 * A combined rebuild has one for each registry in `rebuilds`, and no registry, progress or result of its own.
 */
export interface Rebuild {
  readonly id: string;
  readonly registry?: string;
  readonly rebuilds?: readonly Rebuild[];
  /** The first ten different reasons for which it was requested. */
  readonly reasons: readonly string[];
  /** The number of requests with other reasons. */
  readonly otherReasons: number;
  readonly scope: RebuildScope;
  readonly state: RebuildState;
  readonly queuedAt: number;
  /** When a retry is due. */
  readonly dueAt?: number | undefined;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** The progress while it is running. */
  readonly progress?: RebuildProgress;
  readonly result?: RebuildSummary;
  /** The reason why it failed, in one line. */
  readonly error?: string;
}

/** A rebuild of one registry. */
export type RegistryRebuild = Rebuild & { readonly registry: string };

/** The part of a {@link RebuildResult} that is kept. */
export interface RebuildSummary {
  readonly repositories: number;
  readonly requests: number;
  readonly newImages: number;
  /** The number of failures. */
  readonly failed: number;
  /** The first failures. */
  readonly failures: readonly Omit<RebuildFailure, 'detail'>[];
  readonly indexes: readonly IndexResult[];
}

/** Says whether a rebuild is queued or running. */
export function isLive({ state }: Rebuild): boolean {
  return state === 'queued' || state === 'running';
}

const MAX_FAILURES = 20;

/** A short form of `result` without details that must not be public. */
export function summarize({ repositories, requests, newImages, failures, indexes }: RebuildResult): RebuildSummary {
  return {
    repositories,
    requests,
    newImages,
    failed: failures.length,
    failures: failures.slice(0, MAX_FAILURES).map(({ detail: _detail, ...failure }) => failure),
    indexes: indexes.map((index) => ({ ...index, seconds: Math.round(index.seconds * 1000) / 1000 })),
  };
}

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
