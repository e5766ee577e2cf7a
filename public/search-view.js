/** Shows what a search finds, as one types, in the place of the page's own content. */
import { appAddress, fetchApps, iconAddress, known, Refusal } from './api.js';
import { announce, byId, h } from './dom.js';
import { counted } from './format.js';
import { findApps, prepareSearch, valuesOf } from './search.js';

/** @typedef {import('./api.js').ListedApp} ListedApp */
/** @typedef {import('./search.js').Search} Search */

/** Results that are shown at first, and with each press of the button. */
const SHOWN = 60;
/** Results that are painted before the others: more than fill a window. */
const FIRST = 18;
/** Time until a note says that loading is slow, in milliseconds. */
const SLOW = 700;
/** Time after the last key until the number of results is announced, in milliseconds. */
const QUIET = 600;
/** Number of colours for apps without an icon, chosen as the server does. */
const HUES = 12;

const main = byId('main');
const form = /** @type {HTMLFormElement} */ (document.querySelector('form.search'));
const field = /** @type {HTMLInputElement} */ (byId('q'));
const all = /** @type {HTMLInputElement} */ (byId('filter-all'));
const arch = /** @type {HTMLSelectElement} */ (byId('filter-arch'));
const tag = /** @type {HTMLSelectElement} */ (byId('filter-tag'));
const sort = /** @type {HTMLSelectElement} */ (byId('filter-sort'));
const results = /** @type {HTMLElement} */ (document.querySelector('.results'));
const count = byId('count');
const notice = /** @type {HTMLElement} */ (results.querySelector('.notice'));
const grid = /** @type {HTMLElement} */ (results.querySelector('.grid'));
const more = /** @type {HTMLButtonElement} */ (results.querySelector('.more'));
const template = /** @type {HTMLTemplateElement} */ (byId('card'));

/** Address of the page without a search. */
const OWN = new URLSearchParams(location.search).has('page') ? location.pathname + location.search : location.pathname;
/** @type {Promise<readonly ListedApp[]> | undefined} */
let loading;
/** Cards by app, made when first shown. @type {WeakMap<ListedApp, Element>} */
const cards = new WeakMap();
/** Shows more of the current results. @type {() => void} */
let showMore = () => undefined;
/** Incremented with each change, to ignore what loads late. */
let changes = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let quiet;

/** @returns {Search} */
function current() {
  return { q: field.value, all: all.checked, arch: arch.value, tag: tag.value, sort: sort.value };
}

/** @param {Search} search */
function parametersOf({ q, all: everything, arch: architecture, tag: wanted, sort: order }) {
  const parameters = new URLSearchParams();
  const values = { q, all: everything ? '1' : '', arch: architecture, tag: wanted, sort: order };
  for (const [name, value] of Object.entries(values)) if (value !== '') parameters.set(name, value);
  return parameters.toString();
}

/** Loads all lists once; those of several indexes are merged by name. */
function load() {
  loading ??= loadAll().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function loadAll() {
  const answers = await Promise.allSettled(known().indexes.map((index) => fetchApps(index)));
  const lists = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (failed !== undefined) {
    if (lists.length === 0) throw failed.reason;
    // The others are found meanwhile.
    loading = undefined;
  }
  // Each list is sorted already.
  const apps = lists.flat();
  if (lists.length > 1) apps.sort((a, b) => a.name.localeCompare(b.name, 'en', { sensitivity: 'base' }));
  prepareSearch(apps);
  options(arch, valuesOf(apps, 'architectures'));
  options(tag, valuesOf(apps, 'tags'));
  return apps;
}

/** Shows the results of the current search, or the page's own content if there is none. */
async function render() {
  const change = ++changes;
  const search = current();
  const searching = parametersOf(search) !== '';
  main.classList.toggle('searching', searching);
  if (!searching) return;
  const slow = setTimeout(() => tell('Still loading. The server is slow to answer.'), SLOW);
  try {
    const apps = await load();
    if (change === changes) fill(apps, search, SHOWN);
  } catch (error) {
    if (change !== changes) return;
    grid.replaceChildren();
    more.hidden = true;
    count.textContent = 'Search';
    const message = error instanceof Error ? error.message : String(error);
    const isBuilt = !(error instanceof Refusal && error.status === 503);
    tell(isBuilt ? message : 'The index is being built for the first time.', 'Try again', () => void render());
  } finally {
    clearTimeout(slow);
  }
}

/**
 * @param {readonly ListedApp[]} apps
 * @param {Search} search
 * @param {number} limit
 */
function fill(apps, search, limit) {
  const found = findApps(apps, search);
  count.textContent = counted(found.length, search.all ? 'result' : 'app');
  const change = changes;
  const rest = found.slice(FIRST, limit);
  grid.replaceChildren(...found.slice(0, FIRST).map(cardOf));
  if (limit > SHOWN) grid.append(...rest.map(cardOf));
  else if (rest.length > 0)
    requestAnimationFrame(() => setTimeout(() => change === changes && grid.append(...rest.map(cardOf))));
  more.hidden = found.length <= limit;
  showMore = () => fill(apps, search, limit + SHOWN);
  notice.hidden = true;
  if (found.length > 0) return;
  const others = search.all ? 0 : findApps(apps, { ...search, all: true }).length;
  const what = search.q === '' ? 'No app matches these filters.' : `No app matches “${search.q}”.`;
  if (others > 0)
    tell(`${what} ${counted(others, 'runtime or extension does', 'runtimes and extensions do')}.`, 'Show them', () => {
      all.checked = true;
      changed();
    });
  else
    tell(`${what} Search for part of a name, or for what an app does.`, 'Clear search and filters', () => {
      for (const select of [field, arch, tag, sort]) select.value = '';
      all.checked = false;
      changed();
      field.focus();
    });
}

/**
 * @param {string} text
 * @param {string} [action]
 * @param {() => void} [run]
 */
function tell(text, action, run) {
  notice.replaceChildren(
    h('p', {}, text),
    run === undefined ? '' : h('button', { type: 'button', onclick: run }, action),
  );
  notice.hidden = false;
}

/** @param {ListedApp} app */
function cardOf(app) {
  let card = cards.get(app);
  if (card === undefined) {
    card = /** @type {Element} */ (template.content.firstElementChild?.cloneNode(true));
    fillCard(card, app);
    cards.set(app, card);
  }
  return card;
}

/** @param {Element} card @param {ListedApp} app */
function fillCard(card, app) {
  const part = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (card.querySelector(selector));
  const link = /** @type {HTMLAnchorElement} */ (part('a'));
  link.href = appAddress(app.index, app.id);
  link.textContent = app.name;
  part('.summary').textContent = app.summary;
  part('.who').textContent = app.developer || app.id;
  const icon = part('.icon');
  icon.dataset['letter'] = String.fromCodePoint(app.name.codePointAt(0) ?? 0x3f).toUpperCase();
  icon.dataset['hue'] = String(hueOf(app.id));
  const image = /** @type {HTMLImageElement} */ (part('img'));
  const address = iconAddress(app.icon, app.index);
  if (address === undefined) image.remove();
  else image.src = address;
  if (app.endOfLife === '' && app.replacedBy === '') part('.danger').remove();
  const kind = part('.kind');
  if (app.kind === 'app') kind.remove();
  else kind.textContent = app.kind === 'runtime' ? 'Runtime' : 'Extension';
}

/** @param {string} id */
function hueOf(id) {
  return Array.from(id).reduce((sum, character) => (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973, 0) % HUES;
}

function changed() {
  const query = parametersOf(current());
  history.replaceState(history.state, '', query === '' ? OWN : `${known().home}?${query}`);
  void render();
  clearTimeout(quiet);
  quiet = setTimeout(() => announce(count.textContent ?? ''), QUIET);
}

/**
 * Replaces the options of a filter; the choice stays.
 * @param {HTMLSelectElement} select
 * @param {readonly string[]} values
 */
function options(select, values) {
  const { value } = select;
  const first = select.options[0] ?? '';
  select.replaceChildren(first, ...values.map((text) => h('option', { value: text }, text)));
  choose(select, value);
}

/**
 * Chooses a value, also one that no app has: a link may be old.
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
function choose(select, value) {
  if (!Array.from(select.options).some((option) => option.value === value))
    select.append(h('option', { value }, value));
  select.value = value;
}

function start() {
  const parameters = new URLSearchParams(location.search);
  const of = (/** @type {string} */ name) => parameters.get(name) ?? '';
  field.value = of('q');
  all.checked = of('all') !== '';
  choose(arch, of('arch'));
  choose(tag, of('tag'));
  if (of('sort') === 'newest') sort.value = 'newest';
  void render();
}

more.addEventListener('click', () => {
  const first = grid.children.length;
  showMore();
  grid.children[first]?.querySelector('a')?.focus();
});
form.addEventListener('submit', (event) => event.preventDefault());
form.addEventListener('input', changed);
form.addEventListener('focusin', () => void load().catch(() => undefined), { once: true });
start();
