/** A part of a page with a heading. */
import { html, type Html, type Value } from './html.ts';

/** Writes a section. */
export function section(id: string, title: string, content: Value): Html {
  return html`<section class="${id}" aria-labelledby="h-${id}">
    <h2 id="h-${id}">${title}</h2>
    ${content}
  </section>`;
}
