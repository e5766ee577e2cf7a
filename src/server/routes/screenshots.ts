/** `/screenshots/`: pictures of apps, content-addressed, which never change. */
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { MAX_PICTURE_BYTES, MEDIA_TYPES, parsePicturePath, pictureTypeOf } from '../../indexing/screenshots/picture.ts';
import { type BlobReader, readWholeBlob } from '../../store/blobs.ts';
import { isAway } from '../../store/store-error.ts';
import { IMMUTABLE, isFresh } from '../http/caching.ts';
import { SANDBOXED } from '../plugins/security-headers.ts';
import { DatabaseUnavailable, NotFound } from '../server-error.ts';
import type { CurrentSite } from '../site.ts';

/** Size of the cache. */
const MAX_BYTES_IN_MEMORY = 32 * 1024 * 1024;

/** Adds the route. */
export function screenshotRoutes(server: FastifyInstance, site: CurrentSite): void {
  const pictures = new LRUCache<string, Buffer>({
    maxSize: MAX_BYTES_IN_MEMORY,
    sizeCalculation: ({ length }) => length + 512,
  });

  server.get<{ Params: { '*': string } }>(
    '/screenshots/*',
    { schema: { summary: 'A screenshot', produces: Object.values(MEDIA_TYPES) } },
    async (request, reply) => {
      const path = request.params['*'];
      const picture = pictures.get(path) ?? (await pictureAt(path, site().blobs));
      const { type = 'png' } = parsePicturePath(path) ?? {};
      if (picture === undefined)
        throw new NotFound('There is no such screenshot here; its app may have another one now.');
      pictures.set(path, picture);
      const etag = `"${path.replace('/', '').slice(0, 32)}"`;
      reply.headers({ ...SANDBOXED, etag, 'cache-control': IMMUTABLE });
      if (isFresh(request.headers, etag)) return reply.code(304).send();
      return reply.type(MEDIA_TYPES[type]).send(picture);
    },
  );
}

/** Reads a picture; `undefined` if there is none with this digest and of this type. */
async function pictureAt(path: string, blobs: BlobReader): Promise<Buffer | undefined> {
  const named = parsePicturePath(path);
  if (named === undefined) return undefined;
  const blob = { kind: 'screenshot', digest: named.digest } as const;
  try {
    const size = await blobs.size(blob);
    // A list of pictures may be larger.
    const bytes = size === undefined || size > MAX_PICTURE_BYTES ? undefined : await readWholeBlob(blobs, blob);
    return bytes !== undefined && pictureTypeOf(bytes) === named.type ? bytes : undefined;
  } catch (error) {
    throw isAway(error) ? new DatabaseUnavailable() : error;
  }
}
