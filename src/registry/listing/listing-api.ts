/** The interface to the APIs, beside that of the registry, which list repositories. */
import type { JsonObject } from '../../system/is-json-object.ts';
import type { HttpResponse } from '../http/transport/http-message.ts';

/** The keys of the configuration that say whose repositories are listed. */
export const OWNER_KEYS = ['owner', 'namespace', 'group', 'project'] as const;

/** One of {@link OWNER_KEYS}. */
export type OwnerKey = (typeof OWNER_KEYS)[number];

/** Whose repositories are listed. Their names begin with its name in lower case. */
export interface Owner {
  readonly key: OwnerKey;
  readonly name: string;
}

/** A token, and what may be needed to use it. */
export interface ApiLogin {
  readonly owner: Owner;
  readonly token: string;
  readonly username: string | undefined;
  /**
   * Posts JSON to a path of the API, and returns the answer, which is secret.
   * @throws RegistryError
   */
  readonly exchange: (path: string, content: JsonObject) => Promise<JsonObject>;
}

/** An answered page of a list. */
export interface AnsweredPage {
  readonly response: HttpResponse;
  readonly owner: Owner;
  /** The query of the page, with its `?`. */
  readonly query: string;
  /** The number of entries on the pages before. */
  readonly before: number;
}

/** The content of a page. */
export interface ListPage {
  /** Names of repositories, unchecked; several entries may have the same one. */
  readonly names: readonly string[];
  readonly entries: number;
  /** The query of the next page, with its `?`; `undefined` after the last page. */
  readonly next: string | undefined;
}

/** One kind of API. */
export interface ListingApi {
  /** Its name among people, for messages. */
  readonly name: string;
  /** The keys of the configuration, one of which must be given. */
  readonly ownerKeys: readonly OwnerKey[];
  /** The URLs of APIs by the hosts of their registries, or `same` if every registry has the API at its own origin. */
  readonly urls: Readonly<Record<string, string>> | 'same';
  /** How a login of the API is written: as a token alone, or as a token and its user; the latter may be needed. */
  readonly login: 'token' | 'token of a user' | 'token of a required user';
  /** Without a token, the API takes the login for the registry at the same origin. */
  readonly takesRegistryLogin?: boolean;
  /** The API answers nothing without a token. */
  readonly needsToken?: boolean;
  /** Description of the token, in words that follow "expected". */
  readonly expectedToken: string;
  /** The media type to ask for; `application/json` if absent. */
  readonly accept?: string;

  /** The headers that show a login. */
  headers(login: ApiLogin): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>;

  /** Paths of the list, without a query. While one is answered 404, the next is tried. */
  paths(owner: Owner): readonly [string, ...string[]];

  /** The query of the first page, with its `?`. */
  firstQuery(owner: Owner): string;

  /**
   * Reads a page.
   * @throws RegistryError `malformed` if it is not one.
   */
  readPage(page: AnsweredPage): ListPage;
}
