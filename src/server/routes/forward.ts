/** The routes that only one thread can answer, in the others: they hand the request over and send on what comes back. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorCodes } from 'fastify';
import { letWait } from '../let-wait.ts';
import { RequestAborted, Stopping } from '../server-error.ts';

/** What these need is in one thread. */
const FORWARDED = ['/status', '/reindex', '/reindex/*', '/events', '/metrics', '/openapi.json'];
/** Headers that concern a connection alone (RFC 9110, section 7.6.1), and what is counted anew. */
const OF_THE_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'http2-settings', 'content-length', 'expect']);

/** A request that can be sent to another thread. */
export interface ForwardedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly remoteAddress: string;
  /** Up to the first byte over the limit; whoever answers refuses that. */
  readonly body: Uint8Array;
}

export interface ForwardedReply {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array;
}

/** `'stopping'` if there will be no answer any more. */
export type Forward = (request: ForwardedRequest) => Promise<ForwardedReply | 'stopping'>;

/** @param bodyLimit the other side's, in bytes */
export function forwardRoutes(app: FastifyInstance, forward: Forward, bodyLimit: number): void {
  const handOver = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    letWait(request);
    const body = await readBody(request, bodyLimit);
    const answer = await forward({
      method: request.method,
      url: request.originalUrl,
      headers: { ...endToEnd(request.headers), host: request.host },
      remoteAddress: request.socket.remoteAddress ?? '',
      body,
    });
    if (answer === 'stopping') throw new Stopping();
    reply.code(answer.statusCode).headers(endToEnd(answer.headers));
    if (answer.headers['content-length'] !== undefined) reply.header('content-length', answer.headers['content-length']);
    // The rest of a body that is too long is not waited for.
    if (body.length > bodyLimit && request.raw.httpVersionMajor === 1) reply.header('connection', 'close');
    return reply.send(request.method === 'HEAD' ? undefined : Buffer.from(answer.body));
  };
  // As a hook, so that a body is passed on as it is, whatever its type.
  for (const url of FORWARDED) app.route({ url, method: app.supportedMethods, config: { handedOver: true }, onRequest: handOver, handler: handOver });
}

/** Has `app` answer a request that another thread hands over. */
export async function answerForwarded(app: FastifyInstance, { method, url, headers, remoteAddress, body }: ForwardedRequest): ReturnType<Forward> {
  const injected = { method: method as 'GET', url, headers, remoteAddress, ...(body.length > 0 && { payload: Buffer.from(body) }) };
  const reply = await app.inject(injected).catch((error: unknown) => {
    if (error instanceof errorCodes.FST_ERR_REOPENED_CLOSE_SERVER) return undefined;
    throw error;
  });
  if (reply === undefined) return 'stopping';
  return { statusCode: reply.statusCode, headers: endToEnd(reply.headers, ['content-length']), body: reply.rawPayload };
}

async function readBody({ raw }: FastifyRequest, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limit) break;
    }
  } catch (error) {
    throw new RequestAborted({ cause: error });
  }
  return Buffer.concat(chunks).subarray(0, limit + 1);
}

function endToEnd(headers: Readonly<Record<string, string | string[] | number | undefined>>, keep: readonly string[] = []): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':') || (OF_THE_CONNECTION.has(name) && !keep.includes(name))) continue;
    kept[name] = typeof value === 'number' ? String(value) : value;
  }
  return kept;
}
