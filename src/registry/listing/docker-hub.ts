/** Lists the repositories of a namespace of Docker Hub (Docker Hub API, "Repositories"). */
import { malformed, parseJsonObject, requiredArray } from '../json-object.ts';
import type { ListingApi } from './listing-api.ts';
import { textOf } from './paging.ts';

/** Base of links that are only a path and a query. */
const BASE = 'http://api';

/** The API of Docker Hub. */
export const dockerHub: ListingApi = {
  name: 'Docker Hub',
  ownerKeys: ['namespace'],
  urls: { 'registry-1.docker.io': 'https://hub.docker.com' },
  login: 'token of a user',
  expectedToken: 'a personal or organisation access token that may read, and in username whose it is',
  headers: async ({ owner, token, username = owner.name, exchange }) => {
    const { access_token: accessToken } = await exchange('/v2/auth/token', { identifier: username, secret: token });
    if (typeof accessToken !== 'string' || !/^[\x21-\x7e]+$/.test(accessToken))
      throw malformed('access_token', 'a token');
    return { authorization: `Bearer ${accessToken}` };
  },
  paths: ({ name }) => [`/v2/namespaces/${encodeURIComponent(name)}/repositories`],
  firstQuery: () => '?page=1&page_size=100',
  readPage: ({ response, owner }) => {
    const { results, next } = parseJsonObject(response.body);
    // Not optional: other JSON with status 200 must not count as an empty list.
    const entries = requiredArray(results, 'results');
    return {
      names: entries.map((entry, position) => `${owner.name}/${textOf(entry, 'name', `results[${position}]`)}`),
      entries: entries.length,
      next: nextQuery(next),
    };
  },
};

function nextQuery(next: unknown): string | undefined {
  if (next === undefined || next === null || next === '') return undefined;
  const query = typeof next === 'string' ? URL.parse(next, BASE)?.search : undefined;
  if (query === undefined || query === '') throw malformed('next', 'a URL with a query');
  return query;
}
