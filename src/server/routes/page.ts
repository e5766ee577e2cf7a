/** Pages for people, written by the server. Their files are in `public/`. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import compress from '@fastify/compress';
import fastifyStatic from '@fastify/static';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isAppId } from '../../indexing/appdata/flatpak-image.ts';
import { translatedDetails } from '../../indexing/appdata/translated-details.ts';
import { PACKAGE_FOLDER } from '../../system/package-folder.ts';
import { indexNamed } from '../documents/served-index.ts';
import { acceptedLanguages } from '../http/accept-language.ts';
import { entityTagOf, isFresh } from '../http/caching.ts';
import { appPage } from '../pages/app.ts';
import { indexHome, siteHome } from '../pages/home.ts';
import { Links } from '../pages/links.ts';
import { listingPage } from '../pages/listing.ts';
import { LISTINGS } from '../pages/listings.ts';
import { errorPage, statusPage } from '../pages/other-pages.ts';
import { type Page, type PageContext, writePage } from '../pages/page.ts';
import { catchUpFirst } from '../plugins/catch-up.ts';
import { notFoundAt, sendError } from '../plugins/errors.ts';
import { originOf } from '../plugins/hosts.ts';
import { nameRequests } from '../plugins/request-ids.ts';
import { pageDirectives, policyText, securityHeaders } from '../plugins/security-headers.ts';
import { NotBuiltYet, NotFound } from '../server-error.ts';
import type { CurrentSite, IndexDescription, Site } from '../site.ts';

const FOLDER = join(PACKAGE_FOLDER, 'public');
/** Bytes from which answers are compressed. */
const COMPRESS_FROM = 1024;
const MAX_PAGE = 10_000;
/** Parameters that ask for a search, which a script does. */
const SEARCH = ['q', 'all', 'arch', 'tag', 'sort'];
/** Titles of pages for errors, by status. */
const ERRORS: Readonly<Record<number, string>> = { 404: 'Not found', 503: 'Not ready yet' };

type Query = Readonly<Record<string, unknown>>;

/** Lists the files of the page, which are served below `/page/`. */
export async function pageFiles(): Promise<readonly string[]> {
  return readdir(FOLDER);
}

/**
 * Adds the pages and their files. `scope` must be one of its own: its answers are compressed, and have headers for
 * browsers.
 * @param tls whether the server speaks HTTPS
 */
export async function pageRoutes(scope: FastifyInstance, site: CurrentSite, tls: boolean): Promise<void> {
  await securityHeaders(scope, tls, directivesOf(site));
  nameRequests(scope);
  await scope.register(compress, { threshold: COMPRESS_FROM, encodings: ['br', 'gzip'] });
  await scope.register(fastifyStatic, {
    root: FOLDER,
    prefix: '/page/',
    wildcard: false,
    index: false,
    cacheControl: false,
    setHeaders: (reply) => void reply.header('cache-control', 'no-cache'),
  });
  scope.setErrorHandler((error: FastifyError, request, reply) => sendErrorPage(site, error, request, reply));
  const preHandler = catchUpFirst(site);

  scope.get<{ Querystring: Query }>(
    '/',
    { schema: pageSchema('The first page'), preHandler },
    async (request, reply) => {
      const context = await contextOf(site, request);
      return send(request, reply, context, await home(context, request.query));
    },
  );

  scope.get<{ Params: { index: string } }>(
    '/:index',
    { schema: pageSchema('The first page of an index') },
    (request, reply) => {
      const { name } = described(site(), request.params.index, request);
      const query = request.url.replace(/^[^?]*/, '');
      return reply.redirect(`${site().basePath}/${name}/${query}`, 308);
    },
  );

  scope.get<{ Params: { index: string }; Querystring: Query }>(
    '/:index/',
    { schema: pageSchema('The first page of an index'), preHandler },
    async (request, reply) => {
      const context = await contextOf(site, request);
      const index = described(context.site, request.params.index, request);
      return send(request, reply, context, await indexHome(context, index, isSearch(request.query)));
    },
  );

  scope.get<{ Params: { index: string; page: string }; Querystring: Query }>(
    '/:index/:page',
    { schema: pageSchema('The page of an app, or of a category'), preHandler },
    async (request, reply) => {
      const context = await contextOf(site, request);
      const index = described(context.site, request.params.index, request);
      const { page: name } = request.params;
      const page = isAppId(name)
        ? await appOf(context, index, name, acceptedLanguages(request.headers['accept-language']))
        : await listingOf(context, index, name, request.query['page']);
      if (page === undefined) throw notFoundAt(request);
      return send(request, reply, context, page);
    },
  );
}

function pageSchema(summary: string) {
  return { summary, produces: ['text/html'] };
}

/** Returns the policy of the pages. */
function directivesOf(site: CurrentSite): ReturnType<typeof pageDirectives> {
  return pageDirectives(
    () => site().iconsUri,
    () => [...site().indexes.values()].some(({ screenshots }) => screenshots === 'link'),
  );
}

async function contextOf(site: CurrentSite, request: FastifyRequest): Promise<PageContext> {
  const current = site();
  const links = new Links(current);
  const logos = new Map<string, string>();
  for (const index of current.indexes.values()) {
    // Best effort: a picture that cannot be read now must not keep the page away.
    const path = await index.logo().catch(() => undefined);
    if (path !== undefined) logos.set(index.name, links.root + path);
  }
  return {
    site: current,
    links,
    base: current.description.baseUrl ?? originOf(request),
    logos,
    ...(current.exported && { policy: policyText(directivesOf(() => current)) }),
  };
}

/** @throws NotFound */
function described({ description }: Site, name: string, request: FastifyRequest): IndexDescription {
  const index = description.indexes.find((each) => each.name === name);
  if (index === undefined) throw notFoundAt(request);
  return index;
}

function home(context: PageContext, query: Query): Page | Promise<Page> {
  const [first, ...others] = context.site.description.indexes;
  if (query['view'] === 'status') return statusPage();
  return first === undefined || others.length > 0
    ? siteHome(context, isSearch(query))
    : indexHome(context, first, isSearch(query));
}

function isSearch(query: Query): boolean {
  return SEARCH.some((name) => query[name] !== undefined && query[name] !== '');
}

/** @throws NotFound */
async function appOf(
  context: PageContext,
  index: IndexDescription,
  id: string,
  languages: readonly string[],
): Promise<Page> {
  const found = await indexNamed(context.site.indexes, index.name).app(id);
  if (found === undefined) throw new NotFound(`${index.title} has no app “${id}”. It may have been removed.`);
  return appPage(context, index, translatedDetails(found, languages));
}

/** @throws NotBuiltYet */
async function listingOf(
  context: PageContext,
  index: IndexDescription,
  slug: string,
  page: unknown,
): Promise<Page | undefined> {
  const listing = LISTINGS.find((each) => each.slug === slug);
  const number = page === undefined ? 1 : Number(page);
  if (listing === undefined || !Number.isInteger(number) || number < 1 || number > MAX_PAGE) return undefined;
  const apps = indexNamed(context.site.indexes, index.name).appPages;
  if (apps === undefined) throw new NotBuiltYet(index.name);
  return listingPage(context, index, { listing, apps, page: number });
}

function send(request: FastifyRequest, reply: FastifyReply, context: PageContext, page: Page): FastifyReply {
  const text = writePage(context, page);
  // Weak, because the answer is compressed afterwards.
  const etag = entityTagOf(text);
  reply.headers({ etag: `W/${etag}`, 'cache-control': 'no-cache', vary: 'accept-encoding, accept-language' });
  if (isFresh(request.headers, etag)) return reply.code(304).send();
  return reply.type('text/html; charset=utf-8').send(text);
}

/** Answers an error with a page, if the client takes one. */
async function sendErrorPage(
  site: CurrentSite,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const title = ERRORS[error.statusCode ?? 500];
  if (title === undefined || !/\btext\/html\b/.test(request.headers.accept ?? ''))
    return sendError(error, request, reply);
  const context = await contextOf(site, request);
  const { index: name } = request.params as { readonly index?: string };
  const index = context.site.description.indexes.find((each) => each.name === name);
  for (const header of ['etag', 'vary']) reply.removeHeader(header);
  return reply
    .code(error.statusCode ?? 500)
    .headers({ 'cache-control': 'no-store' })
    .type('text/html; charset=utf-8')
    .send(writePage(context, errorPage(context.links, index, title, error.message)));
}
