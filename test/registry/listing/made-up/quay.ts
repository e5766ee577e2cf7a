import { sendJson } from '../../http/play-registry.ts';
import { OWNER, pathOf, queryOf, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

const PAGE = 100;

/** Quay's API. Repositories whose names begin with `private` are shown only with the token. */
export const madeUpQuay: MadeUpApi = {
  listing: { kind: 'quay', namespace: OWNER },
  answer: (request, response, { names }) => {
    const refuse = (status: number, message: string): void =>
      sendJson(response, { message, error_type: 'invalid_token', status }, {}, status);
    const { authorization } = request.headers;
    if (authorization === `Bearer ${WEAK_TOKEN}`) return refuse(403, 'Insufficient scope');
    if (authorization !== undefined && authorization !== `Bearer ${TOKEN}`)
      return refuse(401, 'Could not find OAuth token');
    const query = queryOf(request);
    if (pathOf(request) !== '/api/v1/repository' || query.get('public') !== 'true') return refuse(400, 'Bad request');
    if (query.get('namespace') !== OWNER) return refuse(404, 'Not Found');
    const shown = names.filter((name) => authorization !== undefined || !name.startsWith('private'));
    // A sealed token in the real one.
    const from = Number(Buffer.from(query.get('next_page') ?? '', 'base64').toString());
    const page = shown.slice(from, from + PAGE);
    sendJson(response, {
      repositories: page.map((name) => ({ namespace: OWNER, name, kind: 'image', state: 'NORMAL', is_public: true })),
      ...(from + PAGE < shown.length && { next_page: Buffer.from(String(from + PAGE)).toString('base64') }),
    });
  },
};
