import { sendJson } from '../../http/play-registry.ts';
import { numbered, OWNER, pathOf, queryOf, sendPage, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

function basic(secret: string): string {
  return `Basic ${Buffer.from(`robot$jane:${secret}`).toString('base64')}`;
}

/** Harbor's API. Repositories whose names begin with `private` are shown only to jane. */
export const madeUpHarbor: MadeUpApi = {
  listing: { kind: 'harbor', project: OWNER.toLowerCase(), username: 'robot$jane' },
  answer: (request, response, { names }) => {
    const refuse = (status: number, code: string, message: string): void =>
      sendJson(response, { errors: [{ code, message }] }, {}, status);
    const { authorization } = request.headers;
    if (authorization === basic(WEAK_TOKEN)) return refuse(403, 'FORBIDDEN', 'forbidden');
    if (authorization !== undefined && authorization !== basic(TOKEN))
      return refuse(401, 'UNAUTHORIZED', 'unauthorized');
    const project = OWNER.toLowerCase();
    if (pathOf(request) !== `/api/v2.0/projects/${project}/repositories`)
      return refuse(404, 'NOT_FOUND', 'project not found');
    if (Number(queryOf(request).get('page_size')) > 100) return refuse(422, 'UNPROCESSABLE', 'page_size is too large');
    const shown = names.filter((name) => authorization !== undefined || !name.startsWith('private'));
    const entries = shown.map((name, id) => ({ id, name: `${project}/${name}`, artifact_count: 1 }));
    const { page, links } = numbered(request, entries, 'page_size', 100);
    sendPage(response, page, links, { 'x-total-count': String(entries.length) });
  },
};
