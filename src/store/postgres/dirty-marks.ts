/** Marks of repositories that have to be rendered again. */

/** SQL that marks repositories for indexes: `rows` selects "index" and repository, each pair once. */
export function markDirty(rows: string): string {
  return `WITH next AS (UPDATE catalog SET last_mark = last_mark + 1 RETURNING last_mark)
    INSERT INTO dirty ("index", repository, mark) SELECT marked.*, last_mark FROM (${rows}) AS marked, next
    ON CONFLICT ("index", repository) DO UPDATE SET mark = excluded.mark`;
}
