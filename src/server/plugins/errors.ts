/** Errors as JSON: `{"statusCode","error","message"}`. A message says what to do, and never contains a stack. */
import { STATUS_CODES } from 'node:http';
import type {
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
} from 'fastify';
import { Type } from 'typebox';
import type { Figures } from '../figures.ts';
import { shownUrl } from '../http/shown-url.ts';
import { checkedResponse, type ResponseOf } from '../response-schema.ts';
import { logOf, REQUEST_ID } from './request-ids.ts';
import { DatabaseUnavailable, isExpected, NotFound } from '../server-error.ts';
import { SANDBOXED } from './security-headers.ts';

/** The shape of every error; some answers have more fields beside these. */
export const ErrorAnswer = Type.Object(
  {
    statusCode: Type.Integer(),
    error: Type.String(),
    message: Type.String({ description: 'What is wrong, and what to do.' }),
  },
  { description: 'An error' },
);

const RETRY_AFTER_SECONDS = '1';
/** Headers of a successful answer that an error must not keep. */
const CONTENT_HEADERS = ['etag', 'last-modified', 'vary', 'content-encoding', 'accept-ranges', 'docker-content-digest'];

/**
 * Answers all errors of `server` as JSON.
 * @param figures counts those that the database is the reason of
 */
export function errors(server: FastifyInstance, { databaseUnavailable }: Pick<Figures, 'databaseUnavailable'>): void {
  server.setErrorHandler((error: FastifyError, request, reply) => {
    if (error instanceof DatabaseUnavailable) databaseUnavailable.inc();
    return sendError(error, request, reply);
  });
  server.setSchemaErrorFormatter(
    ([fault], part) => new Error(fault === undefined ? `${part} is invalid` : schemaFault(fault, part)),
  );
  server.setNotFoundHandler((request) => {
    throw notFoundAt(request);
  });
}

/** Creates the error for a path that nothing is served at. */
export function notFoundAt({ originalUrl }: FastifyRequest): FastifyError {
  return new NotFound(`Nothing is served at ${shownUrl(originalUrl).split('?', 1)[0] ?? '/'}.`);
}

/**
 * Describes what is wrong with a part of a request, and what was expected. Ajv passes the schema because it is verbose.
 */
function schemaFault(
  {
    instancePath,
    keyword,
    message = 'is invalid',
    params,
    ...fault
  }: FastifySchemaValidationError & { readonly parentSchema?: { readonly properties?: object } },
  part: string,
): string {
  const where = part + instancePath;
  const { additionalProperty, allowedValues, limit } = params as {
    additionalProperty?: unknown;
    allowedValues?: readonly unknown[];
    limit?: unknown;
  };
  switch (keyword) {
    case 'additionalProperties':
      return `${where}/${String(additionalProperty)} is not known, expected ${Object.keys(fault.parentSchema?.properties ?? {}).join(' or ')}`;
    case 'enum':
      return `${where} is not one of its values, expected ${allowedValues?.join(' or ')}`;
    case 'maxProperties':
      return `${where} has too many fields, expected ${String(limit)} of them`;
    default:
      return `${where} ${message}`;
  }
}

/**
 * Answers with an error. The message of an unexpected error is logged, but not sent.
 * @param beside returns further fields of the answer
 */
export function sendError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
  beside?: (statusCode: number, message: string) => object,
): FastifyReply {
  const statusCode =
    error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode <= 599 ? error.statusCode : 500;
  const expected = statusCode < 500 || isExpected(error);
  if (!expected) logOf(request).error({ err: error }, 'a request failed');
  const message = expected ? error.message : 'Something went wrong; the log of this server says what.';
  for (const header of CONTENT_HEADERS) reply.removeHeader(header);
  if (statusCode === 503) reply.header('retry-after', RETRY_AFTER_SECONDS);
  return (
    reply
      .code(statusCode)
      // The route may have set a serializer of its own.
      .serializer(JSON.stringify)
      .headers({
        ...SANDBOXED,
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        [REQUEST_ID]: request.id,
      })
      .send({ ...errorBody(statusCode, message), ...beside?.(statusCode, message) })
  );
}

function errorBody(statusCode: number, message: string): ResponseOf<typeof ErrorAnswer> {
  return checkedResponse(ErrorAnswer, { statusCode, error: STATUS_CODES[statusCode] ?? 'Error', message });
}
