/** Exponential backoff with jitter. */

/** The limits of the pauses between attempts, in milliseconds. */
export interface BackoffLimits {
  /** The most that the first pause may be. */
  readonly first: number;
  /** The most that any pause may be. */
  readonly longest: number;
}

/**
 * The pause before the next attempt, in milliseconds: doubled with each failure, of which a random half is jitter.
 * @param failures in a row; at least 1
 */
export function backoff(failures: number, { first, longest }: BackoffLimits): number {
  const doubled = Math.min(first * 2 ** (failures - 1), longest);
  return doubled * (0.5 + Math.random() / 2);
}
