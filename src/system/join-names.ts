/** Most names that a line lists. */
export const MAX_NAMED = 3;

/** Joins the first few names, and counts the others, as `a, b, c and 4 more`. */
export function joinNames(names: readonly string[], count: number = names.length): string {
  const shown = names.slice(0, MAX_NAMED);
  return `${shown.join(', ')}${count > shown.length ? ` and ${count - shown.length} more` : ''}`;
}
