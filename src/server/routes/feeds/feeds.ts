/** Files by which programs follow a site: an Atom feed of each index's updates, a sitemap, and rules for robots. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { AppEntry } from '../../../indexing/appdata/app-list.ts';
import { changedAt } from '../../../indexing/appdata/app-pages.ts';
import type { ServedIndex } from '../../documents/served-index.ts';
import { entityTagOf, isFresh } from '../../http/caching.ts';
import { catchUpFirst } from '../../plugins/catch-up.ts';
import { Links } from '../../pages/links.ts';
import { notFoundAt } from '../../plugins/errors.ts';
import { originOf } from '../../plugins/hosts.ts';
import { NotBuiltYet } from '../../server-error.ts';
import type { CurrentSite, IndexDescription, Site } from '../../site.ts';
import { xmlText } from './xml.ts';

const ATOM = 'application/atom+xml';
/** How long clients may cache an answer, in seconds. */
const MAX_AGE = 60;
/** The most URLs of a sitemap (sitemaps.org, "Sitemap index files"). */
const MAX_URLS = 50_000;

/** Adds the routes. */
export function feedRoutes(server: FastifyInstance, site: CurrentSite): void {
  const preHandler = catchUpFirst(site);
  /** The last sitemap: to write one takes a look at all apps. */
  let sitemap: { readonly key: string; readonly text: string } | undefined;

  server.get<{ Params: { index: string } }>(
    '/:index/updates.atom',
    {
      schema: {
        summary: 'Feed of the updates of an index',
        params: Type.Object({ index: Type.String() }),
        produces: [ATOM],
      },
      preHandler,
    },
    async (request, reply) => {
      const current = site();
      const description = current.description.indexes.find(({ name }) => name === request.params.index);
      const index = description && current.indexes.get(description.name);
      if (description === undefined || index === undefined) throw notFoundAt(request);
      return send(current, request, reply, ATOM, await feedOf(current, baseOf(current, request), description, index));
    },
  );

  server.get(
    '/sitemap.xml',
    { schema: { summary: 'Pages of this site, for search engines', produces: ['application/xml'] }, preHandler },
    async (request, reply) => {
      const current = site();
      const base = baseOf(current, request);
      const lists = [...current.indexes.values()].map((index) => index.apps()?.get('identity')?.etag ?? '');
      const key = [base, ...lists].join(' ');
      if (sitemap?.key !== key) sitemap = { key, text: await sitemapOf(current, base) };
      return send(current, request, reply, 'application/xml', sitemap.text);
    },
  );

  server.get(
    '/robots.txt',
    { schema: { summary: 'Rules for search engines', produces: ['text/plain'] } },
    async (request, reply) => {
      const current = site();
      return send(current, request, reply, 'text/plain', robotsOf(current, baseOf(current, request)));
    },
  );
}

function baseOf({ description }: Site, request: FastifyRequest): string {
  return description.baseUrl ?? originOf(request);
}

function homeOf(site: Site, base: string, { name }: IndexDescription): string {
  return new URL(new Links(site).index(name), base).href;
}

function appUrl(site: Site, base: string, { name }: IndexDescription, { id }: AppEntry): string {
  return new URL(new Links(site).app(name, id), base).href;
}

/** Writes a feed (RFC 4287) with an entry for the last update of each app, so that readers show each update once. */
async function feedOf(site: Site, base: string, description: IndexDescription, index: ServedIndex): Promise<string> {
  const summary = await index.appSummary();
  const modified = index.shown?.publication.modified;
  if (summary === undefined || modified === undefined) throw new NotBuiltYet(index.name);
  const self = `${base}/${description.name}/updates.atom`;
  const entries = summary.changed.map((app) => {
    const url = xmlText(appUrl(site, base, description, app));
    const time = changedAt(app);
    return `<entry>
<id>${url}#${time}</id>
<title>${xmlText(app.name)}</title>
<updated>${time}</updated>
<link rel="alternate" type="text/html" href="${url}"/>
<summary>${xmlText(app.summary)}</summary>
</entry>
`;
  });
  const [newest] = summary.changed;
  const updated = newest === undefined ? new Date(modified).toISOString() : changedAt(newest);
  return `<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
<id>${xmlText(self)}</id>
<title>${xmlText(description.title)}</title>
<updated>${updated}</updated>
<author><name>${xmlText(description.title)}</name></author>
<link rel="self" type="${ATOM}" href="${xmlText(self)}"/>
<link rel="alternate" type="text/html" href="${xmlText(homeOf(site, base, description))}"/>
${entries.join('')}</feed>
`;
}

/** Writes a sitemap (sitemaps.org) of the homes and the apps. */
async function sitemapOf(site: Site, base: string): Promise<string> {
  const { indexes } = site.description;
  // That of the only index is the first page.
  const homes = new Set([`${base}/`, ...indexes.map((description) => homeOf(site, base, description))]);
  const urls = [...homes].map((url) => ({ url, time: '' }));
  for (const description of indexes)
    for await (const app of site.indexes.get(description.name)?.appPages?.entries() ?? [])
      if (app.kind === 'app') urls.push({ url: appUrl(site, base, description, app), time: changedAt(app) });
  const lines = urls
    .slice(0, MAX_URLS)
    .map(
      ({ url, time }) => `<url><loc>${xmlText(url)}</loc>${time === '' ? '' : `<lastmod>${time}</lastmod>`}</url>\n`,
    );
  return `<?xml version="1.0" encoding="utf-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
${lines.join('')}</urlset>
`;
}

/** Writes the rules (RFC 9309): what only programs of Flatpak and administrators ask for is nothing to search. */
function robotsOf({ basePath }: Site, base: string): string {
  // A path stands for all that begin with it, as do `index.html` and the names of some indexes, unless `$` ends it.
  const paths = ['v2/', 'index/', 'status$', 'status/', 'metrics$'].map((path) => `Disallow: ${basePath}/${path}\n`);
  return `User-agent: *\n${paths.join('')}\nSitemap: ${base}/sitemap.xml\n`;
}

function send(
  { description: { baseUrl } }: Site,
  request: FastifyRequest,
  reply: FastifyReply,
  type: string,
  text: string,
): FastifyReply {
  const etag = entityTagOf(text);
  // Without a base URL, it depends on the request's host, which shared caches may not distinguish.
  reply.headers({ etag, 'cache-control': `${baseUrl === undefined ? 'private' : 'public'}, max-age=${MAX_AGE}` });
  if (isFresh(request.headers, etag)) return reply.code(304).send();
  return reply.header('content-type', `${type}; charset=utf-8`).send(text);
}
