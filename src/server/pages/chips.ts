/** Categories as chips. */
import type { AppPages } from '../../indexing/appdata/app-pages.ts';
import { html, type Html } from './html.ts';
import { CATEGORIES, type Listing } from './listings.ts';
import type { PageContext } from './page.ts';
import { number } from './words.ts';

/** Writes links to the categories that have apps. */
export function categoryChips({ links }: PageContext, index: string, apps: AppPages, current?: Listing): Html | false {
  const shown = CATEGORIES.filter(({ name }) => apps.count(name) > 0);
  return (
    shown.length > 0 &&
    html`<nav class="chips" aria-label="Categories">
      <ul>
        ${shown.map(
          (listing) =>
            html`<li>
              <a href="${links.listing(index, listing)}" ${listing === current && html`aria-current="page"`}
                >${listing.title} <span class="count">${number(apps.count(listing.name))}</span></a
              >
            </li>`,
        )}
      </ul>
    </nav>`
  );
}
