/** `/deltas/`: deltas and their manifests, content-addressed. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { digestOfContentPath } from '../../indexing/content-path.ts';
import { DELTAS_PATH } from '../../indexing/deltas/delta-manifest.ts';
import { OCI_IMAGE_MANIFEST } from '../../registry/media-types.ts';
import { type BlobName, readBlob } from '../../store/blobs.ts';
import { isAway } from '../../store/store-error.ts';
import { type Content, sendContent } from '../http/send-content.ts';
import { NOSNIFF } from '../plugins/security-headers.ts';
import { DatabaseUnavailable, NotFound, RangeNotSatisfiable } from '../server-error.ts';
import type { CurrentSite, Site } from '../site.ts';

/** Blobs, by the extensions of their paths. */
const KINDS = {
  json: { kind: 'delta-manifest', type: OCI_IMAGE_MANIFEST },
  tardiff: { kind: 'delta', type: 'application/octet-stream' },
} as const;

/** Adds the route of deltas. */
export function deltaRoutes(server: FastifyInstance, site: CurrentSite): void {
  server.route<{ Params: { '*': string } }>({
    method: ['GET', 'HEAD'],
    url: `${DELTAS_PATH}*`,
    schema: {
      summary: 'A delta between two images, or the manifest of those to one',
      produces: [KINDS.json.type, KINDS.tardiff.type],
    },
    handler: async (request, reply) => {
      for (const [extension, { kind, type }] of Object.entries(KINDS)) {
        const digest = digestOfContentPath(request.params['*'], extension);
        const content = digest && (await contentOf(site(), { kind, digest }, type));
        if (content !== undefined)
          return sendContent(request, reply.headers(NOSNIFF), content, (message) => new RangeNotSatisfiable(message));
      }
      throw new NotFound('There is no such delta here; it may belong to an older index.');
    },
  });
}

async function contentOf(site: Site, blob: BlobName, type: string): Promise<Content | undefined> {
  try {
    return await blobContent(site, blob, type);
  } catch (error) {
    throw isAway(error) ? new DatabaseUnavailable() : error;
  }
}

/** Returns a blob to send; `undefined` if it is not there. */
export async function blobContent(
  { blobs, onBlobLost }: Pick<Site, 'blobs' | 'onBlobLost'>,
  blob: BlobName,
  type: string,
): Promise<Content | undefined> {
  const size = await blobs.size(blob);
  if (size === undefined) return undefined;
  return {
    etag: `"${blob.digest}"`,
    type,
    size,
    stream: (start = 0, end = size - 1) =>
      Readable.from(readBlob(blobs, blob, start, end), { objectMode: false }).on('error', (error) =>
        onBlobLost(blob, error),
      ),
  };
}
