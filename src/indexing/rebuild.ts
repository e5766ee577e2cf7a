/** What a rebuild of one registry's indexes is asked to do, tells while it works, and gives in the end. */
import type { AppChanges } from './appdata/app-changes.ts';

/**
 * How much of one registry to read again: all that some of its indexes want, and some repositories,
 * each with all its tags or only a few. Every index over the registry is brought up to date with what was read.
 */
export interface RebuildScope {
  readonly indexes: 'all' | ReadonlySet<string>;
  readonly repositories: ReadonlyMap<string, 'all' | ReadonlySet<string>>;
  /** What the registry says is gone goes at once, however much that is. */
  readonly acceptLosses?: boolean;
}

/** The scope of a full rebuild. */
export const EVERYTHING: RebuildScope = { indexes: 'all', repositories: new Map() };

/** Where a running rebuild is. Totals grow while the registry is still listing. */
export interface RebuildProgress {
  readonly phase: 'scanning' | 'rendering';
  readonly repositories: { readonly done: number; readonly total: number };
  /** Images whose manifest and config were fetched by this rebuild. */
  readonly images: { readonly done: number; readonly total: number };
  readonly requests: number;
}

/** A repository, or the whole registry (no `repository`), that could not be read; what was known before is kept. */
export interface RebuildFailure {
  readonly repository?: string;
  /** In words for everybody. */
  readonly error: string;
  /** All that is known, for the log alone; absent where `error` says it. */
  readonly detail?: string;
}

/** Images of an index that the registry says are gone, and that are shown until the next full scan finds the same. */
export interface HeldImages {
  readonly images: number;
  /** How many the index shows with them. */
  readonly of: number;
}

/** What a rebuild did to one index. */
export interface IndexResult {
  readonly index: string;
  readonly images: number;
  /** Of the whole index, uncompressed. */
  readonly bytes: number;
  readonly changed: boolean;
  /** Which apps came, went and changed; only where `changed`. */
  readonly apps?: AppChanges;
  /** Rounded to milliseconds. */
  readonly seconds: number;
  /** Why the index could not be rendered or written; the previous one stays. */
  readonly error?: string;
  readonly held?: HeldImages;
  /** Something in the index that the administrator should see, such as an icon that is not a PNG. */
  readonly warnings: readonly string[];
}

export interface RebuildResult {
  readonly registry: string;
  /** Rounded to milliseconds. */
  readonly seconds: number;
  readonly repositories: number;
  readonly requests: number;
  /** Images that were not known before. */
  readonly newImages: number;
  readonly failures: readonly RebuildFailure[];
  readonly indexes: readonly IndexResult[];
}
