/** Paths of exported answers whose URL on a server has a query, which a file host ignores, or no ending. */

/** Path of `/api/apps?index=INDEX`. */
export function appListPath(index: string): string {
  return `api/${index}/apps.json`;
}

/** Path of `/api/apps/ID?index=INDEX`. */
export function appPath(index: string, id: string): string {
  return `api/${index}/apps/${id}.json`;
}

/** Path of `/api/apps/ID/translations?index=INDEX`. */
export function translationsPath(index: string, id: string): string {
  return `api/${index}/apps/${id}.translations.json`;
}

/** Path of the feed of an index. */
export function feedPath(index: string): string {
  return `${index}/updates.atom`;
}

/** Path of `/api/apps/ID/icon?index=INDEX`. */
export function appIconPath(index: string, id: string): string {
  return `api/${index}/apps/${id}.png`;
}

/** Path of `/INDEX/ID`: file hosts guess types by endings. */
export function appPagePath(index: string, id: string): string {
  return `${index}/${id}.html`;
}

/**
 * Path of `/INDEX/SLUG?page=PAGE`.
 * @param page counted from 1
 */
export function listingPath(index: string, slug: string, page: number): string {
  return `${index}/${slug}${page === 1 ? '' : `-${page}`}.html`;
}
