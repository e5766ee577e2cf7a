/** Errors as JSON, everywhere: `{"statusCode","error","message"}`; a message says what to do, and never holds a stack. */
import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyInstance } from 'fastify';
import { NotFound, TooBusy } from '../server-error.ts';
import { QueryError } from '../../indexing/query/parse-query.ts';

const RETRY_AFTER_SECONDS = '1';

export function errors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const statusCode = error instanceof QueryError ? error.statusCode : (error.statusCode ?? 500);
    if (statusCode >= 500 && !(error instanceof TooBusy)) request.log.error({ err: error }, 'a request failed');
    if (statusCode === 503) reply.header('retry-after', RETRY_AFTER_SECONDS);
    const message = statusCode === 500 ? 'Something went wrong here; the log tells what.' : error.message;
    return reply.code(statusCode).send({ statusCode, error: STATUS_CODES[statusCode] ?? 'Error', message });
  });
  app.setNotFoundHandler((request) => {
    throw new NotFound(`Nothing is served at ${request.raw.url?.split('?', 1)[0] ?? '/'}.`);
  });
}
