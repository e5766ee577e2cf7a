/** Caches answers in memory, to send them again without routing. */
import type { IncomingMessage, ServerResponse } from 'node:http';
// Looking up the global on every use takes longer than reading the clock.
import { performance } from 'node:perf_hooks';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { RequestFigures } from '../figures.ts';
import type { Readers } from './readers.ts';
import { isHost } from './hosts.ts';

/** Size of the cache: URLs, headers and bodies. */
const MAX_BYTES = 8 * 1024 * 1024;
/** Bytes that an answer takes beside those. */
const OVERHEAD = 1024;
/** Answers to one URL: clients differ in the encodings they accept and the tags they have. */
const MAX_VARIANTS = 32;
/** Bodies up to so many bytes fit into a socket's buffer. */
const SMALL_BODY = 16 * 1024;

/** The parts of a request that its answer depends on. */
interface RequestKey {
  readonly url: string;
  readonly acceptEncoding: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

interface ReadyAnswer {
  readonly key: RequestKey;
  readonly count: (seconds: number) => void;
  readonly status: number;
  /** Names and values in turn, which is the fastest form to write. */
  readonly headers: string[];
  readonly body: Buffer | undefined;
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Version up to which the answer may be cached: it depends on the URL, `Accept-Encoding` and `If-None-Match` alone.
     */
    readyVersion: number | undefined;
  }
}

/** The cache of ready answers. */
export class ReadyAnswers {
  /** By URL, which is faster than a joined key. */
  readonly #answers: LRUCache<string, readonly ReadyAnswer[]>;
  #version = 0;
  readonly #figures: RequestFigures;
  readonly #readers: Readers;

  /** These answers never reach Fastify's hooks, so they are counted in `figures` and limited by `readers` here. */
  constructor(
    figures: RequestFigures,
    readers: Readers,
    { maxBytes = MAX_BYTES }: { readonly maxBytes?: number } = {},
  ) {
    this.#figures = figures;
    this.#readers = readers;
    this.#answers = new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf });
  }

  /** Caches answers of routes that are registered from here on and call {@link keep}. */
  register(server: FastifyInstance): void {
    server.decorateReply('readyVersion', undefined);
    server.addHook('onSend', (request, reply, payload, done) => {
      if (
        reply.readyVersion === this.#version &&
        request.method === 'GET' &&
        (payload === undefined || payload === null || Buffer.isBuffer(payload))
      ) {
        const key = keyOf(request.raw, request.originalUrl);
        if (key !== undefined) {
          const count = this.#figures.counter(request.routeOptions.url ?? '', 'GET', reply.statusCode);
          const headers = Object.entries(reply.getHeaders()).flatMap(([name, value]) => [name, String(value)]);
          this.#add({ key, count, status: reply.statusCode, headers, body: payload ?? undefined });
        }
      }
      done();
    });
  }

  /** Answers a request from the cache; returns whether it did. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const key = keyOf(request, request.url);
    const answer = key && this.#find(key);
    if (answer === undefined) return false;
    const { count, status, headers, body } = answer;
    // Without room, the route answers with an error.
    if (body !== undefined && !this.#readers.admits(body)) return false;
    const started = performance.now();
    const small = body === undefined || body.length <= SMALL_BODY;
    if (!small) response.on('finish', () => count((performance.now() - started) / 1000));
    response.writeHead(status, headers);
    if (small) response.end(body);
    else this.#readers.send(response, body);
    if (small && response.writableLength > 0) this.#readers.watch(response, body);
    if (small) count((performance.now() - started) / 1000);
    return true;
  }

  /** Caches what `reply` sends. */
  keep(reply: FastifyReply): void {
    reply.readyVersion = this.#version;
  }

  /** Clears the cache, because content changed. */
  clear(): void {
    this.#version++;
    this.#answers.clear();
  }

  #find(key: RequestKey): ReadyAnswer | undefined {
    return variant(this.#answers.get(key.url), key);
  }

  #add(answer: ReadyAnswer): void {
    const { url } = answer.key;
    const others = this.#answers.get(url) ?? [];
    // Concurrent equal requests each come here.
    if (variant(others, answer.key) === undefined) this.#answers.set(url, [...others.slice(1 - MAX_VARIANTS), answer]);
  }
}

/** Estimates the bytes that the answers to one URL take; several may share a body. */
function sizeOf(answers: readonly ReadyAnswer[]): number {
  const bodies = new Set(answers.map(({ body }) => body));
  const headers = answers.reduce(
    (sum, { key: { url, acceptEncoding = '', ifNoneMatch = '' } }) =>
      sum + OVERHEAD + 2 * (url.length + acceptEncoding.length + ifNoneMatch.length),
    0,
  );
  return bodies.values().reduce((sum, body) => sum + (body?.length ?? 0), headers);
}

function variant(
  answers: readonly ReadyAnswer[] | undefined,
  { acceptEncoding, ifNoneMatch }: RequestKey,
): ReadyAnswer | undefined {
  return answers?.find(({ key }) => key.acceptEncoding === acceptEncoding && key.ifNoneMatch === ifNoneMatch);
}

/**
 * Returns the key of a request; `undefined` if its answer may depend on more. Reads raw headers, as making an object of
 * them is slower.
 */
function keyOf({ method, rawHeaders }: IncomingMessage, url: string | undefined): RequestKey | undefined {
  if (method !== 'GET' || url === undefined) return undefined;
  let hosts = 0;
  let acceptEncoding: string | undefined;
  let ifNoneMatch: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    // The length alone rules out most headers.
    switch (name.length) {
      case 'host'.length:
        if (name.toLowerCase() === 'host' && isHost(value)) hosts++;
        break;
      case ':authority'.length:
        if (name === ':authority' && isHost(value)) hosts++;
        break;
      case 'if-none-match'.length:
        if (name.toLowerCase() !== 'if-none-match') break;
        if (ifNoneMatch !== undefined) return undefined;
        ifNoneMatch = value;
        break;
      case 'accept-encoding'.length:
        if (name.toLowerCase() !== 'accept-encoding') break;
        if (acceptEncoding !== undefined) return undefined;
        acceptEncoding = value;
        break;
      case 'if-modified-since'.length:
        if (name.toLowerCase() === 'if-modified-since') return undefined;
        break;
    }
  }
  return hosts === 1 ? { url, acceptEncoding, ifNoneMatch } : undefined;
}
