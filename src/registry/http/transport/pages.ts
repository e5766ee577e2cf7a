/** Reads lists page by page (OCI distribution-spec, "Listing Tags"). */
import { located, RegistryError } from '../../registry-error.ts';
import { malformed, optionalArray, parseJsonObject } from '../../json-object.ts';
import { answerError } from './answer-error.ts';
import { headerValue, type HttpResponse } from './http-message.ts';
import { nextLink } from './link-header.ts';
import type { Subject } from './authenticator.ts';
import type { Transport } from './transport.ts';

const MAX_PAGES = 10_000;

export interface List {
  /** Of the first page, with the query. */
  readonly path: string;
  readonly subject: Subject;
  /** The member of each page that holds its entries. */
  readonly key: string;
  readonly maxPageBytes: number;
  /** Of all pages together. */
  readonly maxEntries: number;
  /** The error that another status than 200 for the first page is. */
  readonly refused: (response: HttpResponse) => RegistryError;
  readonly signal?: AbortSignal | undefined;
}

/** The entries of a list, page by page, unchecked. */
export async function* pages(transport: Transport, { path: first, subject, key, maxPageBytes, maxEntries, refused, signal }: List): AsyncGenerator<readonly unknown[]> {
  const visited = new Set<string>();
  let entries = 0;
  for (let path: string | undefined = first; path !== undefined; ) {
    visited.add(path);
    const response: HttpResponse = await transport.request({ path, subject, limit: maxPageBytes, signal });
    if (response.status !== 200) {
      // That a later page is not found does not mean that the list is not there.
      throw visited.size === 1 ? refused(response) : answerError(response, response.status === 404 ? { code: 'malformed' } : {});
    }
    const page = entriesOf(response, key);
    entries += page.length;
    if (entries > maxEntries) throw new RegistryError('too-large', `${response.where}: lists more than ${maxEntries} ${key}`);
    yield page;
    path = nextPath(transport.origin, path, response);
    if (path !== undefined && visited.has(path)) throw new RegistryError('malformed', `${response.where}: the links to the next page lead in a loop`);
    if (visited.size >= MAX_PAGES) throw new RegistryError('too-large', `${response.where}: has more than ${MAX_PAGES} pages`);
  }
}

/**
 * The member `key` of a page, where null means none.
 * @throws RegistryError `malformed` unless it is there: some other JSON, such as an error with status 200, would be an empty list.
 */
export function entriesOf({ body, where }: HttpResponse, key: string): readonly unknown[] {
  return located(where, () => {
    const page = parseJsonObject(body);
    if (!Object.hasOwn(page, key)) throw malformed(key, 'an array');
    return optionalArray(page[key], key);
  });
}

function nextPath(origin: string, path: string, { headers, where }: HttpResponse): string | undefined {
  const link = nextLink(headerValue(headers, 'link'));
  if (link === undefined) return undefined;
  const url = URL.parse(link, origin + path);
  if (url?.origin !== origin) throw new RegistryError('malformed', `${where}: the next page is not at ${origin}, but ${url?.origin ?? 'at no URL'}`);
  return url.pathname + url.search;
}
