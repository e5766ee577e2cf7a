/**
 * `/v2/`: the pull part of the Distribution API (OCI distribution-spec, "Pull"), from image layouts on disk and a
 * registry behind this server.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Digest } from '../../../registry/digest.ts';
import { isDigest } from '../../../registry/digest.ts';
import { DELTA_INDEX_TAG, isRepositoryName, isTag } from '../../../registry/reference.ts';
import { isNotFound, RegistryError } from '../../../registry/registry-error.ts';
import { IMMUTABLE, isFresh } from '../../http/caching.ts';
import { type Content, sendContent } from '../../http/send-content.ts';
import { allow } from '../../plugins/allow.ts';
import { notFoundAt, sendError } from '../../plugins/errors.ts';
import { SANDBOXED } from '../../plugins/security-headers.ts';
import { logOf } from '../../plugins/request-ids.ts';
import { DistributionError, NotReadable } from '../../server-error.ts';
import type { CurrentSite, PullSource, Site } from '../../site.ts';
import { blobContent } from '../deltas.ts';

/** Names on a page of a list. */
const MAX_PAGE = 1000;
const BLOB_TYPE = 'application/octet-stream';
const HEADERS = { 'docker-distribution-api-version': 'registry/2.0', ...SANDBOXED };

interface Page {
  Querystring: { n?: string; last?: string };
}

interface PathAndPage extends Page {
  Params: { '*': string };
}

/**
 * Adds `/v2/`. The first source of the site that has a repository answers for it; the proxy is asked where none has it.
 */
export function distributionRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.setErrorHandler((error: FastifyError | RegistryError, request, reply) =>
    sendError(
      error instanceof RegistryError && error.code !== 'digest-mismatch' ? unreadable(request, error) : error,
      request,
      reply,
      (statusCode, message) => ({
        errors: [
          {
            code: error instanceof DistributionError ? error.reason : statusCode === 405 ? 'UNSUPPORTED' : 'UNKNOWN',
            message,
          },
        ],
      }),
    ),
  );
  const allowNoOther = allow(server);
  server.addHook('onRequest', (request, reply, done) => {
    const { pullSources, registryProxy } = site();
    if (pullSources.length === 0 && registryProxy === undefined) {
      done(notFoundAt(request));
      return;
    }
    reply.headers(HEADERS);
    done();
  });

  server.get('/v2/', (_request, reply) => reply.send({}));

  server.get<Page>('/v2/_catalog', async (request, reply) => {
    const { pullSources: sources, registryProxy: proxy, basePath } = site();
    if (proxy !== undefined && proxy.names === undefined)
      return reply.send({ repositories: await proxy.repositories(request, reply, basePath) });
    const names = new Set<string>(proxy?.names);
    for (const source of sources)
      for await (const page of source.repositories()) for (const name of page) names.add(name);
    return reply.send({ repositories: paged(request, reply, `${basePath}/v2/_catalog`, [...names].toSorted()) });
  });

  const read = async (request: FastifyRequest<PathAndPage>, reply: FastifyReply): Promise<FastifyReply> => {
    const current = site();
    const { pullSources: sources, registryProxy: proxy, basePath } = current;
    const [, name, kind, reference] = /^(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(request.params['*']) ?? [];
    if (!isRepositoryName(name) || reference === undefined) {
      throw new DistributionError(
        404,
        'NAME_INVALID',
        'This is not a path of the Distribution API that can be read here.',
      );
    }
    if (kind === 'tags' && reference !== 'list')
      throw new DistributionError(404, 'UNSUPPORTED', `Tags are listed at /v2/${name}/tags/list.`);
    if (kind === 'manifests' && !isDigest(reference) && !isTag(reference))
      throw new DistributionError(404, 'MANIFEST_INVALID', 'A manifest is named by a tag or a digest.');
    if (kind === 'blobs' && !isDigest(reference))
      throw new DistributionError(404, 'DIGEST_INVALID', 'A blob is named by its digest.');
    if (kind === 'blobs' && isDigest(reference)) {
      const delta = await deltaNamed(reference, current);
      if (delta !== undefined) return sendBlobContent(request, reply, reference, delta);
    }
    try {
      if (kind === 'tags') {
        const tags = await firstOf(sources, 'NAME_UNKNOWN', `There is no repository ${name} here.`, (source) =>
          source.tags(name),
        );
        return reply.send({
          name,
          tags: paged(
            request,
            reply,
            `${basePath}/v2/${name}/tags/list`,
            tags.filter((tag) => tag !== DELTA_INDEX_TAG),
          ),
        });
      }
      if (kind === 'blobs' && isDigest(reference)) return await sendBlob(request, reply, sources, name, reference);
      return await sendManifest(request, reply, sources, name, reference);
    } catch (error) {
      if (proxy?.shows(name) !== true || !(error instanceof DistributionError && error.statusCode === 404)) throw error;
    }
    if (kind === 'tags') return reply.send({ name, tags: await proxy.tags(request, reply, name, basePath) });
    return proxy.send(request, reply, { repository: name, kind: kind === 'manifests' ? kind : 'blobs', reference });
  };
  // One route for both methods, so that HEAD has the length without reading the body.
  server.route<PathAndPage>({ method: ['GET', 'HEAD'], url: '/v2/*', handler: read });
  allowNoOther();
}

async function sendManifest(
  request: FastifyRequest,
  reply: FastifyReply,
  sources: readonly PullSource[],
  name: string,
  reference: string,
): Promise<FastifyReply> {
  const { descriptor, bytes } = await firstOf(
    sources,
    'MANIFEST_UNKNOWN',
    `There is no manifest ${name}:${reference} here.`,
    (source) => source.openManifest(name, reference),
  );
  const etag = `"${descriptor.digest}"`;
  reply.headers({
    etag,
    'docker-content-digest': descriptor.digest,
    'cache-control': isDigest(reference) ? IMMUTABLE : 'no-cache',
  });
  if (isFresh(request.headers, etag)) return reply.code(304).send();
  reply.headers({ 'content-type': descriptor.mediaType, 'content-length': bytes.length });
  return reply.send(request.method === 'HEAD' ? undefined : bytes);
}

async function sendBlob(
  request: FastifyRequest,
  reply: FastifyReply,
  sources: readonly PullSource[],
  name: string,
  reference: Digest,
): Promise<FastifyReply> {
  const blob = await firstOf(sources, 'BLOB_UNKNOWN', `There is no blob ${reference} in ${name} here.`, (source) =>
    source.openBlob(name, reference),
  );
  return sendBlobContent(request, reply, reference, {
    etag: `"${reference}"`,
    type: BLOB_TYPE,
    size: blob.size,
    stream: (start, end) => blob.stream(start, end),
  });
}

/** Returns a delta, which clients ask for as a blob of any repository; `undefined` if there is none. */
async function deltaNamed(digest: Digest, site: Site): Promise<Content | undefined> {
  if (!site.servesDeltas) return undefined;
  // Where the store is away, clients can pull all the same.
  return blobContent(site, { kind: 'delta', digest }, BLOB_TYPE).catch(() => undefined);
}

function sendBlobContent(request: FastifyRequest, reply: FastifyReply, digest: Digest, content: Content): FastifyReply {
  return sendContent(
    request,
    reply.header('docker-content-digest', digest),
    content,
    (message) => new DistributionError(416, 'RANGE_INVALID', message),
  );
}

/** Logs why content cannot be read; the client does not see the path. */
function unreadable(request: FastifyRequest, error: RegistryError): FastifyError {
  logOf(request).warn(`what a client asked for cannot be read: ${error.message}`);
  return new NotReadable();
}

/**
 * Reads from the first source that does not answer `not-found`.
 * @throws DistributionError with `reason` if all do
 */
async function firstOf<T>(
  sources: readonly PullSource[],
  reason: string,
  message: string,
  read: (source: PullSource) => Promise<T>,
): Promise<T> {
  for (const source of sources) {
    try {
      return await read(source);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  throw new DistributionError(404, reason, message);
}

/** Returns one page of `names`, and sets the link to the next (distribution-spec, "Listing Tags"). */
function paged(
  request: FastifyRequest<Page>,
  reply: FastifyReply,
  path: string,
  names: readonly string[],
): readonly string[] {
  const { n, last } = request.query;
  const size = n === undefined ? MAX_PAGE : /^\d+$/.test(n) ? Number(n) : -1;
  if (size < 0 || size > MAX_PAGE)
    throw new DistributionError(400, 'PAGINATION_NUMBER_INVALID', `n is a number from 0 to ${MAX_PAGE}.`);
  const rest = last === undefined ? names : names.filter((name) => name > last);
  const page = rest.slice(0, size);
  const end = page.at(-1);
  if (end !== undefined && rest.length > size)
    reply.header('link', `<${path}?n=${size}&last=${encodeURIComponent(end)}>; rel="next"`);
  return page;
}
