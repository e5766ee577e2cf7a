/** State of the page, as stored in its URL. */
import { ROOT } from './root.js';

/**
 * @typedef {object} State
 * @property {'apps' | 'app' | 'status'} view
 * @property {string} q the search
 * @property {string} kind
 * @property {string} arch
 * @property {string} tag
 * @property {string} index
 * @property {'name' | 'newest'} sort
 * @property {string} app id of the shown app
 */

/** Filters of the list, by parameter of the URL. */
const FILTERS = /** @type {const} */ (['q', 'kind', 'arch', 'tag', 'index']);

/**
 * Parses a state.
 * @param {string} search the query of a URL, with its `?`
 * @returns {State}
 */
export function parseState(search) {
  const parameters = new URLSearchParams(search);
  const of = (/** @type {string} */ name) => parameters.get(name) ?? '';
  const app = of('app');
  const view = app === '' ? (of('view') === 'status' ? 'status' : 'apps') : 'app';
  return {
    view,
    q: of('q'),
    kind: of('kind'),
    arch: of('arch'),
    tag: of('tag'),
    index: of('index'),
    sort: of('sort') === 'newest' ? 'newest' : 'name',
    app,
  };
}

/**
 * Returns the address of a state, without default values.
 * @param {Partial<State>} state
 */
export function addressOf(state) {
  const parameters = new URLSearchParams();
  if (state.view === 'status') parameters.set('view', 'status');
  if (state.app) parameters.set('app', state.app);
  for (const name of FILTERS) if (state[name]) parameters.set(name, state[name]);
  if (state.sort === 'newest') parameters.set('sort', 'newest');
  const search = parameters.toString();
  return search === '' ? ROOT : `${ROOT}?${search}`;
}
