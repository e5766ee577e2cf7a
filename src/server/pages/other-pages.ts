/** Pages that scripts fill, and pages that say what is wrong. */
import type { IndexDescription } from '../site.ts';
import { html } from './html.ts';
import { type Page, STATUS } from './page.ts';
import type { Links } from './links.ts';

/** Returns the view of the service's state. */
export function statusPage(): Page {
  return {
    title: STATUS,
    description: '',
    path: undefined,
    index: undefined,
    scripts: ['status-view.js'],
    content: html`<noscript
      ><p class="notice">The status is shown by a script, and this browser runs none.</p></noscript
    >`,
  };
}

/** Returns a page that says what is wrong with a request. */
export function errorPage(links: Links, index: IndexDescription | undefined, title: string, message: string): Page {
  return {
    title,
    description: '',
    path: undefined,
    index,
    content: html`<h1>${title}</h1>
      <p class="notice">${message}</p>
      <p><a href="${index === undefined ? links.root : links.index(index.name)}">See all apps</a></p>`,
  };
}
