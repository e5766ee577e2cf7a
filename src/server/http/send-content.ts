/** Sends content that is named by its digest: it never changes, and any part of it can be asked for. */
import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { byteRange } from './byte-range.ts';
import { IMMUTABLE, isFresh } from './caching.ts';

/** Content, as {@link sendContent} takes it. */
export interface Content {
  readonly etag: string;
  /** Its media type. */
  readonly type: string;
  /** In bytes. */
  readonly size: number;
  /** `start` and `end` are both included. */
  readonly stream: (start?: number, end?: number) => Readable;
}

/**
 * Answers a GET or HEAD with content, a part of it, or 304.
 * @param unsatisfiable creates the error for a range that is not in it
 */
export function sendContent(
  request: FastifyRequest,
  reply: FastifyReply,
  { etag, type, size, stream }: Content,
  unsatisfiable: (message: string) => Error,
): FastifyReply {
  // Only a GET has ranges (RFC 9110, section 14.2).
  const { range, 'if-range': ifRange } = request.headers;
  const ranged = range !== undefined && request.method === 'GET' && (ifRange === undefined || ifRange === etag);
  const part = ranged ? byteRange(range, size) : undefined;
  const fresh = isFresh(request.headers, etag);
  if (part === 'unsatisfiable' && !fresh) {
    reply.header('content-range', `bytes */${size}`);
    throw unsatisfiable(`The blob has ${size} bytes; the range asked for is not in it.`);
  }
  reply.headers({ etag, 'accept-ranges': 'bytes', 'cache-control': IMMUTABLE });
  if (fresh) return reply.code(304).send();
  reply.header('content-type', type);
  if (part === undefined || part === 'unsatisfiable') {
    reply.header('content-length', size);
    return reply.send(request.method === 'HEAD' ? undefined : stream());
  }
  reply.code(206).headers({
    'content-range': `bytes ${part.start}-${part.end}/${size}`,
    'content-length': part.end - part.start + 1,
  });
  return reply.send(stream(part.start, part.end));
}
