/** `/reindex`: rebuilds on request of an administrator. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { isRepositoryName } from '../../../registry/reference.ts';
import type { RebuildRequest } from '../../../triggers/rebuild-request.ts';
import { suspendTimeout } from '../../http/long-requests.ts';
import { requireBearerToken } from '../../plugins/bearer-token.ts';
import { rateLimits } from '../../plugins/rate-limit.ts';
import { RebuildAnswer, rebuildView } from './rebuild-view.ts';
import type { CurrentSite, Site } from '../../site.ts';
import { BadBody, NotFound, RebuildFailed, UnsupportedMediaType } from '../../server-error.ts';

const REQUESTS_A_MINUTE = 10;

const Name = Type.Optional(Type.String({ minLength: 1, maxLength: 255 }));
const AcceptLosses = Type.Optional(
  Type.Boolean({ description: 'Removes images that the registry reports as gone at once, however many they are.' }),
);
const Body = Type.Union([Type.Object({ index: Name, repository: Name, accept_losses: AcceptLosses }), Type.Null()]);
/** The same schema as {@link Body}, in a form whose errors name the field. */
const BODY = {
  type: ['object', 'null'],
  properties: { index: Name, repository: Name, accept_losses: AcceptLosses },
  additionalProperties: false,
} as unknown as typeof Body;
const TOKEN = [{ token: [] }];
const Parameters = Type.Object({ wait: Type.Optional(Type.Enum(['true', 'false'])) }, { additionalProperties: false });

/** Adds `/reindex`. `scope` must be one of its own. */
export async function reindexRoutes(scope: FastifyInstance, site: CurrentSite): Promise<void> {
  const server = scope.withTypeProvider<TypeBoxTypeProvider>();
  const limit = await rateLimits(scope, REQUESTS_A_MINUTE);
  const requests = limit();
  server.addHook('onRequest', async (request, reply) => {
    if (request.method === 'POST') await requests.count(request, reply);
  });
  await requireBearerToken(scope, {
    token: () => site().reindex.token,
    key: 'server.admin_token',
    wrongTokens: limit(),
  });
  takeJsonOrNothing(scope);

  server.post(
    '/reindex',
    {
      schema: { summary: 'Requests a rebuild', body: BODY, querystring: Parameters, security: TOKEN },
      config: { answers: { 200: RebuildAnswer, 202: RebuildAnswer } },
    },
    async (request, reply) => {
      const current = site();
      const { rebuilds, basePath } = current;
      const rebuild = await rebuilds.request({
        reason: `POST /reindex from ${request.ip}`,
        scope: await rebuildRequest(request.body ?? {}, current),
      });
      reply.header('location', `${basePath}/reindex/${rebuild.id}`).header('cache-control', 'no-store');
      if (request.query.wait !== 'true') return reply.code(202).send(rebuildView(rebuild));
      suspendTimeout(request);
      const finished = await rebuilds.finished(rebuild.id);
      if (finished.state === 'failed') throw new RebuildFailed(finished.error ?? 'for an unknown reason');
      return reply.send(rebuildView(finished));
    },
  );

  server.get(
    '/reindex/:id',
    {
      schema: { summary: 'State of a rebuild', params: Type.Object({ id: Type.String() }), security: TOKEN },
      config: { answers: { 200: RebuildAnswer } },
    },
    async (request, reply) => {
      const rebuild = await site().rebuilds.get(request.params.id);
      if (rebuild === undefined)
        throw new NotFound('There is no such rebuild; only the last 50 are remembered, see /status.');
      return reply.header('cache-control', 'no-store').send(rebuildView(rebuild));
    },
  );
}

/** Accepts JSON, and empty bodies of any type: some clients name a type without sending a body. */
function takeJsonOrNothing(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser('error', 'error');
  server.removeAllContentTypeParsers();
  server.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null, null) : parse(request, body, done),
  );
  server.addContentTypeParser<string>('*', { parseAs: 'string' }, (_request, body, done) =>
    body === '' ? done(null, null) : done(new UnsupportedMediaType()),
  );
}

async function rebuildRequest(
  {
    index,
    repository,
    accept_losses: acceptLosses = false,
  }: { index?: string; repository?: string; accept_losses?: boolean },
  { indexes, reindex }: Site,
): Promise<RebuildRequest> {
  if (index !== undefined && repository !== undefined)
    throw new BadBody('body has index and repository, expected one of them');
  if (index !== undefined) {
    if (!indexes.has(index)) throw new NotFound(`There is no index "${index}"; see /status for a list.`);
    return { kind: 'index', index, acceptLosses };
  }
  if (repository !== undefined) {
    if (!isRepositoryName(repository) || !(await reindex.knowsRepository(repository))) {
      throw new NotFound(`There is no repository "${repository}" that an index includes.`);
    }
    return { kind: 'repository', repository, acceptLosses };
  }
  return { kind: 'everything', acceptLosses };
}
