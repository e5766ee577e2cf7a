/** A list of apps, page by page. */
import type { AppPages } from '../../indexing/appdata/app-pages.ts';
import type { IndexDescription } from '../site.ts';
import { appGrid } from './app-card.ts';
import { categoryChips } from './chips.ts';
import { html, type Html } from './html.ts';
import { LISTED, type Listing } from './listings.ts';
import type { Page, PageContext } from './page.ts';
import { counted, number } from './words.ts';

/** Links to pages around the current one. */
const AROUND = 2;

/**
 * Returns a page of a list; `undefined` if there is no such page.
 * @param page counted from 1
 */
export async function listingPage(
  context: PageContext,
  index: IndexDescription,
  { listing, apps, page }: { readonly listing: Listing; readonly apps: AppPages; readonly page: number },
): Promise<Page | undefined> {
  const { links } = context;
  const total = apps.count(listing.name);
  if (page > pagesOf(apps, listing)) return undefined;
  const entries = await apps.listing(listing.name, (page - 1) * LISTED, LISTED);
  return {
    title: page === 1 ? listing.title : `${listing.title}, page ${page}`,
    description: `${counted(total, 'entry', 'entries')} in ${listing.title} of ${index.title}`,
    path: links.listing(index.name, listing, page),
    index,
    searchable: true,
    data: { '@type': 'CollectionPage', name: listing.title },
    content: html`<p class="back"><a href="${links.index(index.name)}">← ${index.title}</a></p>
      <h1>${listing.title} <span class="count">${number(total)}</span></h1>
      ${categoryChips(context, index.name, apps, listing)}
      ${appGrid(
        links,
        entries.map((app) => ({ index: index.name, app })),
        { label: listing.title, eager: true },
      )}
      ${pager(context, index.name, listing, apps, page)}`,
  };
}

/** Returns the number of pages of a list, at least 1. */
export function pagesOf(apps: AppPages, { name }: Listing): number {
  return Math.max(1, Math.ceil(apps.count(name) / LISTED));
}

/** Writes links to the other pages of a list. */
export function pager({ links }: PageContext, index: string, listing: Listing, apps: AppPages, page: number): Html {
  const last = pagesOf(apps, listing);
  if (last === 1) return html``;
  const near = [1, ...Array.from({ length: 2 * AROUND + 1 }, (_, place) => page - AROUND + place), last];
  const shown = [...new Set(near)].filter((each) => each >= 1 && each <= last);
  const link = (to: number, text: string, label: string): Html =>
    html`<a
      href="${links.listing(index, listing, to)}"
      aria-label="${label}"
      ${to === page && html`aria-current="page"`}
      >${text}</a
    >`;
  return html`<nav class="pager" aria-label="Pages">
    ${page > 1 && link(page - 1, 'Previous', 'Previous page')}
    ${shown.map((each, place) => [
      place > 0 && each > (shown[place - 1] ?? 0) + 1 && html`<span>…</span>`,
      link(each, String(each), `Page ${each}`),
    ])}
    ${page < last && link(page + 1, 'Next', 'Next page')}
  </nav>`;
}
