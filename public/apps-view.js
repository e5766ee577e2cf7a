/** The list of apps: search, filters, and a grid of the matches. */
import { fetchApps, fetchStatus, known, Refusal } from './api.js';
import { announce, h } from './dom.js';
import { counted, number } from './format.js';
import { Grid } from './grid.js';
import { appIcon, loadIcon } from './icon.js';
import { findApps, valuesOf } from './search.js';
import { addressOf } from './state.js';

/** @typedef {import('./api.js').ListedApp} ListedApp */
/** @typedef {import('./state.js').State} State */

/** Time until a note says that loading is slow, in milliseconds. */
const SLOW = 700;
/** When to retry an index that is not built yet, in milliseconds: while it is being built, and after that failed. */
const RETRY = 2_000;
const RETRY_FAILED = 10_000;
/** Time after the last key until the number of results is announced, in milliseconds. */
const QUIET = 600;

const KINDS = /** @type {const} */ ({ app: 'Apps', runtime: 'Runtimes', extension: 'Extensions' });

/** Shows the apps of all indexes. */
export class AppsView {
  /** @type {readonly ListedApp[]} */
  #apps = [];
  /** Cards by app, made when first shown. @type {Map<ListedApp, HTMLLIElement>} */
  #cards = new Map();
  /** @type {State | undefined} */
  #state;
  /** @type {(state: State) => void} */
  #onChange;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;
  #loaded = false;
  /** Why indexes are missing, as last announced. */
  #missing = '';

  #search = h('input', {
    type: 'search',
    id: 'q',
    placeholder: 'Search apps',
    autocomplete: 'off',
    spellcheck: 'false',
    enterkeyhint: 'search',
    'aria-describedby': 'count',
    oninput: () => this.#changed({ q: this.#search.value }),
  });
  #kind = this.#select('kind', 'Kind', 'All kinds', Object.entries(KINDS));
  #arch = this.#select('arch', 'Architecture', 'All architectures', []);
  #tag = this.#select('tag', 'Tag', 'All tags', []);
  #index = this.#select(
    'index',
    'Index',
    'All indexes',
    known().indexes.map(({ name, title }) => [name, title]),
  );
  #sort = this.#select('sort', 'Sort', 'By name', [['newest', 'Newest first']]);
  #count = h('p', { id: 'count', class: 'count' });
  #grid = new Grid('Apps', (/** @type {ListedApp} */ app) => this.#card(app), loadIcon);
  #notice = h('div', { class: 'notice', hidden: true });
  #introduction = h('div', { class: 'introduction', hidden: true });
  #title = h('h1', { class: 'unseen', tabindex: -1 }, 'Apps');
  element = h(
    'section',
    { class: 'apps' },
    this.#title,
    this.#introduction,
    h(
      'form',
      { class: 'filters', role: 'search', 'aria-label': 'Apps', onsubmit: (event) => event.preventDefault() },
      h('label', { for: 'q', class: 'unseen' }, 'Search by name, id, developer, summary and keywords'),
      this.#search,
      h(
        'div',
        { class: 'selects' },
        [this.#kind, this.#arch, this.#tag, this.#index, this.#sort].map((select) => select.parentElement),
      ),
    ),
    this.#count,
    this.#notice,
    this.#grid.element,
  );

  /** @param {(state: State) => void} onChange called with each state that search and filters result in */
  constructor(onChange) {
    this.#onChange = onChange;
    if (known().indexes.length < 2) this.#index.parentElement?.remove();
    void this.#load();
  }

  /** The heading, which gets the focus. */
  get heading() {
    return this.#title;
  }

  /** Finds an app in the list, in any index if `index` is empty. @param {string} id @param {string} index */
  find(id, index) {
    return this.#apps.find((app) => app.id === id && (index === '' || app.index === index));
  }

  /** Shows the apps that a state selects. @param {State} state */
  show(state) {
    this.#state = state;
    if (this.#search.value !== state.q) this.#search.value = state.q;
    for (const [select, value] of /** @type {const} */ ([
      [this.#kind, state.kind],
      [this.#arch, state.arch],
      [this.#tag, state.tag],
      [this.#index, state.index],
      [this.#sort, state.sort === 'name' ? '' : state.sort],
    ]))
      choose(select, value);
    this.#introduce();
    this.#fill();
  }

  /** Moves the focus to the search field. */
  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  async #load() {
    const slow = setTimeout(() => this.#tell('Still loading. The server is slow to answer.'), SLOW);
    const { indexes } = known();
    const lists = await Promise.allSettled(indexes.map(({ name }) => fetchApps(name)));
    const failed = indexes.flatMap((index, place) => {
      const list = lists[place];
      return list?.status === 'rejected' ? [{ index, error: /** @type {unknown} */ (list.reason) }] : [];
    });
    const missing = failed.length > 0 && failed.every(({ error }) => error instanceof Refusal && error.status === 503);
    const reasons = missing ? await whyMissing(failed.map(({ index }) => index)) : [];
    clearTimeout(slow);
    this.#notice.hidden = true;
    this.#loaded = true;
    const apps = lists.flatMap((list) => (list.status === 'fulfilled' ? list.value : []));
    // Each list is sorted already.
    this.#apps =
      indexes.length === 1
        ? apps
        : apps.toSorted((a, b) => a.name.localeCompare(b.name, 'en', { sensitivity: 'base' }));
    this.#cards.clear();
    options(this.#arch, valuesOf(this.#apps, 'architectures'));
    options(this.#tag, valuesOf(this.#apps, 'tags'));
    if (this.#state !== undefined) this.show(this.#state);

    const [first] = failed;
    if (first === undefined) return;
    if (failed.length === indexes.length) this.#count.textContent = '';
    if (reasons.length > 0) {
      const status = h('a', { href: addressOf({ view: 'status' }) }, 'See the status');
      this.#tell([...reasons, 'It is retried until it succeeds.'].join(' '), status);
      this.#announceMissing(reasons.join(' '));
      setTimeout(() => void this.#load(), RETRY_FAILED);
    } else if (missing) {
      this.#tell(
        indexes.length === 1
          ? 'The index is being built for the first time. Its apps appear here as soon as it is ready.'
          : 'Some indexes are being built for the first time. Their apps appear here as soon as they are ready.',
      );
      setTimeout(() => void this.#load(), RETRY);
    } else
      this.#tell(
        first.error instanceof Error ? first.error.message : String(first.error),
        button('Try again', () => void this.#load()),
      );
  }

  /** Announces reasons unless they are the same as before. @param {string} reasons */
  #announceMissing(reasons) {
    if (reasons !== this.#missing) announce(reasons);
    this.#missing = reasons;
  }

  /** @param {Partial<State>} change */
  #changed(change) {
    if (this.#state === undefined) return;
    this.#state = { ...this.#state, ...change };
    this.#onChange(this.#state);
    this.#introduce();
    this.#fill();
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => announce(this.#count.textContent ?? ''), QUIET);
  }

  #fill() {
    if (this.#state === undefined || !this.#loaded) return;
    const state = this.#state;
    const found = findApps(this.#apps, state);
    const total = this.#apps.length;
    this.#count.textContent =
      found.length === total
        ? countedByKind(found)
        : `${found.length === 0 ? number(0) : countedByKind(found)} of ${number(total)}`;
    if (total > 0) this.#notice.hidden = true;
    this.#grid.show(found);
    if (found.length === 0) this.#tellEmpty(state, total);
  }

  /** @param {State} state @param {number} total */
  #tellEmpty(state, total) {
    if (total === 0)
      this.#tell(
        'There are no apps here yet. They appear as soon as the registry has some that the configuration includes.',
      );
    else if (state.q === '')
      this.#tell(
        'No app matches these filters.',
        button('Clear the filters', () => this.#clear()),
      );
    else
      this.#tell(
        `No app matches “${state.q}”. Search for part of a name, or for what an app does.`,
        button('Clear search and filters', () => this.#clear()),
      );
  }

  #clear() {
    this.#changed({ q: '', kind: '', arch: '', tag: '', index: '' });
    if (this.#state !== undefined) this.show(this.#state);
    this.#search.focus();
  }

  /**
   * @param {string} text
   * @param {HTMLElement} [action]
   */
  #tell(text, action) {
    this.#notice.replaceChildren(h('p', {}, text), action ?? '');
    this.#notice.hidden = false;
  }

  /** @param {ListedApp} app */
  #card(app) {
    let card = this.#cards.get(app);
    if (card === undefined) {
      card = h(
        'li',
        { class: 'card' },
        appIcon(app, app.index, 64, true),
        h(
          'div',
          { class: 'about' },
          h('a', { href: addressOf({ app: app.id, index: app.index }) }, app.name),
          h('p', { class: 'summary' }, app.summary),
          h(
            'p',
            { class: 'by' },
            (app.endOfLife !== '' || app.replacedBy !== '') && h('span', { class: 'badge danger' }, 'End of life'),
            app.kind !== 'app' && h('span', { class: 'badge' }, app.kind === 'runtime' ? 'Runtime' : 'Extension'),
            h('span', { class: 'who' }, app.developer || app.id),
          ),
        ),
      );
      this.#cards.set(app, card);
    }
    return card;
  }

  /** Shows the texts of the chosen index, or of the only one. */
  #introduce() {
    const { indexes } = known();
    const { comment, description, homepage } =
      (indexes.length === 1 ? indexes[0] : indexes.find(({ name }) => name === this.#state?.index)) ?? {};
    const link =
      homepage === undefined
        ? ''
        : h('p', {}, h('a', { href: homepage, rel: 'noopener noreferrer' }, `More at ${new URL(homepage).host}`));
    this.#introduction.replaceChildren(
      comment === undefined ? '' : h('p', { class: 'lead' }, comment),
      description === undefined ? '' : h('p', {}, description),
      link,
    );
    this.#introduction.hidden = comment === undefined && description === undefined && homepage === undefined;
  }

  /**
   * @param {'kind' | 'arch' | 'tag' | 'index' | 'sort'} name
   * @param {string} label
   * @param {string} all
   * @param {readonly (readonly [value: string, text: string])[]} values
   */
  #select(name, label, all, values) {
    const select = h(
      'select',
      {
        id: `filter-${name}`,
        onchange: () => this.#changed({ [name]: name === 'sort' && select.value === '' ? 'name' : select.value }),
      },
      h('option', { value: '' }, all),
      values.map(([value, text]) => h('option', { value }, text)),
    );
    h('div', {}, h('label', { for: `filter-${name}` }, label), select);
    return select;
  }
}

/**
 * Returns a sentence for each of these indexes whose build failed, from the status; none if that cannot be loaded.
 * @param {import('./api.js').Known['indexes']} indexes
 */
async function whyMissing(indexes) {
  const status = await fetchStatus().catch(() => undefined);
  return indexes.flatMap(({ name, title }) => {
    const last = status?.indexes.find((index) => index.name === name)?.lastRebuild;
    return last?.state === 'failed'
      ? [`“${title}” could not be built: ${last.error ?? 'see the log of the server'}.`]
      : [];
  });
}

/**
 * @param {string} text
 * @param {() => void} run
 */
function button(text, run) {
  return h('button', { type: 'button', onclick: run }, text);
}

/**
 * Replaces the options of a filter; the choice stays.
 * @param {HTMLSelectElement} select
 * @param {readonly string[]} values
 */
function options(select, values) {
  const { value } = select;
  select.replaceChildren(
    ...Array.from(select.options).slice(0, 1),
    ...values.map((text) => h('option', { value: text }, text)),
  );
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

/** Counts apps by kind: “12 apps, 2 runtimes”. @param {readonly ListedApp[]} apps */
function countedByKind(apps) {
  if (apps.length === 0) return counted(0, 'app');
  const counts = Object.keys(KINDS).map((kind) => ({ kind, count: apps.filter((app) => app.kind === kind).length }));
  return counts
    .filter(({ count }) => count > 0)
    .map(({ kind, count }) => counted(count, kind))
    .join(', ');
}
