/** Entry of the page: shows the view that the URL names, and keeps the URL up to date. */
import { AppsView } from './apps-view.js';
import { byId } from './dom.js';
import { NotLoaded } from './not-loaded.js';
import { ROOT } from './root.js';
import { addressOf, parseState } from './state.js';

/** @typedef {import('./state.js').State} State */

const TITLE = document.title;
const main = byId('main');

/** Address of the list as it was last shown. */
let listAddress = addressOf({ ...parseState(location.search), app: '', view: 'apps' });
const apps = new AppsView((state) => {
  listAddress = addressOf({ ...state, app: '' });
  history.replaceState({ scroll: 0 }, '', listAddress);
});
/** Views that are loaded when first shown. @type {import('./app-view.js').AppView | undefined} */
let app;
/** @type {import('./status-view.js').StatusView | undefined} */
let status;
/** Incremented with each navigation, to ignore what loads late. */
let renders = 0;

async function loadApp() {
  const { AppView } = await import('./app-view.js');
  return (app ??= new AppView((id, index) => apps.find(id, index)));
}

async function loadStatus() {
  const { StatusView } = await import('./status-view.js');
  return (status ??= new StatusView());
}

/**
 * Shows the view that the URL names.
 * @param {boolean} focus whether to move the focus to its heading
 * @param {number} scroll position to scroll to
 */
async function render(focus, scroll) {
  const state = parseState(location.search);
  const current = ++renders;
  if (state.view !== 'status') status?.hide();
  /** @type {AppsView | NotLoaded | import('./app-view.js').AppView | import('./status-view.js').StatusView} */
  let view = apps;
  if (state.view !== 'apps') {
    view = await (state.view === 'app' ? loadApp() : loadStatus()).catch(() => new NotLoaded(listAddress));
    if (current !== renders) return;
  }
  if (view === app && app !== undefined) {
    const shown = app;
    const entitle = () => {
      if (current === renders) document.title = `${shown.heading.textContent ?? state.app} – ${TITLE}`;
    };
    void shown.show(state.app, state.index, apps.find(state.app, state.index), listAddress).then(entitle);
    entitle();
  } else if (view === apps) {
    listAddress = addressOf(state);
    apps.show(state);
    document.title = TITLE;
  } else {
    if (view === status) status?.show();
    document.title = `${view.heading.textContent ?? ''} – ${TITLE}`;
  }
  if (view.element.parentElement !== main) main.replaceChildren(view.element);
  for (const link of document.querySelectorAll('nav a')) {
    if ((state.view === 'status') === link.getAttribute('href')?.includes('view=status'))
      link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (focus) view.heading.focus({ preventScroll: true });
  scrollTo(0, scroll);
}

/** Navigates within the page. @param {string} address */
function go(address) {
  history.replaceState({ scroll: scrollY }, '');
  history.pushState({ scroll: 0 }, '', address);
  void render(true, 0);
}

document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (
    link === null ||
    event.button !== 0 ||
    event.ctrlKey ||
    event.metaKey ||
    event.shiftKey ||
    event.altKey ||
    event.defaultPrevented
  )
    return;
  if (link.origin !== location.origin || link.pathname !== ROOT || link.hash !== '') return;
  event.preventDefault();
  go(link.href);
});

document.addEventListener('keydown', (event) => {
  const typing = event.target instanceof HTMLElement && event.target.matches('input, select, textarea');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey || !apps.element.isConnected)
    return;
  event.preventDefault();
  apps.focusSearch();
});

history.scrollRestoration = 'manual';
addEventListener('popstate', (event) => void render(true, event.state?.scroll ?? 0));
void render(false, history.state?.scroll ?? 0);
