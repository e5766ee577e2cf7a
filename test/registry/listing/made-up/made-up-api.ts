/** What the made-up APIs have in common. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ListingOptions } from '../../../../src/registry/listing/listing-apis.ts';
import { sendJson } from '../../http/play-registry.ts';

export type ApiRequest = IncomingMessage & { readonly url: string };

/** What an API holds: names of repositories below the owner, and the tokens that it knows. */
export interface Held {
  readonly names: readonly string[];
}

/** A token that may list, with its user `jane`; one without the right to; any other is wrong. */
export const TOKEN = 'one-secret-token';
export const WEAK_TOKEN = 'one-weak-token';

/** The owner of all repositories. There is no other. */
export const OWNER = 'Acme';

export interface MadeUpApi {
  readonly listing: Omit<ListingOptions, 'url'>;
  /** Answers as the API does, without limits and faults. */
  answer(request: ApiRequest, response: ServerResponse, held: Held): void;
}

/** The query of a request. */
export function queryOf({ url }: ApiRequest): URLSearchParams {
  return new URL(url, 'http://api').searchParams;
}

/** The path of a request, decoded. */
export function pathOf({ url }: ApiRequest): string {
  return decodeURIComponent(new URL(url, 'http://api').pathname);
}

/**
 * The entries on the numbered page that a request asks for, and the links to other pages.
 * @param most entries of a page, however many are asked for
 */
export function numbered<T>(
  request: ApiRequest,
  entries: readonly T[],
  sizeParameter: string,
  most: number,
): { readonly page: readonly T[]; readonly next: string | undefined; readonly links: string | undefined } {
  const query = queryOf(request);
  const size = Math.min(most, Number(query.get(sizeParameter) ?? 20));
  const number = Number(query.get('page') ?? 1);
  const last = Math.ceil(entries.length / size);
  const to = (page: number): string => {
    query.set('page', String(page));
    return `?${query.toString()}`;
  };
  const next = number < last ? to(number + 1) : undefined;
  const relations = { prev: number > 1 ? to(number - 1) : undefined, next, last: number < last ? to(last) : undefined };
  const links = Object.entries(relations).flatMap(([relation, link]) =>
    link === undefined ? [] : [`<https://api.internal/elsewhere${link}>; rel="${relation}"`],
  );
  return {
    page: entries.slice((number - 1) * size, number * size),
    next,
    links: links.length === 0 ? undefined : links.join(', '),
  };
}

/** Answers with `page` and links. */
export function sendPage(
  response: ServerResponse,
  page: unknown,
  links: string | undefined,
  headers: Record<string, string> = {},
): void {
  sendJson(response, page, { ...headers, ...(links !== undefined && { link: links }) });
}
