/** Lists the repositories of a project of Harbor (Harbor API 2.0, "repository"). */
import { basicLogin } from '../http/access/login.ts';
import type { ListingApi } from './listing-api.ts';
import { readArrayPage, textOf } from './paging.ts';

/** The API of Harbor, which has the accounts of its registry. */
export const harbor: ListingApi = {
  name: 'Harbor',
  ownerKeys: ['project'],
  urls: 'same',
  login: 'token of a required user',
  takesRegistryLogin: true,
  expectedToken: 'the secret of a user or robot account that may list the repositories of the project',
  headers: ({ username = '', token }) => ({
    authorization: basicLogin({ username, password: token }).authorization,
  }),
  paths: ({ name }) => [`/api/v2.0/projects/${encodeURIComponent(name)}/repositories`],
  firstQuery: () => '?page=1&page_size=100',
  readPage: (page) => readArrayPage(page, 'page_size', (entry, path) => textOf(entry, 'name', path)),
};
