/** Pauses between attempts: each about twice the one before, and never quite the same. */

/** Both in milliseconds. */
export interface PauseLimits {
  /** The longest that the first pause may be. */
  readonly first: number;
  /** The longest that any pause may be. */
  readonly longest: number;
}

/**
 * How long to wait, in milliseconds, after so many failures in a row (1 is the first): between half and all of what doubling gives,
 * so that those who failed together do not come back together.
 */
export function growingPause(failures: number, { first, longest }: PauseLimits): number {
  const doubled = Math.min(first * 2 ** (failures - 1), longest);
  return doubled * (0.5 + Math.random() / 2);
}
