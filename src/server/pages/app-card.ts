/** The card of an app in a list, and its icon. */
import type { AppEntry } from '../../indexing/appdata/app-list.ts';
import { html, type Html } from './html.ts';
import type { Links } from './links.ts';

/** Number of colours for apps without an icon; `public/page.css` has them, `public/results.js` chooses as here. */
const HUES = 12;

/** Texts and marks that a card shows of an app. */
interface Shown extends Pick<AppEntry, 'id' | 'kind' | 'name' | 'summary' | 'developer' | 'endOfLife' | 'replacedBy'> {
  readonly href: string;
  readonly icon: string | undefined;
}

/** Words for kinds of apps. */
export const KINDS = { app: 'App', runtime: 'Runtime', extension: 'Extension' } as const;

/**
 * Writes cards in a grid.
 * @param label names the grid for screen readers
 * @param eager loads the icons at once, where the grid is the first thing to be seen
 */
export function appGrid(
  links: Links,
  apps: readonly { readonly index: string; readonly app: AppEntry }[],
  { label, eager = false, className = 'grid' }: { label: string; eager?: boolean; className?: string },
): Html {
  return html`<ul class="${className}" aria-label="${label}">
    ${apps.map(({ index, app }) =>
      appCard({ ...app, href: links.app(index, app.id), icon: links.icon(index, app) }, eager),
    )}
  </ul>`;
}

/** Writes the card of an app. */
export function appCard(app: Shown, eager = false): Html {
  const { kind, name, summary, developer, id, endOfLife, replacedBy, href } = app;
  return html`<li class="card">
    ${appIcon(app, 64, eager)}
    <div class="about">
      <a href="${href}" dir="auto">${name}</a>
      <p class="summary" dir="auto">${summary}</p>
      <p class="by">
        ${(endOfLife !== '' || replacedBy !== '') && html`<span class="badge danger">End of life</span>`}
        ${kind !== 'app' && html`<span class="badge kind">${KINDS[kind]}</span>`}
        <span class="who" dir="auto">${developer || id}</span>
      </p>
    </div>
  </li>`;
}

/** Writes an icon of a fixed size; where there is none, the first letter of the name in a colour of the app's own. */
export function appIcon(
  { id, name, icon }: { readonly id: string; readonly name: string; readonly icon: string | undefined },
  size: 64 | 128,
  eager = false,
): Html {
  const letter = String.fromCodePoint(name.codePointAt(0) ?? 0x3f).toUpperCase();
  return html`<span
    class="icon${size === 128 ? ' large' : ''}"
    data-letter="${letter}"
    data-hue="${hueOf(id)}"
    aria-hidden="true"
    >${
      icon !== undefined &&
      html`<img
        src="${icon}"
        alt=""
        width="${size}"
        height="${size}"
        decoding="async"
        loading="${eager ? 'eager' : 'lazy'}"
      />`
    }</span
  >`;
}

function hueOf(id: string): number {
  return Array.from(id).reduce((sum, character) => (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973, 0) % HUES;
}
