/** The main categories of apps (freedesktop.org, Desktop Menu Specification 1.1, appendix A). */

/** Names by what the app data say: audio and video are one category for people. */
const MAIN_CATEGORIES: ReadonlyMap<string, string> = new Map([
  ['AudioVideo', 'AudioVideo'],
  ['Audio', 'AudioVideo'],
  ['Video', 'AudioVideo'],
  ['Development', 'Development'],
  ['Education', 'Education'],
  ['Game', 'Game'],
  ['Graphics', 'Graphics'],
  ['Network', 'Network'],
  ['Office', 'Office'],
  ['Science', 'Science'],
  ['Settings', 'Settings'],
  ['System', 'System'],
  ['Utility', 'Utility'],
]);

/** Returns the main ones of an app's categories, in their order. */
export function mainCategories(categories: readonly string[]): readonly string[] {
  return [...new Set(categories.flatMap((category) => MAIN_CATEGORIES.get(category) ?? []))];
}
