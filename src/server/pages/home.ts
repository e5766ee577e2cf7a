/** The first page: what an index is, how to add it, what is new in it, its categories and its apps. */
import type { AppEntry } from '../../indexing/appdata/app-list.ts';
import type { AppPages } from '../../indexing/appdata/app-pages.ts';
import type { IndexDescription } from '../site.ts';
import { appGrid } from './app-card.ts';
import { categoryChips } from './chips.ts';
import { html, type Html } from './html.ts';
import { pager } from './listing.ts';
import { ALL_APPS, LISTED, OTHER_KINDS } from './listings.ts';
import type { Page, PageContext } from './page.ts';
import { setUp } from './set-up.ts';
import { counted, number } from './words.ts';

/** Apps of each index where several are shown. */
const SHELF = 12;
/** Apps that are shown before all others: only where there are more. */
const FEATURED = 6;

/** Returns the first page of an index. */
export async function indexHome(context: PageContext, index: IndexDescription, searching: boolean): Promise<Page> {
  const { site, links } = context;
  const { title, comment = '', description = '' } = index;
  const apps = site.indexes.get(index.name)?.appPages;
  return {
    title: '',
    description: description || comment,
    path: links.index(index.name),
    index,
    searchable: true,
    searching,
    data: { '@type': 'WebSite', name: title, description: description || comment || undefined },
    content: html`<header class="intro">
        ${logoOf(context, index)}
        <div>
          <h1 dir="auto">${title}</h1>
          ${comment !== '' && html`<p class="lead" dir="auto">${comment}</p>`}
        </div>
        ${setUp(context, index)}
      </header>
      ${apps === undefined ? notBuilt(context) : await shelves(context, index, apps)} ${about(index)}`,
  };
}

async function shelves(context: PageContext, index: IndexDescription, apps: AppPages): Promise<Html> {
  const { links } = context;
  const total = apps.count(ALL_APPS.name);
  const others = OTHER_KINDS.filter(({ name }) => apps.count(name) > 0);
  const [entries, { changed, added }] = await Promise.all([apps.listing(ALL_APPS.name, 0, LISTED), apps.summary()]);
  const placed = (all: typeof entries) => all.map((app) => ({ index: index.name, app }));
  const row = (title: string, all: typeof entries): Html | false =>
    total > FEATURED &&
    all.length > 0 &&
    html`<section class="shelf">
      <h2>${title}</h2>
      ${appGrid(links, placed(all.slice(0, FEATURED)), { label: title, eager: true, className: 'grid row' })}
    </section>`;
  return html`${categoryChips(context, index.name, apps)} ${row('Recently updated', changed.filter(isMaintained))}
    ${row('New', added.filter(isMaintained))}
    <section class="shelf">
      <h2>${ALL_APPS.title} <span class="count">${number(total)}</span></h2>
      ${
        total === 0
          ? html`<p class="notice">
              There are no apps here yet. They appear as soon as the registry has some that the configuration includes.
            </p>`
          : appGrid(links, placed(entries), { label: ALL_APPS.title, eager: total <= FEATURED })
      }
      ${pager(context, index.name, ALL_APPS, apps, 1)}
    </section>
    ${
      others.length > 0 &&
      html`<p class="others">
        Also here:
        ${others.map(
          (listing, place) =>
            html`${place > 0 && ', '}<a href="${links.listing(index.name, listing)}"
                >${counted(apps.count(listing.name), listing.name)}</a
              >`,
        )}
      </p>`
    }`;
}

function logoOf({ logos }: PageContext, { name }: IndexDescription): Html | false {
  const logo = logos.get(name);
  return logo !== undefined && html`<img class="logo" src="${logo}" alt="" width="64" height="64" />`;
}

function isMaintained({ endOfLife, replacedBy }: AppEntry): boolean {
  return endOfLife === '' && replacedBy === '';
}

function about({ title, description, homepage }: IndexDescription): Html | false {
  if (description === undefined && homepage === undefined) return false;
  return html`<section class="shelf about-index">
    <h2>About ${title}</h2>
    ${description !== undefined && html`<p dir="auto">${description}</p>`}
    ${
      homepage !== undefined &&
      html`<p><a href="${homepage}" rel="noopener noreferrer">More at ${new URL(homepage).host}</a></p>`
    }
  </section>`;
}

/** Writes that an index is not built yet. A script loads the page again while that is so. */
function notBuilt({ links }: PageContext): Html {
  return html`<div class="notice" data-reload>
    <p>This index is being built for the first time. Its apps appear here as soon as it is ready.</p>
    ${links.status !== undefined && html`<p><a href="${links.status}">See the status</a></p>`}
  </div>`;
}

/** Returns the first page of several indexes. */
export async function siteHome(context: PageContext, searching: boolean): Promise<Page> {
  const { site, links } = context;
  const { indexes } = site.description;
  return {
    title: '',
    description: `${indexes.map(({ title }) => title).join(', ')}: apps for Flatpak`,
    path: links.root,
    index: undefined,
    searchable: true,
    searching,
    data: { '@type': 'WebSite', name: 'Apps' },
    content: html`<h1 class="unseen">Apps</h1>
      ${await Promise.all(indexes.map(async (index, place) => indexShelf(context, index, place === 0)))}`,
  };
}

async function indexShelf(context: PageContext, index: IndexDescription, eager: boolean): Promise<Html> {
  const { site, links } = context;
  const { name, title, comment = '' } = index;
  const apps = site.indexes.get(name)?.appPages;
  const total = apps?.count(ALL_APPS.name) ?? 0;
  const entries = (await apps?.listing(ALL_APPS.name, 0, SHELF)) ?? [];
  return html`<section class="shelf">
    <header class="intro">
      ${logoOf(context, index)}
      <div>
        <h2 dir="auto"><a href="${links.index(name)}">${title}</a></h2>
        ${comment !== '' && html`<p class="lead" dir="auto">${comment}</p>`}
      </div>
      ${setUp(context, index)}
    </header>
    ${apps === undefined && notBuilt(context)}
    ${appGrid(
      links,
      entries.map((app) => ({ index: name, app })),
      { label: title, eager },
    )}
    ${
      apps !== undefined &&
      html`<p class="others">
        <a href="${links.index(name)}">${total > SHELF ? `All ${counted(total, 'app')}` : 'More'} of ${title}</a>
      </p>`
    }
  </section>`;
}
