/** Finds apps in a list. */

/** @typedef {import('./api.js').ListedApp} ListedApp */
/** @typedef {import('./state.js').State} State */

/** Made once for each app, since every key that is pressed searches all of them. */
/** @type {WeakMap<ListedApp, { name: string, text: string }>} */
const searchable = new WeakMap();

/** Plain letters for those that Unicode does not take apart. @type {Readonly<Record<string, string>>} */
const PLAIN = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', đ: 'd', ð: 'd', þ: 'th', ł: 'l', ı: 'i' };

/**
 * In small letters and without accents, as people type who do not have them on their keyboard.
 * @param {string} text
 */
function plain(text) {
  return text.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLowerCase().replace(/[ßæœøđðþłı]/g, (letter) => PLAIN[letter] ?? letter);
}

/** @param {ListedApp} app */
function textsOf(app) {
  let texts = searchable.get(app);
  if (texts === undefined) {
    texts = { name: plain(app.name), text: plain([app.name, app.id, app.summary, app.developer, ...app.keywords].join('\n')) };
    searchable.set(app, texts);
  }
  return texts;
}

/**
 * The apps that fit, in the order to show them: those whose name fits the search first, then as `sort` says.
 * @param {readonly ListedApp[]} apps sorted by name
 * @param {State} state
 */
export function findApps(apps, state) {
  const words = plain(state.q).split(/\s+/).filter((word) => word !== '');
  const found = apps.filter(
    (app) =>
      (state.kind === '' || app.kind === state.kind) &&
      (state.arch === '' || app.architectures.includes(state.arch)) &&
      (state.tag === '' || app.tags.includes(state.tag)) &&
      (state.index === '' || app.index === state.index) &&
      words.every((word) => textsOf(app).text.includes(word)),
  );
  if (state.sort === 'newest') found.sort((a, b) => (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : 0));
  const [first] = words;
  if (first === undefined) return found;
  const rank = (/** @type {ListedApp} */ app) => (textsOf(app).name.startsWith(first) ? 0 : textsOf(app).name.includes(first) ? 1 : 2);
  return [0, 1, 2].flatMap((wanted) => found.filter((app) => rank(app) === wanted));
}

/**
 * The values that the apps have, sorted, for a filter to choose from.
 * @param {readonly ListedApp[]} apps
 * @param {'architectures' | 'tags'} property
 */
export function valuesOf(apps, property) {
  return [...new Set(apps.flatMap((app) => app[property]))].toSorted();
}
