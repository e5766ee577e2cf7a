/** The indexes: whole, and queried (flatpak-oci-specs, registry-index.md). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AcceptEncoding } from '../accept-encoding.ts';
import { Index } from '../answer-schemas.ts';
import type { AnswerQuery } from '../answers.ts';
import { indexCacheControl } from '../cache-control.ts';
import type { Headers, PublishedIndex, Served, ServedDocument } from '../published-index.ts';
import { networkOf } from '../client-network.ts';
import { indexNamed } from '../published-index.ts';
import type { Query } from '../../indexing/query/query.ts';
import type { Encoding } from '../../indexing/snapshot/encodings.ts';
import type { ReadyAnswers } from '../plugins/ready-answers.ts';
import { sendServed } from '../send.ts';
import { NotBuiltYet, NotFound } from '../server-error.ts';
import { whileAsked } from '../while-asked.ts';

export interface IndexRoutesOptions {
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly defaultIndex: string;
  readonly answer: AnswerQuery;
  readonly acceptEncoding: AcceptEncoding;
  readonly readyAnswers: ReadyAnswers;
}

const NOT_KEPT: Headers = { 'cache-control': 'no-store' };

export function indexRoutes(app: FastifyInstance, { indexes, defaultIndex, answer, acceptEncoding, readyAnswers }: IndexRoutesOptions): void {
  const byFile = new Map([...indexes.values()].map((index) => [`${index.fileName}.json`, index]));

  const query = (index: PublishedIndex, request: FastifyRequest, reply: FastifyReply, keep: boolean) => {
    const { url = '' } = request.raw;
    const mark = url.indexOf('?');
    const { query: asked, document } = index.question(mark === -1 ? '' : url.slice(mark + 1));
    const override = keep ? keptBy(index) : NOT_KEPT;
    const preferences = acceptEncoding.preferences(request.headers['accept-encoding']);
    if (document !== undefined) {
      if (keep) readyAnswers.keep(reply, 0);
      return sendServed(request, reply, best(document, preferences), override);
    }
    const { signal } = whileAsked(reply);
    return workOut((question) => answer({ ...question, from: networkOf(request.ip) }, signal), index, asked, preferences, keep).then((served) => sendServed(request, reply, served, override));
  };

  for (const [path, keep] of [['static', true], ['dynamic', false]] as const) {
    getOrHead(app, `/index/${path}`, 'The default index, queried', (request, reply) => query(indexNamed(indexes, defaultIndex), request, reply, keep));
    getOrHead(app, `/:index/index/${path}`, 'An index, queried', (request, reply) => query(indexNamed(indexes, param(request, 'index')), request, reply, keep));
  }

  getOrHead(app, '/index/:file', 'A whole index', (request, reply) => {
    const file = param(request, 'file');
    const index = byFile.get(file);
    if (index === undefined) throw new NotFound(`There is no index file "${file}" here. There is ${[...byFile.keys()].join(', ')}.`);
    const document = index.document('');
    if (document === undefined) throw new NotBuiltYet(index.name);
    readyAnswers.keep(reply, 0);
    return sendServed(request, reply, best(document, acceptEncoding.preferences(request.headers['accept-encoding'])), keptBy(index));
  });
}

function keptBy({ maxAge }: PublishedIndex): Headers {
  return { 'cache-control': indexCacheControl(maxAge) };
}

/** One route for both, so that a HEAD tells the length of what it does not read. */
function getOrHead(app: FastifyInstance, url: string, summary: string, handler: (request: FastifyRequest, reply: FastifyReply) => FastifyReply | Promise<FastifyReply>): void {
  app.route({ method: ['GET', 'HEAD'], url, schema: { summary }, config: { answers: { 200: Index } }, handler });
}

function param({ params }: FastifyRequest, name: string): string {
  return (params as Readonly<Record<string, string>>)[name] ?? '';
}

/** The answer to a question that the index keeps no document for. */
async function workOut(answerQuery: AnswerQuery, index: PublishedIndex, query: Query, preferences: readonly Encoding[], keep: boolean): Promise<Served> {
  const [encoding = 'identity'] = preferences;
  for (;;) {
    const snapshot = index.snapshot?.etag;
    if (snapshot === undefined) throw new NotBuiltYet(index.name);
    const answer = await answerQuery({ index: index.name, snapshot, query, encoding, keep });
    if (answer !== 'whole') return index.serve(answer.encoding, answer.etag, answer.body);
    const whole = index.document('');
    // All of the snapshot that was asked; if another has taken its place, what is right for that one may be less.
    if (whole !== undefined && index.snapshot?.etag === snapshot) return best(whole, preferences);
  }
}

/** The representation that the client likes best; see {@link AcceptEncoding.preferences}. */
export function best(document: ServedDocument, preferences: readonly Encoding[]): Served {
  for (const encoding of preferences) {
    const served = document.get(encoding);
    if (served !== undefined) return served;
  }
  throw new RangeError('a document without its identity encoding');
}
