/** Descriptions of apps and releases. */
import type { Block, Span } from '../../indexing/appdata/appdata.ts';
import { html, type Html } from './html.ts';

/** Writes the blocks of a description. */
export function blocks(all: readonly Block[]): readonly Html[] {
  return all.map((block) => {
    if (block.kind === 'paragraph') return html`<p>${spans(block.text)}</p>`;
    const entries = block.entries.map((entry) => html`<li>${spans(entry)}</li>`);
    return block.kind === 'list'
      ? html`<ul>
          ${entries}
        </ul>`
      : html`<ol>
          ${entries}
        </ol>`;
  });
}

/** Returns the text of a description's first paragraph; empty if there is none. */
export function firstParagraph(all: readonly Block[]): string {
  const first = all.find((block) => block.kind === 'paragraph');
  return first?.text.map((span) => (typeof span === 'string' ? span : span.text)).join('') ?? '';
}

function spans(all: readonly Span[]): readonly Html[] {
  return all.map((span) => {
    if (typeof span === 'string') return html`${span}`;
    return span.kind === 'em' ? html`<em>${span.text}</em>` : html`<code>${span.text}</code>`;
  });
}
