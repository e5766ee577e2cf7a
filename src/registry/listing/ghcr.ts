/** Lists packages of an organisation or a user of GitHub (REST API, "Packages"). */
import { readArrayPage, textOf } from './paging.ts';
import type { ListingApi } from './listing-api.ts';

/** GitHub's API, for ghcr.io and for registries of GitHub Enterprise. */
export const ghcr: ListingApi = {
  name: 'GitHub',
  ownerKeys: ['owner'],
  urls: { 'ghcr.io': 'https://api.github.com' },
  login: 'token',
  needsToken: true,
  expectedToken: 'a classic personal access token with the scope read:packages',
  accept: 'application/vnd.github+json',
  headers: ({ token }) => ({ authorization: `Bearer ${token}` }),
  // A name is that of an organisation or of a user.
  paths: ({ name }) => [`/orgs/${encodeURIComponent(name)}/packages`, `/users/${encodeURIComponent(name)}/packages`],
  firstQuery: () => '?package_type=container&per_page=100',
  readPage: (page) =>
    readArrayPage(page, 'per_page', (entry, path) => `${page.owner.name}/${textOf(entry, 'name', path)}`),
};
