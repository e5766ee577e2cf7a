/** `/icons/`: content-addressed icons, which never change. */
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { digestOfIconPath } from '../../indexing/icons/icon-path.ts';
import { IMMUTABLE, isFresh } from '../http/caching.ts';
import type { ReadyAnswers } from '../plugins/ready-answers.ts';
import { NOSNIFF } from '../plugins/security-headers.ts';
import type { Headers } from '../documents/served-index.ts';
import { NotFound } from '../server-error.ts';
import type { CurrentSite } from '../site.ts';

/** Size of the cache. */
const MAX_BYTES_IN_MEMORY = 32 * 1024 * 1024;

interface Icon {
  readonly etag: string;
  readonly body: Buffer;
  readonly headers: Headers;
  readonly freshHeaders: Headers;
}

/** Options of {@link iconRoutes}. */
export interface IconRoutesOptions {
  readonly site: CurrentSite;
  readonly readyAnswers: ReadyAnswers;
}

/** Adds the route of icons. */
export function iconRoutes(server: FastifyInstance, { site, readyAnswers }: IconRoutesOptions): void {
  const icons = new LRUCache<string, Icon>({
    maxSize: MAX_BYTES_IN_MEMORY,
    sizeCalculation: ({ body }) => body.length + 512,
  });

  const load = async (path: string): Promise<Icon | undefined> => {
    const digest = digestOfIconPath(path);
    const body = digest && (await site().readIcon(digest));
    if (body === undefined) return undefined;
    const etag = `"${path.replace('/', '').slice(0, 32)}"`;
    const freshHeaders = { etag, 'cache-control': IMMUTABLE };
    return {
      etag,
      body,
      freshHeaders,
      headers: { ...freshHeaders, ...NOSNIFF, 'content-type': 'image/png', 'content-length': String(body.length) },
    };
  };

  server.get<{ Params: { '*': string } }>(
    '/icons/*',
    { schema: { summary: 'An icon', produces: ['image/png'] } },
    async (request, reply) => {
      const path = request.params['*'];
      let icon = icons.get(path);
      if (icon === undefined) {
        icon = await load(path);
        if (icon === undefined) throw new NotFound('There is no such icon here; it may belong to an older index.');
        icons.set(path, icon);
      }
      readyAnswers.keep(reply);
      if (isFresh(request.headers, icon.etag)) return reply.code(304).headers(icon.freshHeaders).send();
      return reply.headers(icon.headers).send(icon.body);
    },
  );
}
