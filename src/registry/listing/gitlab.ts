/** Lists the container repositories of a group or a project of GitLab (REST API, "Container registry"). */
import type { ListingApi } from './listing-api.ts';
import { readArrayPage, textOf } from './paging.ts';

/** The API of gitlab.com, and of GitLab elsewhere, whose registry has a host or port of its own. */
export const gitlab: ListingApi = {
  name: 'GitLab',
  ownerKeys: ['group', 'project'],
  urls: { 'registry.gitlab.com': 'https://gitlab.com' },
  login: 'token',
  expectedToken: 'a personal, group or project access token with the scope read_api',
  headers: ({ token }) => ({ 'private-token': token }),
  // The repositories of a group include those of its subgroups.
  paths: ({ key, name }) => [`/api/v4/${key}s/${encodeURIComponent(name)}/registry/repositories`],
  firstQuery: () => '?per_page=100',
  readPage: (page) => readArrayPage(page, 'per_page', (entry, path) => textOf(entry, 'path', path)),
};
