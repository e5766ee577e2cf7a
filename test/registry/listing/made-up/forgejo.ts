import { sendJson } from '../../http/play-registry.ts';
import { numbered, OWNER, pathOf, queryOf, sendPage, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

/** The most entries on a page: fewer than are asked for. */
const MOST = 30;

/** Forgejo's and Gitea's API. Each package has two versions; without links, as older ones. */
export function madeUpForgejo(kind: 'forgejo' | 'gitea'): MadeUpApi {
  return {
    listing: { kind, owner: OWNER },
    answer: (request, response, { names }) => {
      const refuse = (status: number, message: string): void =>
        sendJson(response, { message, url: 'https://forge.internal/api/swagger' }, {}, status);
      const { authorization } = request.headers;
      if (authorization === `token ${WEAK_TOKEN}`)
        return refuse(403, 'token does not have at least one of required scope(s): [read:package]');
      if (authorization !== undefined && !isJane(authorization))
        return refuse(401, 'invalid username, password or token');
      if (pathOf(request) !== `/api/v1/packages/${OWNER}` || queryOf(request).get('type') !== 'container')
        return refuse(404, 'GetUserByName: user does not exist');
      const entries = names.flatMap((name) =>
        ['latest', 'sha256:0'].map((version) => ({
          owner: { login: OWNER },
          name: name.replaceAll('/', '%2F'),
          version,
          type: 'container',
        })),
      );
      const { page, links } = numbered(request, entries, 'limit', MOST);
      sendPage(response, page, kind === 'gitea' ? links : undefined, { 'x-total-count': String(entries.length) });
    },
  };
}

/** Basic is that of the registry. */
function isJane(authorization: string): boolean {
  return (
    authorization === `token ${TOKEN}` || authorization === `Basic ${Buffer.from(`jane:${TOKEN}`).toString('base64')}`
  );
}
