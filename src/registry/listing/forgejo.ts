/** Lists the packages of a user or an organisation of Forgejo or Gitea (API, "package"). */
import type { ListingApi } from './listing-api.ts';
import { readArrayPage, textOf } from './paging.ts';

/** The API of Forgejo, which has the accounts of its registry. */
export const forgejo: ListingApi = {
  name: 'Forgejo',
  ownerKeys: ['owner'],
  urls: 'same',
  login: 'token',
  takesRegistryLogin: true,
  expectedToken: 'an access token with the scope read:package',
  headers: ({ token }) => ({ authorization: `token ${token}` }),
  paths: ({ name }) => [`/api/v1/packages/${encodeURIComponent(name)}`],
  // A server may have a lower limit than 50, which is the default of the setting MAX_RESPONSE_ITEMS.
  firstQuery: () => '?type=container&page=1&limit=50',
  // Each version of a package is an entry.
  readPage: (page) =>
    readArrayPage(page, 'limit', (entry, path) => `${page.owner.name}/${textOf(entry, 'name', path)}`),
};

/** The same API of Gitea. */
export const gitea: ListingApi = { ...forgejo, name: 'Gitea' };
