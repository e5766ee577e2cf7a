/** Difference between the chunks of two versions of an index, which is much smaller than the names of all. */

/** Replaces a run of chunks. */
export interface ChunkChange {
  readonly start: number;
  readonly removed: number;
  readonly added: readonly string[];
}

/** Finds the shortest run to replace. */
export function changeBetween(before: readonly string[], after: readonly string[]): ChunkChange {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  return { start, removed: before.length - start - end, added: after.slice(start, after.length - end) };
}

/** Returns the chunks after a change. */
export function applyChange(before: readonly string[], { start, removed, added }: ChunkChange): readonly string[] {
  return before.toSpliced(start, removed, ...added);
}
