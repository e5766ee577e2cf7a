/** Lists of apps that have a page of their own: all apps, those of a category, runtimes, extensions. */

/** A list of apps. */
export interface Listing {
  /** Its name in the list of apps; see `listingsOf`. */
  readonly name: string;
  /** Its name in paths. */
  readonly slug: string;
  readonly title: string;
}

/** All apps. */
export const ALL_APPS: Listing = { name: 'app', slug: 'all', title: 'All apps' };
/** Listings of runtimes and extensions. */
export const OTHER_KINDS: readonly Listing[] = [
  { name: 'runtime', slug: 'runtimes', title: 'Runtimes' },
  { name: 'extension', slug: 'extensions', title: 'Extensions' },
];
/** Main categories of freedesktop.org's menu specification. */
export const CATEGORIES: readonly Listing[] = [
  { name: 'AudioVideo', slug: 'audio-video', title: 'Audio & Video' },
  { name: 'Development', slug: 'development', title: 'Developer Tools' },
  { name: 'Education', slug: 'education', title: 'Education' },
  { name: 'Game', slug: 'games', title: 'Games' },
  { name: 'Graphics', slug: 'graphics', title: 'Graphics & Photos' },
  { name: 'Network', slug: 'network', title: 'Internet' },
  { name: 'Office', slug: 'office', title: 'Office' },
  { name: 'Science', slug: 'science', title: 'Science' },
  { name: 'Settings', slug: 'settings', title: 'Settings' },
  { name: 'System', slug: 'system', title: 'System' },
  { name: 'Utility', slug: 'utilities', title: 'Utilities' },
];
/** All of these. */
export const LISTINGS: readonly Listing[] = [ALL_APPS, ...CATEGORIES, ...OTHER_KINDS];
/** Apps on one page of a list. */
export const LISTED = 60;
