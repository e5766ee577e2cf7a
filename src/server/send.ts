/** Sends what is served, or says that the client has it already. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isFresh } from './entity-tag.ts';
import type { Headers, Served } from './published-index.ts';

/** Bodies up to so many bytes are read whole before they are sent, larger ones are streamed. */
const MAX_READ = 1024 * 1024;

/** @param override headers that this route sends instead */
export async function sendServed(request: FastifyRequest, reply: FastifyReply, served: Served, override?: Headers): Promise<FastifyReply> {
  if (isFresh(request.headers, served.etag, served.modified)) {
    reply.code(304).headers(served.freshHeaders);
    if (override) reply.headers(override);
    return reply.send();
  }
  reply.headers(served.headers);
  if (override) reply.headers(override);
  const { body } = served;
  // Fastify takes a buffer over shared memory for an object, unless it is told that nothing is to be serialized.
  if (Buffer.isBuffer(body)) return reply.serializer(asItIs as never).send(body);
  if (request.method === 'HEAD') return reply.send();
  return reply.send(body.length <= MAX_READ ? await body.read() : body.stream());
}

function asItIs(body: Buffer): Buffer {
  return body;
}
