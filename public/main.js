/** Behaviour of all pages: colours, copying, icons that are missing, panels, and the search key. */
import { announce, byId } from './dom.js';

/** How long a button confirms a copy, in milliseconds. */
const SAID = 2_000;
/** When to load a page again that waits for an index, in milliseconds. */
const RETRY = 5_000;
const THEMES = /** @type {const} */ (['', 'dark', 'light']);
const THEME_WORDS = { '': 'as the system', dark: 'dark', light: 'light' };

const theme = /** @type {HTMLButtonElement} */ (byId('theme'));
const root = document.documentElement;

/** @returns {'' | 'dark' | 'light'} */
function chosenTheme() {
  return THEMES.find((each) => each === root.dataset['theme']) ?? '';
}

function nameTheme() {
  theme.ariaLabel = theme.title = `Colours: ${THEME_WORDS[chosenTheme()]}`;
}

theme.addEventListener('click', () => {
  const next = THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length] ?? '';
  if (next === '') {
    localStorage.removeItem('theme');
    delete root.dataset['theme'];
  } else {
    localStorage.setItem('theme', next);
    root.dataset['theme'] = next;
  }
  nameTheme();
  announce(theme.title);
});
nameTheme();

/**
 * Copies a command. Without HTTPS there is no clipboard: then selects the text.
 * @param {HTMLElement} button
 */
async function copy(button) {
  let said = 'Copied';
  try {
    await navigator.clipboard.writeText(button.dataset['copy'] ?? '');
    announce('Copied to the clipboard');
  } catch {
    said = 'Press Ctrl+C';
    const code = button.parentElement?.querySelector('code');
    if (code) getSelection()?.selectAllChildren(code);
    announce('Press Ctrl+C to copy the command');
  }
  button.textContent = said;
  setTimeout(() => (button.textContent = 'Copy'), SAID);
}

document.addEventListener('click', ({ target }) => {
  if (!(target instanceof Element)) return;
  const button = target.closest('[data-copy]');
  if (button instanceof HTMLElement) void copy(button);
  closePanels(target);
});

/** Closes open panels, except one that contains `inside`. @param {Node | null} inside */
function closePanels(inside) {
  for (const panel of document.querySelectorAll('details[open]:has(> .panel)'))
    if (!panel.contains(inside)) panel.removeAttribute('open');
}

document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (key === 'Escape') {
    const panel = target instanceof Element ? target.closest('details[open]:has(> .panel)') : null;
    panel?.querySelector('summary')?.focus();
    closePanels(null);
  }
  const typing = target instanceof HTMLElement && target.matches('input, select, textarea');
  if (key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const search = /** @type {HTMLInputElement} */ (byId('q'));
  search.focus();
  search.select();
});

/** Removes icons that cannot be loaded, which uncovers the letter. @param {EventTarget | null} image */
function dropBroken(image) {
  if (image instanceof HTMLImageElement && image.parentElement?.classList.contains('icon')) image.remove();
}
document.addEventListener('error', ({ target }) => dropBroken(target), true);
for (const image of document.querySelectorAll('.icon img'))
  if (image instanceof HTMLImageElement && image.complete && image.naturalWidth === 0) dropBroken(image);

if (document.querySelector('[data-reload]') !== null) setTimeout(() => location.reload(), RETRY);
