/** Lists the repositories of a namespace of Quay (Quay API, "repository"). */
import { malformed, parseJsonObject, requiredArray } from '../json-object.ts';
import type { ListingApi } from './listing-api.ts';
import { textOf } from './paging.ts';

/** The API of quay.io, and of Quay elsewhere. */
export const quay: ListingApi = {
  name: 'Quay',
  ownerKeys: ['namespace'],
  urls: 'same',
  login: 'token',
  expectedToken: 'an OAuth access token of an application that may view all visible repositories (repo:read)',
  headers: ({ token }) => ({ authorization: `Bearer ${token}` }),
  paths: () => ['/api/v1/repository'],
  // With a token, private repositories are listed beside the public ones.
  firstQuery: ({ name }) => `?${new URLSearchParams({ namespace: name, public: 'true' }).toString()}`,
  readPage: ({ response, owner, query }) => {
    const { repositories, next_page: next } = parseJsonObject(response.body);
    // Not optional: other JSON with status 200 must not count as an empty list.
    const entries = requiredArray(repositories, 'repositories');
    return {
      names: entries.map((entry, position) => `${owner.name}/${textOf(entry, 'name', `repositories[${position}]`)}`),
      entries: entries.length,
      next: nextQuery(query, next),
    };
  },
};

function nextQuery(query: string, next: unknown): string | undefined {
  if (next === undefined || next === null || next === '') return undefined;
  if (typeof next !== 'string') throw malformed('next_page', 'a text');
  const parameters = new URLSearchParams(query);
  parameters.set('next_page', next);
  return `?${parameters.toString()}`;
}
