/** The indexes: whole, and queried (flatpak-oci-specs, registry-index.md). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AcceptEncoding } from '../accept-encoding.ts';
import type { Answers } from '../answers.ts';
import type { PublishedIndex, Served, ServedDocument } from '../published-index.ts';
import type { Encoding } from '../../indexing/snapshot/encodings.ts';
import { sendServed } from '../send.ts';
import { NotBuiltYet, NotFound } from '../server-error.ts';

export interface IndexRoutesOptions {
  readonly indexes: ReadonlyMap<string, PublishedIndex>;
  readonly defaultIndex: string;
  readonly answers: Answers;
  readonly acceptEncoding: AcceptEncoding;
}

interface NamedIndex {
  Params: { index?: string };
}

export function indexRoutes(app: FastifyInstance, options: IndexRoutesOptions): void {
  const { indexes, defaultIndex, answers, acceptEncoding } = options;
  const byFile = new Map([...indexes.values()].map((index) => [`${index.fileName}.json`, index]));

  const indexNamed = (name: string): PublishedIndex => {
    const index = indexes.get(name);
    if (index === undefined) throw new NotFound(`There is no index "${name}" here. There is ${[...indexes.keys()].join(', ')}.`);
    return index;
  };

  const sendDocument = (request: FastifyRequest, reply: FastifyReply, document: ServedDocument, override?: Readonly<Record<string, string>>) => {
    const served = best(document, acceptEncoding.preferences(request.headers['accept-encoding']));
    return sendServed(request, reply, served, override);
  };

  const query = (index: PublishedIndex, request: FastifyRequest, reply: FastifyReply, keep: boolean) => {
    const { url } = request.raw;
    const mark = url?.indexOf('?') ?? -1;
    const question = index.question(url === undefined || mark === -1 ? '' : url.slice(mark + 1));
    const override = keep ? undefined : { 'cache-control': 'no-store' };
    if (index.snapshot === undefined) throw new NotBuiltYet(index.name);
    if (question.document !== undefined) return sendDocument(request, reply, question.document, override);
    const [encoding = 'identity'] = acceptEncoding.preferences(request.headers['accept-encoding']);
    return answers.get(index, question.query, encoding, keep).then((served) => sendServed(request, reply, served, override));
  };

  for (const [path, keep] of [['static', true], ['dynamic', false]] as const) {
    app.get(`/index/${path}`, (request, reply) => query(indexNamed(defaultIndex), request, reply, keep));
    app.get<NamedIndex>(`/:index/index/${path}`, (request, reply) => query(indexNamed(request.params.index ?? ''), request, reply, keep));
  }

  app.get<{ Params: { file: string } }>('/index/:file', (request, reply) => {
    const { file } = request.params;
    const index = byFile.get(file);
    if (index === undefined) throw new NotFound(`There is no index file "${file}" here. There is ${[...byFile.keys()].join(', ')}.`);
    const document = index.document('');
    if (document === undefined) throw new NotBuiltYet(index.name);
    return sendDocument(request, reply, document);
  });
}

function best(document: ServedDocument, preferences: readonly Encoding[]): Served {
  for (const encoding of preferences) {
    const served = document.get(encoding);
    if (served !== undefined) return served;
  }
  throw new RangeError('a document without its identity encoding');
}
