/** Answers that were just given, ready to be given again without finding a route for them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
// The global of this name is looked up on every use, which takes longer than to read the clock.
import { performance } from 'node:perf_hooks';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { RequestFigures } from '../figures.ts';
import type { Readers } from './readers.ts';
import { isHost } from './hosts.ts';

/** Of URLs, headers and bodies. */
const MAX_BYTES = 16 * 1024 * 1024;
/** What an answer takes beside those. */
const OVERHEAD = 1024;
/** Answers to one URL: clients differ in what encodings they accept, and in what they have. */
const MAX_VARIANTS = 32;
/** Bytes; what a socket takes without its reader. */
const SMALL_BODY = 16 * 1024;

/** What an answer depends on. */
interface Question {
  readonly url: string;
  readonly acceptEncoding: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

interface ReadyAnswer {
  readonly question: Question;
  readonly count: (seconds: number) => void;
  readonly status: number;
  /** Names and values in turn, which is the fastest to write. */
  readonly headers: string[];
  readonly body: Buffer | undefined;
}

declare module 'fastify' {
  interface FastifyReply {
    /** To be given again until another version: all that it depends on is the URL, `Accept-Encoding` and `If-None-Match`. */
    readyVersion: number | undefined;
  }
}

export class ReadyAnswers {
  /** By URL, which is found sooner than a key made of all that an answer depends on. */
  readonly #answers: LRUCache<string, readonly ReadyAnswer[]>;
  #version = 0;
  readonly #figures: RequestFigures;
  readonly #readers: Readers;

  /** `figures` counts, and `readers` bounds, what never comes to a hook of an app. */
  constructor(figures: RequestFigures, readers: Readers, { maxBytes = MAX_BYTES }: { readonly maxBytes?: number } = {}) {
    this.#figures = figures;
    this.#readers = readers;
    this.#answers = new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf });
  }

  /** Keeps what the routes of `app` say that are registered from here on. */
  follow(server: FastifyInstance): void {
    server.decorateReply('readyVersion', undefined);
    server.addHook('onSend', (request, reply, payload, done) => {
      if (reply.readyVersion === this.#version && request.method === 'GET' && (payload === undefined || payload === null || Buffer.isBuffer(payload))) {
        const question = questionOf(request.raw, request.originalUrl);
        if (question !== undefined) {
          const count = this.#figures.counter(request.routeOptions.url ?? '', 'GET', reply.statusCode);
          const headers = Object.entries(reply.getHeaders()).flatMap(([name, value]) => [name, String(value)]);
          this.#add({ question, count, status: reply.statusCode, headers, body: payload ?? undefined });
        }
      }
      done();
    });
  }

  /** Answers a request that is like one before, and says whether it has. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const question = questionOf(request, request.url);
    const answer = question && this.#find(question);
    if (answer === undefined) return false;
    const { count, status, headers, body } = answer;
    // The routes refuse it if there is no room.
    if (body !== undefined && !this.#readers.admits(body)) return false;
    const started = performance.now();
    // A small one is with the system at once.
    const small = body === undefined || body.length <= SMALL_BODY;
    if (!small) response.on('finish', () => count((performance.now() - started) / 1000));
    response.writeHead(status, headers);
    if (small) response.end(body);
    else this.#readers.send(response, body);
    if (small && response.writableLength > 0) this.#readers.watch(response, body);
    if (small) count((performance.now() - started) / 1000);
    return true;
  }

  /** Has what `reply` sends be given again. */
  keep(reply: FastifyReply): void {
    reply.readyVersion = this.#version;
  }

  /** Forgets all: something has changed. */
  clear(): void {
    this.#version++;
    this.#answers.clear();
  }

  #find(question: Question): ReadyAnswer | undefined {
    return variant(this.#answers.get(question.url), question);
  }

  #add(answer: ReadyAnswer): void {
    const { url } = answer.question;
    const others = this.#answers.get(url) ?? [];
    // Requests that are under way together are each answered without it.
    if (variant(others, answer.question) === undefined) this.#answers.set(url, [...others.slice(1 - MAX_VARIANTS), answer]);
  }
}

/** About how many bytes the answers to one URL take: several may have one body. */
function sizeOf(answers: readonly ReadyAnswer[]): number {
  const bodies = new Set(answers.map(({ body }) => body));
  const headers = answers.reduce((sum, { question: { url, acceptEncoding = '', ifNoneMatch = '' } }) => sum + OVERHEAD + 2 * (url.length + acceptEncoding.length + ifNoneMatch.length), 0);
  return bodies.values().reduce((sum, body) => sum + (body?.length ?? 0), headers);
}

function variant(answers: readonly ReadyAnswer[] | undefined, { acceptEncoding, ifNoneMatch }: Question): ReadyAnswer | undefined {
  return answers?.find(({ question }) => question.acceptEncoding === acceptEncoding && question.ifNoneMatch === ifNoneMatch);
}

/**
 * What an answer depends on, where it was asked for at `url`; `undefined` if it may depend on more. Of the headers as they came: to make an object of them takes
 * longer than to look through them.
 */
function questionOf({ method, rawHeaders }: IncomingMessage, url: string | undefined): Question | undefined {
  if (method !== 'GET' || url === undefined) return undefined;
  let hosts = 0;
  let acceptEncoding: string | undefined;
  let ifNoneMatch: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    // Most are known by their lengths not to matter.
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
