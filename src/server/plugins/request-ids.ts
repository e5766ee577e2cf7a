/** Names for requests, to find in the log what an answer was about: `X-Request-Id`. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';

export const REQUEST_ID = 'x-request-id';
/** What a proxy may call a request. */
const NAME = /^[\w.:/+=@-]{1,128}$/;

/** Gives each request a name that no other one has. @param trust says whether a name that it brings is kept: what stands before the server may be trusted to say it */
export function requestIds(trust: () => boolean): (request: Pick<IncomingMessage, 'headers'>) => string {
  const prefix = randomBytes(6).toString('base64url');
  let count = 0;
  return ({ headers }) => {
    const brought = trust() ? headers[REQUEST_ID] : undefined;
    return typeof brought === 'string' && NAME.test(brought) ? brought : `${prefix}-${(++count).toString(36)}`;
  };
}

/** Says with each answer of `scope` what its request was named. */
export function nameRequests(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID, request.id);
    done();
  });
}

/** The log, for lines about one request. */
export function logOf({ log, id }: FastifyRequest): FastifyBaseLogger {
  return log.child({ request: id });
}
