import { sendJson } from '../../http/play-registry.ts';
import { numbered, OWNER, pathOf, queryOf, sendPage, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

/** GitHub's API, where the owner is an organisation, and jane is a user. */
export const madeUpGhcr: MadeUpApi = {
  listing: { kind: 'ghcr', owner: OWNER },
  answer: (request, response, { names }) => {
    const refuse = (status: number, message: string): void =>
      sendJson(
        response,
        { message, documentation_url: 'https://docs.github.com/rest', status: String(status) },
        {},
        status,
      );
    const { authorization } = request.headers;
    if (authorization === undefined) return refuse(401, 'Requires authentication');
    if (authorization === `Bearer ${WEAK_TOKEN}`)
      return refuse(403, 'You need at least read:packages scope to list packages.');
    if (authorization !== `Bearer ${TOKEN}`) return refuse(401, 'Bad credentials');
    const path = pathOf(request);
    if (path !== `/orgs/${OWNER}/packages` && path !== '/users/jane/packages') return refuse(404, 'Not Found');
    if (queryOf(request).get('package_type') !== 'container') return refuse(400, 'Package type is required.');
    const packages = names.map((name, id) => ({ id, name, package_type: 'container', owner: { login: OWNER } }));
    const { page, links } = numbered(request, packages, 'per_page', 100);
    sendPage(response, page, links);
  },
};
