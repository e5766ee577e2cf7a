/** Sends documents. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isFresh } from '../http/caching.ts';
import { MAX_JOINED, type StoredBody } from './body.ts';
import type { EncodedDocument, Headers } from './served-index.ts';

/**
 * Sends an encoded document for GET or HEAD, or 304 if the client has it.
 * @param override headers that replace those of the document
 */
export function sendServed(
  request: FastifyRequest,
  reply: FastifyReply,
  served: EncodedDocument,
  override?: Headers,
): FastifyReply | Promise<FastifyReply> {
  if (isFresh(request.headers, served.etag, served.modified)) {
    reply.code(304).headers(served.freshHeaders);
    if (override) reply.headers(override);
    return reply.send();
  }
  reply.headers(served.headers);
  if (override) reply.headers(override);
  const { body } = served;
  if (request.method === 'HEAD') return reply.send();
  return sendStored(reply, body);
}

async function sendStored(reply: FastifyReply, body: StoredBody): Promise<FastifyReply> {
  return reply.send(body.length <= MAX_JOINED ? await body.read() : body.stream());
}
