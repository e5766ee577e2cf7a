/** `/status/explain`: why each index shows the images of a repository, or does not. For administrators. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { parseReference } from '../../../registry/reference.ts';
import { requireBearerToken } from '../../plugins/bearer-token.ts';
import { rateLimits } from '../../plugins/rate-limit.ts';
import { checkedResponse, type ResponseOf } from '../../response-schema.ts';
import { BadReference } from '../../server-error.ts';
import type { CurrentSite } from '../../site.ts';

const REQUESTS_A_MINUTE = 60;

const Text = Type.String();
const Texts = Type.Array(Text);
/** Explanation of what the indexes show of a repository, or of one tag of it. */
export const ExplainAnswer = Type.Object({
  reference: Type.String({ description: 'REPOSITORY[:TAG], as asked for.' }),
  indexes: Type.Array(
    Type.Object({
      index: Text,
      shown: Type.Boolean({ description: 'Whether Flatpak clients get one of the images at least.' }),
      reasons: Type.Array(Text, { description: 'Sentences about the repository and its tags.' }),
      images: Type.Array(
        Type.Object({
          digest: Text,
          tags: Type.Array(Text, { description: 'Those that the index takes.' }),
          architecture: Text,
          ref: Type.String({ description: 'The Flatpak ref; empty if there is none.' }),
          shown: Type.Boolean({ description: 'Whether Flatpak clients get it for one of its tags at least.' }),
          reasons: Texts,
        }),
      ),
    }),
  ),
});
/** An answer of `/status/explain`. */
export type ExplainAnswer = ResponseOf<typeof ExplainAnswer>;

const Parameters = Type.Object(
  { reference: Type.String({ maxLength: 400, description: 'REPOSITORY[:TAG]' }) },
  { additionalProperties: false },
);

/** Adds `/status/explain`. `scope` must be one of its own. */
export async function explainRoutes(scope: FastifyInstance, site: CurrentSite): Promise<void> {
  const server = scope.withTypeProvider<TypeBoxTypeProvider>();
  const limit = await rateLimits(scope, REQUESTS_A_MINUTE);
  const requests = limit();
  await requireBearerToken(scope, {
    token: () => site().reindex.token,
    key: 'server.admin_token',
    wrongTokens: limit(),
  });
  server.addHook('onRequest', async (request, reply) => requests.count(request, reply));

  server.get(
    '/status/explain',
    {
      schema: {
        summary: 'Why indexes show a repository, or do not',
        querystring: Parameters,
        security: [{ token: [] }],
      },
      config: { answers: { 200: ExplainAnswer } },
    },
    async (request, reply) => {
      const { reference } = request.query;
      const subject = parseReference(reference);
      if (subject === undefined) throw new BadReference(reference);
      const indexes = await site().status.explain(subject);
      return reply.header('cache-control', 'no-store').send(checkedResponse(ExplainAnswer, { reference, indexes }));
    },
  );
}
