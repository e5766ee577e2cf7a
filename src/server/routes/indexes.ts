/** Indexes, whole and queried (flatpak-oci-specs, registry-index.md). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { AcceptEncoding, Encoding } from '../http/accept-encoding.ts';
import { indexCacheControl, isFresh } from '../http/caching.ts';
import {
  type Headers,
  indexNamed,
  type EncodedDocument,
  type ServedDocument,
  type ServedIndex,
} from '../documents/served-index.ts';
import { networkOf } from '../http/client-network.ts';
import { catchUpFirst } from '../plugins/catch-up.ts';
import type { ReadyAnswers } from '../plugins/ready-answers.ts';
import { NotBuiltYet, NotFound, retryUnreadable } from '../server-error.ts';
import { sendServed } from '../documents/send.ts';
import type { CurrentSite, Site } from '../site.ts';
import type { AnswerSchemas } from './openapi.ts';
import { abortOnClose } from '../http/long-requests.ts';

const Text = Type.String();
const Texts = Type.Array(Text);
const Strings = Type.Record(Text, Text);
const image = { Digest: Text, MediaType: Text, OS: Text, Architecture: Text, Annotations: Strings, Labels: Strings };
const IndexAnswer = Type.Object({
  Registry: Type.String({ description: 'The registry’s URL, relative to that of the document.' }),
  Results: Type.Array(
    Type.Object({
      Name: Text,
      Images: Type.Array(Type.Object({ Tags: Texts, ...image })),
      Lists: Type.Array(
        Type.Object({ Tags: Texts, Digest: Text, MediaType: Text, Images: Type.Array(Type.Object(image)) }),
      ),
    }),
  ),
});

const ANSWERS: AnswerSchemas = { 200: IndexAnswer };

/** Options of {@link indexRoutes}. */
export interface IndexRoutesOptions {
  readonly site: CurrentSite;
  readonly acceptEncoding: AcceptEncoding;
  readonly readyAnswers: ReadyAnswers;
}

const NO_STORE: Headers = { 'cache-control': 'no-store' };

/** Adds the routes of indexes. */
export function indexRoutes(server: FastifyInstance, { site, acceptEncoding, readyAnswers }: IndexRoutesOptions): void {
  /** Adds one route for both methods, so that HEAD has the length without reading the body. */
  const getOrHead = (
    url: string,
    summary: string,
    handler: (request: FastifyRequest, reply: FastifyReply) => FastifyReply | Promise<FastifyReply>,
  ): void => {
    server.route({
      method: ['GET', 'HEAD'],
      url,
      schema: { summary },
      config: { answers: ANSWERS },
      preHandler: catchUpFirst(site),
      handler: (request, reply) => retryUnreadable(() => handler(request, reply)),
    });
  };
  /** Caches the answer, unless another replica may have a newer one that the client has seen. */
  const keepReady = (
    { sharing }: Site,
    request: FastifyRequest,
    reply: FastifyReply,
    { etag }: EncodedDocument,
  ): void => {
    if (sharing === undefined || request.headers['if-none-match'] === undefined || isFresh(request.headers, etag))
      readyAnswers.keep(reply);
  };
  const query = (current: Site, name: string, request: FastifyRequest, reply: FastifyReply, cacheable: boolean) => {
    const { indexes, questions } = current;
    const index = indexNamed(indexes, name);
    const { url = '' } = request.raw;
    const mark = url.indexOf('?');
    const { query: asked, document } = index.question(mark === -1 ? '' : url.slice(mark + 1));
    const override = cacheable ? cacheControlOf(index) : NO_STORE;
    const preferences = acceptEncoding.preferences(request.headers['accept-encoding']);
    if (document !== undefined) {
      const served = best(document, preferences);
      if (cacheable) keepReady(current, request, reply, served);
      return sendServed(request, reply, served, override);
    }
    const { signal } = abortOnClose(reply);
    return questions
      .answer(index, asked, { keep: cacheable, from: networkOf(request.ip), signal })
      .then((answered) => sendServed(request, reply, best(answered, preferences), override));
  };

  // `dynamic` is for clients that want no cache.
  for (const [path, cacheable] of [
    ['static', true],
    ['dynamic', false],
  ] as const) {
    getOrHead(`/index/${path}`, 'Query of the default index', (request, reply) => {
      const current = site();
      return query(current, current.defaultIndex, request, reply, cacheable);
    });
    getOrHead(`/:index/index/${path}`, 'Query of an index', (request, reply) =>
      query(site(), param(request, 'index'), request, reply, cacheable),
    );
  }

  getOrHead('/index/:file', 'A whole index', (request, reply) => {
    const file = param(request, 'file');
    const current = site();
    const indexes = [...current.indexes.values()];
    const index = indexes.find(({ fileName }) => file === `${fileName}.json`);
    if (index === undefined)
      throw new NotFound(
        `There is no index file "${file}" here. There is ${indexes.map(({ fileName }) => `${fileName}.json`).join(', ')}.`,
      );
    const document = index.whole();
    if (document === undefined) throw new NotBuiltYet(index.name);
    const served = best(document, acceptEncoding.preferences(request.headers['accept-encoding']));
    keepReady(current, request, reply, served);
    return sendServed(request, reply, served, cacheControlOf(index));
  });
}

function cacheControlOf({ maxAge }: ServedIndex): Headers {
  return { 'cache-control': indexCacheControl(maxAge) };
}

function param({ params }: FastifyRequest, name: string): string {
  return (params as Readonly<Record<string, string>>)[name] ?? '';
}

/** Returns the encoding that the client prefers; see {@link AcceptEncoding.preferences}. */
export function best(document: ServedDocument, preferences: readonly Encoding[]): EncodedDocument {
  for (const encoding of preferences) {
    const served = document.get(encoding);
    if (served !== undefined) return served;
  }
  throw new RangeError('a document without its identity encoding');
}
