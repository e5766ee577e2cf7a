/** The page that shows the indexes to people. Its files are in `public/`. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import compress from '@fastify/compress';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { type AppListPage, PAGE_SIZE } from '../../indexing/appdata/app-pages.ts';
import { PACKAGE_FOLDER } from '../../system/package-folder.ts';
import { catchUpFirst } from '../plugins/catch-up.ts';
import { entityTagOf, isFresh } from '../http/caching.ts';
import { pageDirectives, securityHeaders } from '../plugins/security-headers.ts';
import { appListPath, listPagePath } from '../exported-paths.ts';
import type { CurrentSite, IndexDescription, Site } from '../site.ts';
import { nameRequests } from '../plugins/request-ids.ts';

const FOLDER = join(PACKAGE_FOLDER, 'public');
const TEMPLATE = 'index.html';
/** Bytes from which answers are compressed. */
const COMPRESS_FROM = 1024;
const MAX_PAGE = 10_000;

/** Lists the files of the page, which are served below `/page/`. */
export async function pageFiles(): Promise<readonly string[]> {
  return (await readdir(FOLDER)).filter((name) => name !== TEMPLATE);
}

/**
 * Adds the page and its files. `scope` must be one of its own: its answers are compressed, and have headers for
 * browsers.
 * @param tls whether the server speaks HTTPS
 */
export async function pageRoutes(scope: FastifyInstance, site: CurrentSite, tls: boolean): Promise<void> {
  const template = await readFile(join(FOLDER, TEMPLATE), 'utf8');
  await securityHeaders(
    scope,
    tls,
    pageDirectives(
      () => site().iconsUri,
      () => [...site().indexes.values()].some(({ screenshots }) => screenshots === 'link'),
    ),
  );
  nameRequests(scope);
  await scope.register(compress, { threshold: COMPRESS_FROM, encodings: ['br', 'gzip'] });
  await scope.register(fastifyStatic, {
    root: FOLDER,
    prefix: '/page/',
    wildcard: false,
    index: false,
    cacheControl: false,
    globIgnore: [TEMPLATE],
    setHeaders: (reply) => void reply.header('cache-control', 'no-cache'),
  });

  scope.get<{ Querystring: { index?: unknown; page?: unknown } }>(
    '/',
    { schema: { summary: 'The web page', produces: ['text/html'] }, preHandler: catchUpFirst(site) },
    async (request, reply) => {
      const current = site();
      const { indexes, defaultIndex, description } = current;
      const shown =
        description.indexes.find(({ name }) => name === request.query.index) ??
        description.indexes.find(({ name }) => name === defaultIndex);
      const published = shown && indexes.get(shown.name);
      const page = pageNumber(request.query.page);
      const list = await published?.appPage(page);
      const html = fill(template, current, shown, list, page);
      // Weak, because the answer is compressed afterwards.
      const etag = entityTagOf(html);
      reply.headers({ etag: `W/${etag}`, 'cache-control': 'no-cache', vary: 'accept-encoding' });
      if (isFresh(request.headers, etag)) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(html);
    },
  );
}

function pageNumber(text: unknown): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 1 && number <= MAX_PAGE ? number - 1 : 0;
}

/** Data that the page finds in its HTML: the indexes and their texts. */
export interface Known {
  /** The public URL, without a slash at its end; `null` if only the browser knows it. */
  readonly base: string | null;
  /** See {@link Site.exported}. */
  readonly exported?: true;
  readonly indexes: readonly Pick<
    IndexDescription,
    'name' | 'title' | 'remoteName' | 'comment' | 'description' | 'homepage'
  >[];
}

/** Fills the `{{places}}` of the template. The list is for browsers without JavaScript. */
function fill(
  template: string,
  { description: { indexes, baseUrl }, basePath, exported }: Site,
  shown: IndexDescription | undefined,
  list: AppListPage | undefined,
  page: number,
): string {
  const root = `${basePath}/`;
  const known: Known = {
    base: baseUrl ?? null,
    ...(exported && { exported }),
    indexes: indexes.map(({ name, title, remoteName, comment, description, homepage }) => ({
      name,
      title,
      remoteName,
      comment,
      description,
      homepage,
    })),
  };
  const places: Readonly<Record<string, string>> = {
    root: escaped(root),
    title: escaped(indexes.length === 1 ? (indexes[0]?.title ?? '') : 'Apps'),
    known: escaped(JSON.stringify(known)),
    preload: indexes
      .map(
        ({ name }) =>
          `<link rel="preload" as="fetch" crossorigin href="${escaped(root)}${exported ? appListPath(name) : `api/apps?index=${encodeURIComponent(name)}`}">`,
      )
      .join('\n'),
    status: exported ? '' : `<a href="${escaped(root)}?view=status">Status</a>`,
    list: shown === undefined ? '' : listHtml(indexes, shown, list, page, exported, escaped(root)),
  };
  return template.replace(/\{\{(\w+)\}\}/g, (_, place: string) => places[place] ?? '');
}

function listHtml(
  indexes: readonly IndexDescription[],
  shown: IndexDescription,
  list: AppListPage | undefined,
  page: number,
  exported: true | undefined,
  root: string,
): string {
  const link = (index: string, number: number, text: string): string => {
    const query = `?index=${encodeURIComponent(index)}${number === 0 ? '' : `&amp;page=${number + 1}`}`;
    return `<a href="${root}${exported ? listPagePath(index, number + 1) : query}">${text}</a>`;
  };
  const others =
    indexes.length > 1
      ? `<p>Indexes: ${indexes.map(({ name, title }) => link(name, 0, escaped(title))).join(', ')}</p>`
      : '';
  const about = shown.homepage === undefined ? '' : `<p><a href="${escaped(shown.homepage)}">More about it</a></p>`;
  const head = `<h1>${escaped(shown.title)}</h1>${about}${others}<p><a href="${root}${encodeURIComponent(shown.name)}.flatpakrepo">Add all of it to Flatpak</a></p>`;
  if (list === undefined)
    return `${head}<p>This index has not been built yet. Reload the page in a moment; if it is still missing, see the <a href="${root}status">status</a>.</p>`;
  if (list.total === 0) return `${head}<p>There are no apps in this index.</p>`;
  const entries = list.apps.map(
    ({ id, name, summary, endOfLife, replacedBy }) =>
      `<li><a href="${root}${encodeURIComponent(shown.name)}/${encodeURIComponent(id)}.flatpakref">${escaped(name)}</a> ${escaped(summary)}${endOfLife === '' && replacedBy === '' ? '' : ' (no longer maintained)'}</li>`,
  );
  const pages = [
    page > 0 ? link(shown.name, page - 1, 'Previous page') : '',
    (page + 1) * PAGE_SIZE < list.total ? link(shown.name, page + 1, 'Next page') : '',
  ].filter((text) => text !== '');
  return `${head}<ul>${entries.join('\n')}</ul>${pages.length > 0 ? `<p>${pages.join(' · ')}</p>` : ''}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
