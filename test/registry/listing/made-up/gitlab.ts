import { sendJson } from '../../http/play-registry.ts';
import { numbered, OWNER, pathOf, sendPage, TOKEN, WEAK_TOKEN, type MadeUpApi } from './made-up-api.ts';

/** GitLab's API, for a subgroup of the owner and for its project `app`. */
export const madeUpGitlab: MadeUpApi = {
  listing: { kind: 'gitlab', group: `${OWNER}/apps` },
  answer: (request, response, { names }) => {
    const token = request.headers['private-token'];
    if (token === WEAK_TOKEN) {
      return sendJson(
        response,
        {
          error: 'insufficient_scope',
          error_description: 'The request requires higher privileges than provided by the access token.',
          scope: 'api read_api',
        },
        {},
        403,
      );
    }
    if (token !== undefined && token !== TOKEN) return sendJson(response, { message: '401 Unauthorized' }, {}, 401);
    const path = pathOf(request);
    const isGroup = path === `/api/v4/groups/${OWNER}/apps/registry/repositories`;
    if (!isGroup && path !== `/api/v4/projects/${OWNER}/apps/app/registry/repositories`)
      return sendJson(
        response,
        { message: `404 ${path.includes('/groups/') ? 'Group' : 'Project'} Not Found` },
        {},
        404,
      );
    // The slash of the path must be encoded.
    if (!request.url.includes('%2F')) return sendJson(response, { error: '404 Not Found' }, {}, 404);
    const entries = names.map((name, id) => ({
      id,
      name: '',
      path: `${OWNER.toLowerCase()}/apps/${name}`,
      project_id: 9,
    }));
    const { page, links } = numbered(request, entries, 'per_page', 100);
    sendPage(response, page, links);
  },
};
