/** Reads pages that are arrays, with links to the next one or by their numbers. */
import { headerValue } from '../http/transport/http-message.ts';
import { linkedQuery } from '../http/transport/pages.ts';
import { isJsonObject } from '../../system/is-json-object.ts';
import { malformed, parseJsonArray } from '../json-object.ts';
import type { AnsweredPage, ListPage } from './listing-api.ts';

/** The parameter for the number of a page, from 1. */
const PAGE = 'page';
/** Base of links that are only a path and a query. */
const BASE = 'http://api';

/**
 * Reads an array of entries. The next page is the one that `Link` names (RFC 8288); without that header, there is one
 * if `X-Total-Count` counts more entries, or, without that as well, if this page is full.
 * @param sizeParameter of the query
 * @param nameOf the name of the repository that an entry belongs to
 * @throws RegistryError `malformed`
 */
export function readArrayPage(
  { response, query, before }: AnsweredPage,
  sizeParameter: string,
  nameOf: (entry: unknown, path: string) => string,
): ListPage {
  const entries = parseJsonArray(response.body);
  const names = entries.map((entry, position) => nameOf(entry, `[${position}]`));
  return {
    names,
    entries: entries.length,
    next: linkedQuery(BASE, response) ?? (isMore() ? numberedQuery(query) : undefined),
  };

  function isMore(): boolean {
    if (entries.length === 0 || headerValue(response.headers, 'link') !== undefined) return false;
    const total = headerValue(response.headers, 'x-total-count');
    if (total !== undefined && /^\d+$/.test(total)) return before + entries.length < Number(total);
    return entries.length >= Number(new URLSearchParams(query).get(sizeParameter) ?? Infinity);
  }
}

function numberedQuery(query: string): string {
  const parameters = new URLSearchParams(query);
  parameters.set(PAGE, String(Number(parameters.get(PAGE) ?? 1) + 1));
  return `?${parameters.toString()}`;
}

/**
 * The text at `key` of an entry of a list.
 * @param path of the entry, for messages
 * @throws RegistryError `malformed` if the entry has none.
 */
export function textOf(entry: unknown, key: string, path: string): string {
  const text = isJsonObject(entry) ? entry[key] : undefined;
  if (typeof text !== 'string') throw malformed(`${path}.${key}`, 'a string');
  return text;
}
