/** `/events`: notifications from registries, which trigger rebuilds. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { LimitedLog } from '../../../system/limited-log.ts';
import type { Figures } from '../../figures.ts';
import { logOf } from '../../plugins/request-ids.ts';
import { checkedResponse } from '../../response-schema.ts';
import type { CurrentSite } from '../../site.ts';
import { bodyOf, requireEventsToken } from './authenticate.ts';
import { parseEvents } from './parse-events.ts';

const EventsAnswer = Type.Object({
  accepted: Type.Integer({ description: 'How many of the changes concern an index.' }),
  message: Type.Optional(Type.String({ description: 'The answer to a test.' })),
});

/**
 * Adds `/events`. `server` must be a scope of its own: it accepts bodies of any type.
 * @param figures count each notification
 */
export async function eventRoutes(server: FastifyInstance, site: CurrentSite, figures: Figures): Promise<void> {
  const warnings = new LimitedLog<string>();
  requireEventsToken(server, () => site().events.token);
  // Any content type: registries repeat what is refused, forever.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  server.addHook('onRequest', async (request) => {
    request.raw.headers['content-type'] = 'application/json';
  });

  const take = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { events } = site();
    const parsed = parseEvents(request.headers, bodyOf(request));
    const wanted = parsed.changes
      .map((change) => ({ ...change, registries: events.registriesWith(change.repository, change.tag) }))
      .filter(({ registries }) => registries.length > 0);
    if (wanted.length > 0)
      await events.request({
        reason: 'notification',
        scope: wanted.map(({ repository, tag }) =>
          tag === undefined ? { kind: 'repository', repository } : { kind: 'tag', repository, tag },
        ),
      });
    for (const registry of wanted.flatMap(({ registries }) => registries)) figures.countNotification(registry);
    const { events: counts } = figures;
    counts.triggered += wanted.length;
    counts.ignored += parsed.ignored + parsed.pings + parsed.changes.length - wanted.length;
    counts.malformed += parsed.malformed.length;
    const [fault] = parsed.malformed;
    if (fault !== undefined)
      warnings.line(fault, (omitted) =>
        logOf(request).warn(
          { malformed: parsed.malformed.length, address: request.ip, omitted },
          `a notification could not be understood: ${fault}`,
        ),
      );
    if (parsed.pings > 0) logOf(request).info({ address: request.ip }, 'a test of the notifications has arrived');
    const message = parsed.pings > 0 ? { message: 'The test has arrived, and so will notifications.' } : {};
    return reply.code(202).send(checkedResponse(EventsAnswer, { accepted: wanted.length, ...message }));
  };
  const options = { config: { answers: { 202: EventsAnswer } } };
  server.post(
    '/events',
    {
      ...options,
      schema: { summary: 'Takes a notification from a registry', security: [{ token: [] }, { basic: [] }] },
    },
    take,
  );
  server.post(
    '/events/:token',
    { ...options, schema: { summary: 'Takes a notification from a registry that sends no headers of choice' } },
    take,
  );
}
