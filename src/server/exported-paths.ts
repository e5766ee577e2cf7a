/**
 * Paths of exported answers that depend on the query of their URL, which a file server ignores. `public/api.js` asks
 * for some of them.
 */

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

/**
 * Path of `/?index=INDEX&page=NUMBER`.
 * @param page counted from 1
 */
export function listPagePath(index: string, page: number): string {
  return `${index}/page-${page}.html`;
}
