/** Finds apps in a list. */

/** @typedef {import('./api.js').ListedApp} ListedApp */
/** @typedef {import('./state.js').State} State */

/** Made once for each app, since every key that is pressed searches all of them. */
/** @type {WeakMap<ListedApp, { name: string, text: string }>} */
const searchable = new WeakMap();

/** @param {ListedApp} app */
function textsOf(app) {
  let texts = searchable.get(app);
  if (texts === undefined) {
    texts = { name: app.name.toLowerCase(), text: [app.name, app.id, app.summary, ...app.keywords].join('\n').toLowerCase() };
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
  const words = state.q.toLowerCase().split(/\s+/).filter((word) => word !== '');
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
