/** Request ids in `X-Request-Id`, to find the log lines of a request. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';

/** The header that holds the id. */
export const REQUEST_ID = 'x-request-id';
/** Ids that are accepted from a proxy. */
const ID = /^[\w.:/+=@-]{1,128}$/;

/**
 * Returns a generator of unique ids.
 * @param trust says whether an id from the request is kept, as a trusted proxy may set it
 */
export function requestIds(trust: () => boolean): (request: Pick<IncomingMessage, 'headers'>) => string {
  const prefix = randomBytes(6).toString('base64url');
  let count = 0;
  return ({ headers }) => {
    const brought = trust() ? headers[REQUEST_ID] : undefined;
    return typeof brought === 'string' && ID.test(brought) ? brought : `${prefix}-${(++count).toString(36)}`;
  };
}

/** Sends the id with each answer of `scope`. */
export function nameRequests(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID, request.id);
    done();
  });
}

/** Returns a logger that adds the id of a request. */
export function logOf({ log, id }: FastifyRequest): FastifyBaseLogger {
  return log.child({ request: id });
}
