/**
 * `.flatpakrepo` and `.flatpakref` files, which add an index to Flatpak or install an app (flatpak-flatpakrepo(5),
 * flatpak-flatpakref(5)).
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AppDetails, AppImage } from '../../../indexing/appdata/app-details.ts';
import { isAppId, isWebUrl } from '../../../indexing/appdata/flatpak-image.ts';
import { DEFAULT_TAG, TAG } from '../../../registry/reference.ts';
import { entityTagOf, isFresh } from '../../http/caching.ts';
import { catchUpFirst } from '../../plugins/catch-up.ts';
import { notFoundAt } from '../../plugins/errors.ts';
import { originOf } from '../../plugins/hosts.ts';
import type { CurrentSite, IndexDescription, Site, SiteDescription } from '../../site.ts';
import { NotFound } from '../../server-error.ts';

const REPO = '.flatpakrepo';
const REF = '.flatpakref';
/** How long clients may cache a file, in seconds. */
const MAX_AGE = 60;

/** Keys of a file; those that are `undefined` are left out. */
type Entries = Readonly<Record<string, string | undefined>>;

/** Adds the routes of files for Flatpak. */
export function flatpakFileRoutes(server: FastifyInstance, site: CurrentSite): void {
  const repository = {
    summary: 'File that adds an index to Flatpak',
    querystring: {
      type: 'object',
      properties: { tag: { type: 'string', pattern: TAG.source } },
      additionalProperties: false,
    },
    produces: ['application/vnd.flatpak.repo'],
  };
  server.get<{ Params: { index: string }; Querystring: { tag?: string } }>(
    `/:index${REPO}`,
    { schema: repository },
    (request, reply) => {
      const { description } = site();
      const index = indexOf(description, request.params.index, request);
      const { title: Title, comment: Comment, description: Description, homepage: Homepage, icon: Icon } = index;
      const base = baseOf(description, request);
      const keys = {
        Title,
        Url: remoteUrl(base, index, request.query.tag),
        Comment,
        Description,
        Homepage,
        Icon,
        ...trust(base, index),
      };
      return sendFile(
        request,
        reply.header('cache-control', cacheControlOf(description)),
        `${index.name}${REPO}`,
        'application/vnd.flatpak.repo',
        keyFile('Flatpak Repo', keys),
      );
    },
  );

  const ref = {
    summary: 'File that installs an app',
    querystring: {
      type: 'object',
      properties: { tag: { type: 'string' }, arch: { type: 'string' } },
      additionalProperties: false,
    },
    produces: ['application/vnd.flatpak.ref'],
  };
  server.get<{ Params: { index: string; id: string }; Querystring: { tag?: string; arch?: string } }>(
    `/:index/:id${REF}`,
    { schema: ref, preHandler: catchUpFirst(site) },
    async (request, reply) => {
      const { description, indexes } = site();
      const { id } = request.params;
      const index = indexOf(description, request.params.index, request);
      const details = isAppId(id) ? (await indexes.get(index.name)?.app(id))?.details : undefined;
      const { tag, arch } = request.query;
      const image = details?.images.find(
        ({ tags, architecture, ref: its }) =>
          (tag === undefined || tags.includes(tag)) &&
          (arch === undefined || architecture === arch || its.split('/')[2] === arch),
      );
      if (details === undefined || image === undefined)
        throw new NotFound(
          `The index "${index.name}" has no ${id}${tag === undefined ? '' : ` with the tag ${tag}`}${arch === undefined ? '' : ` for ${arch}`}.`,
        );
      const wanted = tag ?? tagOf(image.tags);
      const base = baseOf(description, request);
      const RuntimeRepo =
        webUrl(image.runtimeRepo) ?? index.runtimeRepo ?? (await ownRuntimeRepo(site(), base, index, image, wanted));
      const keys = { ...refKeys(base, index, details, image, wanted), RuntimeRepo, ...trust(base, index) };
      return sendFile(
        request,
        reply.header('cache-control', cacheControlOf(description)),
        `${id}${REF}`,
        'application/vnd.flatpak.ref',
        keyFile('Flatpak Ref', keys),
      );
    },
  );
}

/** @throws NotFound */
function indexOf({ indexes }: SiteDescription, name: string, request: FastifyRequest): IndexDescription {
  const index = indexes.find((each) => each.name === name);
  if (index === undefined) throw notFoundAt(request);
  return index;
}

function baseOf({ baseUrl }: SiteDescription, request: FastifyRequest): string {
  return baseUrl ?? originOf(request);
}

/** Without a base URL, the file depends on the request's host, which shared caches may not distinguish. */
function cacheControlOf({ baseUrl }: SiteDescription): string {
  return `${baseUrl === undefined ? 'private' : 'public'}, max-age=${MAX_AGE}`;
}

/**
 * Returns the URL of the `.flatpakrepo` of an index that has the runtime of an app's image; the app's own index is
 * preferred.
 */
async function ownRuntimeRepo(
  { indexes, description: { indexes: published } }: Site,
  at: string,
  index: IndexDescription,
  { ref, runtime }: AppImage,
  tag: string | undefined,
): Promise<string | undefined> {
  const [id = ''] = runtime.split('/');
  if (!ref.startsWith('app/') || !isAppId(id)) return undefined;
  for (const other of [index, ...published.filter((one) => one !== index)]) {
    const current = indexes.get(other.name);
    if (current?.shown === undefined) continue;
    const details = (await current.app(id))?.details;
    const tags =
      details?.images.filter((image) => image.ref === `runtime/${runtime}`).flatMap((image) => image.tags) ?? [];
    if (tags.length === 0) continue;
    const runtimeTag = tag !== undefined && tags.includes(tag) ? tag : tagOf(tags);
    return `${at}/${other.name}${REPO}${runtimeTag === undefined || runtimeTag === DEFAULT_TAG ? '' : `?tag=${encodeURIComponent(runtimeTag)}`}`;
  }
  return undefined;
}

/** Chooses the tag that a client asks for. */
function tagOf(tags: readonly string[]): string | undefined {
  return tags.includes(DEFAULT_TAG) ? DEFAULT_TAG : tags[0];
}

function refKeys(
  base: string,
  index: IndexDescription,
  { id, name, summary, homepage, icon }: AppDetails,
  { branch, ref }: AppImage,
  tag: string | undefined,
): Entries {
  const document = `${base}/${index.name}/index/static`;
  return {
    Name: id,
    Branch: branch,
    Title: name,
    Comment: summary || undefined,
    Url: remoteUrl(base, index, tag),
    IsRuntime: String(ref.startsWith('runtime/')),
    Homepage: homepage || undefined,
    Icon: webUrl(icon, document),
    SuggestRemoteName: index.remoteName,
  };
}

/** Resolves an HTTP(S) URL; `undefined` for anything else, such as a `data:` URI. */
function webUrl(reference: string, document?: string): string | undefined {
  const url = reference === '' ? undefined : URL.parse(reference, document)?.href;
  return isWebUrl(url) ? url : undefined;
}

function remoteUrl(base: string, { name }: IndexDescription, tag?: string): string {
  return `oci+${base}/${name}${tag === undefined || tag === DEFAULT_TAG ? '' : `#${encodeURIComponent(tag)}`}`;
}

function trust(base: string, { name, gpgKey, collectionId, signatures }: IndexDescription): Entries {
  return {
    GPGKey: gpgKey,
    DeployCollectionID: collectionId,
    SignatureLookaside: signatures ? `${base}/${name}/signatures` : undefined,
  };
}

/** Formats a key file of one group, as GLib does: escapes keep each value on its line. */
export function keyFile(group: string, entries: Entries): string {
  const lines = Object.entries(entries).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${escaped(value)}\n`],
  );
  return `[${group}]\n${lines.join('')}`;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(value: string): string {
  return value
    .replace(/[\\\n\r\t]/g, (character) => ESCAPES[character] ?? '')
    .replace(/[\p{Cc}\u2028\u2029]/gu, '')
    .replace(/^ /, '\\s');
}

function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  name: string,
  type: string,
  text: string,
): FastifyReply {
  const etag = entityTagOf(text);
  reply.header('etag', etag);
  if (isFresh(request.headers, etag)) return reply.code(304).send();
  return reply
    .headers({ 'content-type': `${type}; charset=utf-8`, 'content-disposition': `attachment; filename="${name}"` })
    .send(text);
}
