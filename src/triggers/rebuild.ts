/** A rebuild as the queue tells of it. */
import type { IndexResult, RebuildFailure, RebuildProgress, RebuildResult, RebuildScope } from '../indexing/rebuild.ts';

export type RebuildState = 'queued' | 'running' | 'done' | 'failed';

/**
 * What was known of a rebuild at one moment; it never changes. Times are milliseconds since the epoch.
 * One over several registries has a rebuild for each in `rebuilds`, and no registry, progress and result of its own.
 */
export interface Rebuild {
  readonly id: string;
  readonly registry?: string;
  readonly rebuilds?: readonly Rebuild[];
  /** Why it was asked for: the first ten different reasons. */
  readonly reasons: readonly string[];
  /** How many more times it was asked for, for other reasons. */
  readonly otherReasons: number;
  readonly scope: RebuildScope;
  readonly state: RebuildState;
  readonly queuedAt: number;
  /** When an attempt after a failure is to begin, unless something else is asked for before. */
  readonly dueAt?: number | undefined;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** While it runs. */
  readonly progress?: RebuildProgress;
  readonly result?: RebuildSummary;
  /** Why it failed, in one line. */
  readonly error?: string;
}

/** What is kept of a {@link RebuildResult}. */
export interface RebuildSummary {
  readonly repositories: number;
  readonly requests: number;
  readonly newImages: number;
  /** How many repositories could not be read. */
  readonly failed: number;
  /** The first of them. */
  readonly failures: readonly Omit<RebuildFailure, 'detail'>[];
  readonly indexes: readonly IndexResult[];
}

/** Says whether it runs or waits. */
export function isLive({ state }: Rebuild): boolean {
  return state === 'queued' || state === 'running';
}

const MAX_FAILURES = 20;

/** What a history can afford to keep of `result`, and everybody may see. */
export function summarize({ repositories, requests, newImages, failures, indexes }: RebuildResult): RebuildSummary {
  return { repositories, requests, newImages, failed: failures.length, failures: failures.slice(0, MAX_FAILURES).map(({ detail: _detail, ...failure }) => failure), indexes };
}
