/** Searches and filters a list of apps. */

/** @typedef {import('./api.js').ListedApp} ListedApp */
/**
 * @typedef {object} Search
 * @property {string} q
 * @property {boolean} all also runtimes and extensions
 * @property {string} arch
 * @property {string} tag
 * @property {string} sort `newest`, or empty for the order by name
 */

/**
 * Normalized texts by app: each key press searches all of them. @type {WeakMap<ListedApp, { name: string, text: string
 * }>}
 */
const searchable = new WeakMap();

/** Replacements of letters that Unicode does not decompose. @type {Readonly<Record<string, string>>} */
const PLAIN = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', đ: 'd', ð: 'd', þ: 'th', ł: 'l', ı: 'i' };

/**
 * Lowers case and removes accents, which some keyboards lack.
 * @param {string} text
 */
function plain(text) {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[ßæœøđðþłı]/g, (letter) => PLAIN[letter] ?? letter);
}

/** @param {ListedApp} app */
function textsOf(app) {
  let texts = searchable.get(app);
  if (texts === undefined) {
    texts = {
      name: plain(app.name),
      text: plain([app.name, app.id, app.summary, app.developer, ...app.keywords].join('\n')),
    };
    searchable.set(app, texts);
  }
  return texts;
}

/**
 * Normalizes the texts of apps, so that the first search need not.
 * @param {readonly ListedApp[]} apps
 */
export function prepareSearch(apps) {
  for (const app of apps) textsOf(app);
}

/**
 * Returns the apps that match, those whose names match first, then in the order of `sort`.
 * @param {readonly ListedApp[]} apps sorted by name
 * @param {Search} search
 */
export function findApps(apps, search) {
  const words = plain(search.q)
    .split(/\s+/)
    .filter((word) => word !== '');
  const found = apps.filter(
    (app) =>
      (search.all || app.kind === 'app') &&
      (search.arch === '' || app.architectures.includes(search.arch)) &&
      (search.tag === '' || app.tags.includes(search.tag)) &&
      words.every((word) => textsOf(app).text.includes(word)),
  );
  if (search.sort === 'newest') found.sort((a, b) => (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : 0));
  const [first] = words;
  if (first === undefined) return found;
  const rank = (/** @type {ListedApp} */ app) =>
    textsOf(app).name.startsWith(first) ? 0 : textsOf(app).name.includes(first) ? 1 : 2;
  return [0, 1, 2].flatMap((wanted) => found.filter((app) => rank(app) === wanted));
}

/**
 * Returns the distinct values of a property, sorted, as options of a filter.
 * @param {readonly ListedApp[]} apps
 * @param {'architectures' | 'tags'} property
 */
export function valuesOf(apps, property) {
  return [...new Set(apps.flatMap((app) => app[property]))].toSorted();
}
