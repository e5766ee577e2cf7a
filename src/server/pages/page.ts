/** A page of the site: what all pages have around their content, and what other sites show of them. */
import type { IndexDescription, Site } from '../site.ts';
import { dataScript, html, type Html } from './html.ts';
import type { Links } from './links.ts';
import { searchForm, searchResults } from './search-form.ts';

/** Objects that pages are written from. */
export interface PageContext {
  readonly site: Site;
  readonly links: Links;
  /** The public URL, without a slash at its end. */
  readonly base: string;
  /** Paths of the pictures of indexes, by name. */
  readonly logos: ReadonlyMap<string, string>;
  /** Content security policy, if the page has to say it itself. */
  readonly policy?: string;
}

/** A page without what all pages have around their content. */
export interface Page {
  /** Its own title. Empty for the first page, which has that of the site. */
  readonly title: string;
  /** One or two sentences for search engines; empty if there is nothing to say. */
  readonly description: string;
  /** The one path under which search engines list it; `undefined` if they should not. */
  readonly path: string | undefined;
  /** The index that it is of; `undefined` if it is of all. */
  readonly index: IndexDescription | undefined;
  /** Path or URL of a picture of what it shows. */
  readonly image?: string | undefined;
  /** Description of its content, in the words of schema.org. */
  readonly data?: object;
  /** Scripts that it needs besides those of all pages: file names. */
  readonly scripts?: readonly string[];
  /** Set if results of a search replace its content; other pages lead there. */
  readonly searchable?: boolean;
  /** Set if the URL asks for a search, so that its content is not shown first. */
  readonly searching?: boolean;
  readonly content: Html;
}

/** Data that scripts find in the page. */
export interface Known {
  /** Path that all others begin with; ends with `/`. */
  readonly root: string;
  /** Where results of a search are shown: the first page of the index, or of all. */
  readonly home: string;
  /** See {@link Site.exported}. */
  readonly exported?: true;
  /** Indexes to search. */
  readonly indexes: readonly {
    readonly name: string;
    readonly title: string;
    readonly home: string;
    /** Path of its list of apps. */
    readonly apps: string;
  }[];
}

/** Writes a page. */
export function writePage(context: PageContext, page: Page): string {
  const { site, links, base, logos } = context;
  const { description, index } = page;
  const logo = index && logos.get(index.name);
  const siteTitle = index?.title ?? titleOf(site);
  const title = page.title === '' ? siteTitle : `${page.title} – ${siteTitle}`;
  const canonical = page.path === undefined ? undefined : new URL(page.path, base).href;
  const image =
    page.image === undefined && logo === undefined ? undefined : new URL(page.image ?? logo ?? '', base).href;
  const home = index === undefined ? links.root : links.index(index.name);
  const known: Known = {
    root: links.root,
    home,
    ...(site.exported && { exported: site.exported }),
    indexes: (index === undefined ? site.description.indexes : [index]).map(({ name, title: its }) => ({
      name,
      title: its,
      home: links.index(name),
      apps: links.appList(name),
    })),
  };
  const scripts = ['main.js', ...(page.searchable ? ['search-view.js'] : []), ...(page.scripts ?? [])];
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        ${context.policy !== undefined && html`<meta http-equiv="Content-Security-Policy" content="${context.policy}" />`}
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        ${description !== '' && html`<meta name="description" content="${description}" />`}
        ${canonical === undefined ? html`<meta name="robots" content="noindex" />` : html`<link rel="canonical" href="${canonical}" />`}
        <meta property="og:type" content="website" />
        <meta property="og:site_name" content="${siteTitle}" />
        <meta property="og:title" content="${page.title || siteTitle}" />
        ${description !== '' && html`<meta property="og:description" content="${description}" />`}
        ${canonical !== undefined && html`<meta property="og:url" content="${canonical}" />`}
        ${image !== undefined && html`<meta property="og:image" content="${image}" />`}
        <meta name="twitter:card" content="summary" />
        <link rel="icon" type="image/svg+xml" href="${links.file('icon.svg')}" />
        <link rel="stylesheet" href="${links.file('page.css')}" />
        ${
          index !== undefined &&
          html`<link rel="alternate" type="application/atom+xml" title="Updates" href="${links.feed(index.name)}" />`
        }
        <script src="${links.file('theme.js')}"></script>
        ${scripts.map((name) => html`<script type="module" src="${links.file(name)}"></script>`)}
        ${page.data !== undefined && dataScript('application/ld+json', { '@context': 'https://schema.org', ...page.data })}
      </head>
      <body data-known="${JSON.stringify(known)}">
        <a class="skip" href="#main">Skip to the content</a>
        <header class="top">
          <a class="brand" href="${home}"
            ><img src="${logo ?? links.file('icon.svg')}" alt="" width="32" height="32" /><span dir="auto"
              >${siteTitle}</span
            ></a
          >
          <nav aria-label="Site">
            ${links.status !== undefined && html`<a href="${links.status}" ${page.title === STATUS && html` aria-current="page"`}>${STATUS}</a>`}
            <button type="button" id="theme" class="scripted" aria-label="Colours: as the system">
              <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
                <circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" stroke-width="2" />
                <path d="M12 3a9 9 0 0 1 0 18z" fill="currentColor" />
              </svg>
            </button>
          </nav>
          ${searchForm(home, page.searchable ?? false)}
        </header>
        <main id="main" tabindex="-1" class="${page.searching && 'searching'}">
          ${
            page.searchable
              ? html`${searchResults(links.file('icon.svg'))}
                  <div class="browse">${page.content}</div>`
              : page.content
          }
        </main>
        <footer class="bottom">
          <p>Served by regindexer</p>
        </footer>
        <div id="live" class="unseen" role="status"></div>
      </body>
    </html>`.toString();
}

/** Title of the view of the service's state. */
export const STATUS = 'Status';

/** Returns the title of the site: that of its only index, if there is but one. */
function titleOf({ description: { indexes } }: Site): string {
  return indexes.length === 1 ? (indexes[0]?.title ?? '') : 'Apps';
}
