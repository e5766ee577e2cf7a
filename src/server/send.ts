/** Sends what is served, or says that the client has it already. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isFresh } from './entity-tag.ts';
import type { Headers, Served, StoredBody } from './published-index.ts';

/** Bodies up to so many bytes are read whole before they are sent, larger ones are streamed. */
const MAX_READ = 1024 * 1024;

/**
 * For a route that takes GET and HEAD.
 * @param override headers that this route sends instead
 */
export function sendServed(request: FastifyRequest, reply: FastifyReply, served: Served, override?: Headers): FastifyReply | Promise<FastifyReply> {
  if (isFresh(request.headers, served.etag, served.modified)) {
    reply.code(304).headers(served.freshHeaders);
    if (override) reply.headers(override);
    return reply.send();
  }
  reply.headers(served.headers);
  if (override) reply.headers(override);
  const { body } = served;
  if (request.method === 'HEAD') return reply.send();
  // Fastify takes a buffer over shared memory for an object, unless it is told that nothing is to be serialized.
  return Buffer.isBuffer(body) ? reply.serializer(asItIs as never).send(body) : sendStored(reply, body);
}

function asItIs(body: Buffer): Buffer {
  return body;
}

async function sendStored(reply: FastifyReply, body: StoredBody): Promise<FastifyReply> {
  return reply.send(body.length <= MAX_READ ? await body.read() : body.stream());
}
