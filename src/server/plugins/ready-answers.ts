/** Answers that were just given, ready to be given again without finding a route for them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
// The global of this name is looked up on every use, which takes longer than to read the clock.
import { performance } from 'node:perf_hooks';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { RequestFigures } from '../request-figures.ts';

/** Of keys and of bodies that nothing else holds. */
const MAX_BYTES = 32 * 1024 * 1024;
/** What an answer takes beside its key and its body. */
const OVERHEAD = 1024;
/** Bytes; what a socket takes without its reader. */
const SMALL_BODY = 16 * 1024;

interface ReadyAnswer {
  readonly count: (seconds: number) => void;
  readonly status: number;
  /** Names and values in turn, which is the fastest to write. */
  readonly headers: string[];
  readonly body: Buffer | undefined;
  /** In bytes. */
  readonly size: number;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers a request that is like one before, and says whether it has. */
    answerReady?(request: IncomingMessage, response: ServerResponse): boolean;
  }
  interface FastifyReply {
    /** To be given again: all that it depends on is the URL, `Accept-Encoding` and `If-None-Match`; how many bytes that keeps, and until when. */
    ready: { readonly size: number; readonly version: number } | undefined;
  }
}

export class ReadyAnswers {
  readonly #answers = new LRUCache<string, ReadyAnswer>({ maxSize: MAX_BYTES, sizeCalculation: ({ size }, key) => OVERHEAD + 2 * key.length + size });
  #version = 0;

  /** For the routes of `app`; `figures` counts what never comes to a hook of it. */
  constructor(app: FastifyInstance, figures: RequestFigures) {
    app.decorateReply('ready', undefined);
    app.addHook('onSend', (request, reply, payload, done) => {
      const { ready } = reply;
      if (ready?.version === this.#version && request.method === 'GET' && (payload === undefined || payload === null || Buffer.isBuffer(payload))) {
        const key = keyOf(request.raw);
        if (key !== undefined) {
          const count = figures.counter(request.routeOptions.url ?? '', 'GET', reply.statusCode);
          const headers = Object.entries(reply.getHeaders()).flatMap(([name, value]) => [name, String(value)]);
          this.#answers.set(key, { count, status: reply.statusCode, headers, body: payload ?? undefined, size: ready.size });
        }
      }
      done();
    });
    app.decorate('answerReady', (request: IncomingMessage, response: ServerResponse) => {
      const key = keyOf(request);
      const answer = key === undefined ? undefined : this.#answers.get(key);
      if (answer === undefined) return false;
      const { count, status, headers, body } = answer;
      const started = performance.now();
      // A small one is with the system at once.
      const small = body === undefined || body.length <= SMALL_BODY;
      if (!small) response.on('finish', () => count((performance.now() - started) / 1000));
      response.writeHead(status, headers);
      response.end(body);
      if (small) count((performance.now() - started) / 1000);
      return true;
    });
  }

  /** Has what `reply` sends be given again. @param size bytes of its body that nothing else holds */
  keep(reply: FastifyReply, size: number): void {
    reply.ready = { size, version: this.#version };
  }

  /** Forgets all: something has changed. */
  clear(): void {
    this.#version++;
    this.#answers.clear();
  }
}

/**
 * What an answer depends on; `undefined` if it may depend on more. Of the headers as they came: to make an object of them takes
 * longer than to look through them.
 */
function keyOf({ method, url, rawHeaders }: IncomingMessage): string | undefined {
  if (method !== 'GET') return undefined;
  let hosts = 0;
  let encoding: string | undefined;
  let match: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    // Most are known by their lengths not to matter.
    switch (name.length) {
      case 'host'.length:
        if (name.toLowerCase() === 'host') hosts++;
        break;
      case ':authority'.length:
        if (name === ':authority') hosts++;
        break;
      case 'if-none-match'.length:
        if (name.toLowerCase() !== 'if-none-match') break;
        if (match !== undefined) return undefined;
        match = value;
        break;
      case 'accept-encoding'.length:
        if (name.toLowerCase() !== 'accept-encoding') break;
        if (encoding !== undefined) return undefined;
        encoding = value;
        break;
      case 'if-modified-since'.length:
        if (name.toLowerCase() === 'if-modified-since') return undefined;
        break;
    }
  }
  return hosts === 1 ? `${url}\n${encoding ?? ''}\n${match ?? ''}` : undefined;
}
