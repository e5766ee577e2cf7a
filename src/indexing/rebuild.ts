/** Scope, progress and result of a rebuild of one registry's indexes. */
import type { AppChanges } from './appdata/app-changes.ts';

/**
 * Part of one registry to read again: everything that the named indexes take, and single repositories, each with all or
 * some of its tags. All indexes of the registry are brought up to date with what was read.
 */
export interface RebuildScope {
  readonly indexes: 'all' | ReadonlySet<string>;
  readonly repositories: ReadonlyMap<string, 'all' | ReadonlySet<string>>;
  /** Believes losses at once, however large. */
  readonly acceptLosses?: boolean;
}

/** Scope of a full rebuild. */
export const EVERYTHING: RebuildScope = { indexes: 'all', repositories: new Map() };

/** Progress of a running rebuild. Totals grow while the registry is still listing. */
export interface RebuildProgress {
  readonly phase: 'scanning' | 'rendering';
  readonly repositories: { readonly done: number; readonly total: number };
  /** Images whose manifest and config were fetched by this rebuild. */
  readonly images: { readonly done: number; readonly total: number };
  readonly requests: number;
}

/** Failure to read a repository, or the whole registry (no `repository`); what was known before is kept. */
export interface RebuildFailure {
  readonly repository?: string;
  /** Message for everybody: says nothing about other hosts that the registry leads to. */
  readonly error: string;
  /** Full message, for the log only; absent if it is the same as `error`. */
  readonly detail?: string;
}

/** Images of an index that the registry says are gone, and that are held until the next full scan confirms it. */
export interface HeldImages {
  readonly images: number;
  /** Number of images that the index shows, including these. */
  readonly of: number;
}

/** Result of a rebuild for one index. */
export interface IndexResult {
  readonly index: string;
  readonly images: number;
  /** Uncompressed length of the whole index. */
  readonly bytes: number;
  readonly changed: boolean;
  /** Apps that were added, updated and removed; only if `changed`. */
  readonly apps?: AppChanges;
  /** Rounded to milliseconds. */
  readonly seconds: number;
  /** Why the index could not be rendered or written; the previous version stays. */
  readonly error?: string;
  readonly held?: HeldImages;
  /** Problems in the index for the administrator, such as an icon that is not a PNG. */
  readonly warnings: readonly string[];
}

/** Result of a rebuild. */
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
