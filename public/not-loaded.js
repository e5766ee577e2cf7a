/** Stands for a view whose files could not be loaded: the server was away when it was gone to. */
import { announce, h } from './dom.js';
import { ROOT } from './root.js';

export class NotLoaded {
  heading = h('h1', { tabindex: -1 }, 'The server does not answer');
  #words = h('p', {}, 'What you asked for could not be loaded. The server may be restarting, or the network may be down.');
  element;

  /** @param {string} back where the list is */
  constructor(back) {
    const again = h('button', { type: 'button', onclick: () => void this.#again() }, 'Try again');
    this.element = h('section', {}, h('p', { class: 'back' }, h('a', { href: back }, '← All apps')), this.heading, h('div', { class: 'notice' }, this.#words, again));
  }

  /** Loads the page anew, since a browser may keep that a file could not be loaded; not before the server answers, for the page would be lost. */
  async #again() {
    try {
      await fetch(`${ROOT}page/main.js`, { cache: 'no-store' });
      location.reload();
    } catch {
      this.#words.textContent = 'The server still does not answer. The network may be down.';
      announce('The server still does not answer');
    }
  }
}
