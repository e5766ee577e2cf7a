/** Shown instead of a view whose files could not be loaded. */
import { announce, h } from './dom.js';
import { ROOT } from './root.js';

/** An error message with a retry button. */
export class NotLoaded {
  heading = h('h1', { tabindex: -1 }, 'The server does not answer');
  #words = h('p', {}, 'This view could not be loaded. The server may be restarting, or the network may be down.');
  element;

  /** @param {string} back address of the list */
  constructor(back) {
    const again = h('button', { type: 'button', onclick: () => void this.#again() }, 'Try again');
    this.element = h(
      'section',
      {},
      h('p', { class: 'back' }, h('a', { href: back }, '← All apps')),
      this.heading,
      h('div', { class: 'notice' }, this.#words, again),
    );
  }

  /** Reloads the page once the server answers: browsers cache that a module could not be loaded. */
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
