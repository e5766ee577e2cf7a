/**
 * Signatures of images, for clients that verify them (containers-registries.d(5), "lookaside"; `flatpak remote-add
 * --signature-lookaside`).
 */
import type { FastifyInstance } from 'fastify';
import { ContainedFolder } from '../../../registry/layout/contained-folder.ts';
import { isRepositoryName } from '../../../registry/reference.ts';
import { RegistryError } from '../../../registry/registry-error.ts';
import { entityTagOf, isFresh } from '../../http/caching.ts';
import { SANDBOXED } from '../../plugins/security-headers.ts';
import { logOf } from '../../plugins/request-ids.ts';
import { NotFound } from '../../server-error.ts';
import type { CurrentSite } from '../../site.ts';

/** Largest signature, in bytes; most have a few hundred. */
const MAX_SIGNATURE = 1024 * 1024;
/** In seconds; short, since more signatures of an image may be added at any time. */
const MAX_AGE = 60;
/** Only paths of this form are read. */
const PATH = /^(?<repository>.+)@sha256=[0-9a-f]{64}\/signature-[1-9]\d{0,3}$/;

/** Adds the routes of signatures. */
export function signatureRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.get<{ Params: { index: string; '*': string } }>(
    '/:index/signatures/*',
    { schema: { summary: 'Signature of an image', produces: ['application/octet-stream'] } },
    async (request, reply) => {
      const { index, '*': asked } = request.params;
      const path = site().signatures.get(index);
      if (path === undefined) throw new NotFound(`There is no index "${index}" with signatures here.`);
      if (!isRepositoryName(PATH.exec(asked)?.groups?.['repository']))
        throw new NotFound(`A signature is at /${index}/signatures/REPOSITORY@sha256=HEX/signature-NUMBER.`);
      const signature = await new ContainedFolder(path).read(asked, MAX_SIGNATURE).catch((error: unknown) => {
        if (!(error instanceof RegistryError)) throw error;
        if (error.code !== 'not-found')
          logOf(request).warn({ index }, `a signature cannot be served: ${error.message}`);
        throw new NotFound('There is no such signature here.');
      });
      const etag = entityTagOf(signature);
      reply.headers({ etag, 'cache-control': `public, max-age=${MAX_AGE}` });
      if (isFresh(request.headers, etag)) return reply.code(304).send();
      return reply.headers({ 'content-type': 'application/octet-stream', ...SANDBOXED }).send(signature);
    },
  );
}
