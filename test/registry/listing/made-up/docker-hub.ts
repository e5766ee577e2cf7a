import { json } from 'node:stream/consumers';
import { sendJson } from '../../http/play-registry.ts';
import { numbered, OWNER, pathOf, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

/** What the token becomes for a while. */
const ACCESS_TOKEN = 'header.payload.signature';

/** Docker Hub's API. Repositories whose names begin with `private` are shown only to jane. */
export const madeUpDockerHub: MadeUpApi = {
  listing: { kind: 'docker-hub', namespace: OWNER, username: 'jane' },
  answer: (request, response, { names }) => {
    const path = pathOf(request);
    if (path === '/v2/auth/token' && request.method === 'POST') {
      void json(request).then((body) => {
        const { identifier, secret } = body as { readonly identifier: string; readonly secret: string };
        const known = identifier === 'jane' && (secret === TOKEN || secret === WEAK_TOKEN);
        if (known) sendJson(response, { access_token: secret === TOKEN ? ACCESS_TOKEN : 'weak' });
        else sendJson(response, { detail: 'Incorrect authentication credentials' }, {}, 401);
      });
      return;
    }
    const { authorization } = request.headers;
    if (authorization === 'Bearer weak')
      return sendJson(response, { message: 'access to resource is forbidden' }, {}, 403);
    if (authorization !== undefined && authorization !== `Bearer ${ACCESS_TOKEN}`)
      return sendJson(response, { message: 'unauthorized' }, {}, 401);
    if (path !== `/v2/namespaces/${OWNER}/repositories`)
      return sendJson(response, { message: 'object not found', errinfo: {} }, {}, 404);
    const shown = names.filter((name) => authorization !== undefined || !name.startsWith('private'));
    const results = shown.map((name) => ({ name, namespace: OWNER, repository_type: 'image', status: 1 }));
    const { page, next } = numbered(request, results, 'page_size', 100);
    sendJson(response, {
      count: shown.length,
      next: next === undefined ? null : `https://hub.internal${path}${next}`,
      previous: null,
      results: page,
    });
  },
};
