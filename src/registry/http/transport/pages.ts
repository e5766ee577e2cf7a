/** Reads lists page by page (OCI distribution-spec, "Listing Tags"). */
import { locateErrors, RegistryError } from '../../registry-error.ts';
import { malformed, optionalArray, parseJsonObject } from '../../json-object.ts';
import { answerError } from './answer-error.ts';
import { headerValue, type HttpResponse } from './http-message.ts';
import type { Subject } from './authenticator.ts';
import type { Transport } from './transport.ts';

const MAX_PAGES = 10_000;
/** The number of entries requested per page. */
const PAGE_SIZE = '1000';
/** Answers of registries that do not support `last`. */
const NO_LAST: ReadonlySet<number> = new Set([400, 404, 405]);

/** The parts of a `Link` header (RFC 8288, section 3). */
const LINK_TARGET = /[\s,]*<([^>]*)>/y;
const LINK_PARAMETER = /\s*;\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/** A list of a registry, and how it is read. */
export interface List {
  /** The path without a query. */
  readonly path: string;
  readonly subject: Subject;
  /** The member of each page that holds its entries. */
  readonly key: string;
  readonly maxPageBytes: number;
  /** The most entries of all pages together. */
  readonly maxEntries: number;
  /** Makes the error for a first page whose status is not 200. */
  readonly refused: (response: HttpResponse) => RegistryError;
  readonly paging: Paging;
  readonly signal?: AbortSignal | undefined;
}

/** The paging behaviour that a registry has shown for one kind of list. */
export class Paging {
  /** The registry rejects `n`. */
  refusesSize = false;
  #longest = 0;

  /**
   * Says whether a page without a link to the next may be incomplete: it has a round number of entries, the most seen
   * so far.
   */
  mayBeCut(entries: number): boolean {
    this.#longest = Math.max(this.#longest, entries);
    return entries > 0 && entries === this.#longest && (entries % 10 === 0 || entries % 25 === 0);
  }
}

/**
 * The entries of a list, page by page, unchecked. If a page may be incomplete but has no link to the next, reading
 * continues after its last entry until nothing new comes.
 * @throws RegistryError, or the signal's reason.
 */
export async function* pages(
  transport: Transport,
  { path, subject, key, maxPageBytes, maxEntries, refused, paging, signal }: List,
): AsyncGenerator<readonly unknown[]> {
  const ask = (query: string): Promise<HttpResponse> =>
    transport.request({ path: path + query, subject, limit: maxPageBytes, signal });
  const visited = new Set<string>();
  const known = new Set<unknown>();
  let entries = 0;
  let how: 'first' | 'linked' | 'guessed' = 'first';
  let next: string | undefined = paging.refusesSize ? '' : `?n=${PAGE_SIZE}`;
  while (next !== undefined) {
    let response = await ask(next);
    if (how === 'first' && response.status === 400 && next !== '') {
      response = await ask('');
      paging.refusesSize = response.status === 200;
    }
    visited.add(next);
    if (response.status !== 200) {
      if (how === 'first') throw refused(response);
      if (how === 'guessed' && NO_LAST.has(response.status)) return;
      // A 404 for a later page does not mean that the list does not exist.
      throw answerError(response, response.status === 404 ? { code: 'malformed' } : {});
    }

    const listed = entriesOf(response, key);
    const page = how === 'guessed' ? listed.filter((entry) => !known.has(entry)) : listed;
    entries += page.length;
    if (entries > maxEntries)
      throw new RegistryError('too-large', `${response.where}: lists more than ${maxEntries} ${key}`);
    yield page;

    next = linkedQuery(transport.origin + path, response);
    const last: unknown = listed.at(-1);
    if (next !== undefined) how = 'linked';
    else if (
      typeof last === 'string' &&
      (how === 'guessed' ? page.length > 0 : how === 'first' && paging.mayBeCut(listed.length))
    ) {
      how = 'guessed';
      for (const entry of page) known.add(entry);
      next = `?${new URLSearchParams({ ...(!paging.refusesSize && { n: PAGE_SIZE }), last }).toString()}`;
    }
    if (next !== undefined && visited.has(next))
      throw new RegistryError('malformed', `${response.where}: the links to the next page lead in a loop`);
    if (visited.size >= MAX_PAGES)
      throw new RegistryError('too-large', `${response.where}: has more than ${MAX_PAGES} pages`);
  }
}

/**
 * The member `key` of a page, empty if null.
 * @throws RegistryError `malformed` if it is missing: other JSON, such as an error with status 200, must not count as
 * an empty list.
 */
export function entriesOf({ body, where }: HttpResponse, key: string): readonly unknown[] {
  return locateErrors(where, () => {
    const page = parseJsonObject(body);
    if (!Object.hasOwn(page, key)) throw malformed(key, 'an array');
    return optionalArray(page[key], key);
  });
}

/**
 * The query of the link to the next page, with its `?`; `undefined` if there is no link. The rest of the link is
 * ignored, because a registry behind a proxy may not know its own scheme, host and path.
 * @param url of the list
 */
export function linkedQuery(url: string, { headers, where }: HttpResponse): string | undefined {
  const link = nextLink(headerValue(headers, 'link'));
  if (link === undefined) return undefined;
  const query = URL.parse(link, url)?.search;
  if (query === undefined || query === '')
    throw new RegistryError('malformed', `${where}: the link to the next page has no query`);
  return query;
}

/**
 * The target of the first link whose relation is `next`, else of the first link without a relation; `undefined` if
 * there is none. Never throws.
 */
export function nextLink(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  let unrelated: string | undefined;
  let position = 0;
  for (;;) {
    LINK_TARGET.lastIndex = position;
    const target = LINK_TARGET.exec(header);
    if (target === null) return unrelated;
    position = LINK_TARGET.lastIndex;
    let relations: string | undefined;
    for (;;) {
      LINK_PARAMETER.lastIndex = position;
      const parameter = LINK_PARAMETER.exec(header);
      if (parameter === null) break;
      position = LINK_PARAMETER.lastIndex;
      if (parameter[1]?.toLowerCase() === 'rel') relations ??= parameter[2] ?? parameter[3] ?? '';
    }
    if (relations === undefined) unrelated ??= target[1];
    else if (relations.toLowerCase().split(/\s+/).includes('next')) return target[1];
  }
}
