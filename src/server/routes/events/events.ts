/** `/events`: notifications from registries, which trigger rebuilds. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { checkedResponse } from '../../response-schema.ts';
import { parseEvents } from './parse-events.ts';
import { requireBearerToken } from '../../plugins/bearer-token.ts';
import { logOf } from '../../plugins/request-ids.ts';
import type { EventCounts } from '../../figures.ts';
import type { CurrentSite } from '../../site.ts';

const EventsAnswer = Type.Object({
  accepted: Type.Integer({ description: 'How many of the changes concern an index.' }),
});

/**
 * Adds `/events`. `server` must be a scope of its own: it accepts bodies of any type.
 * @param counts incremented with each notification
 */
export async function eventRoutes(server: FastifyInstance, site: CurrentSite, counts: EventCounts): Promise<void> {
  await requireBearerToken(server, { token: () => site().events.token, key: 'server.events_token' });
  // Any content type: registries repeat what is refused, forever.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  server.addHook('onRequest', async (request) => {
    request.raw.headers['content-type'] = 'application/json';
  });

  server.post(
    '/events',
    {
      schema: { summary: 'Takes a notification from a registry', security: [{ token: [] }] },
      config: { answers: { 202: EventsAnswer } },
    },
    (request, reply) => {
      const { events } = site();
      const parsed = parseEvents(typeof request.body === 'string' ? request.body : '');
      const wanted = parsed.changes.filter(({ repository, tag }) => events.wants(repository, tag));
      counts.triggered += wanted.length;
      counts.ignored += parsed.ignored + parsed.changes.length - wanted.length;
      counts.malformed += parsed.malformed.length;
      const [fault] = parsed.malformed;
      if (fault !== undefined)
        logOf(request).warn(
          { malformed: parsed.malformed.length, address: request.ip },
          `a notification could not be understood: ${fault}`,
        );
      if (wanted.length > 0) {
        events.request({
          reason: 'notification',
          scope: wanted.map(({ repository, tag }) =>
            tag === undefined ? { kind: 'repository', repository } : { kind: 'tag', repository, tag },
          ),
        });
      }
      return reply.code(202).send(checkedResponse(EventsAnswer, { accepted: wanted.length }));
    },
  );
}
