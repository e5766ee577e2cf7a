/** Lists repositories through an API beside the registry's own, where there is no catalog. */
import { readFile } from 'node:fs/promises';
import { messageOf } from '../../system/message-of.ts';
import { untilAborted } from '../../system/on-abort.ts';
import { Keychain } from '../http/access/keychain.ts';
import { HttpClient } from '../http/transport/http-client.ts';
import type { HttpRequest, HttpResponse } from '../http/transport/http-message.ts';
import { followRedirects } from '../http/transport/redirects.ts';
import type { TransportOptions } from '../http/transport/transport.ts';
import type { JsonObject } from '../../system/is-json-object.ts';
import { parseSecretObject } from '../json-object.ts';
import { isRepositoryName } from '../reference.ts';
import { locateErrors, RegistryError, withLocation } from '../registry-error.ts';
import { registryId, registryKey } from '../registry-id.ts';
import { LISTING_APIS, ownerOf, type ListingOptions } from './listing-apis.ts';
import type { ListingApi, ListPage, Owner } from './listing-api.ts';
import { refusalPause, usedUpPause } from './rate-limit.ts';
import { refusal } from './refusal.ts';

const MAX_PAGE_BYTES = 16 * 1024 * 1024;
const MAX_PAGES = 10_000;
const MAX_REPOSITORIES = 1_000_000;
const MAX_TOKEN_BYTES = 1024 * 1024;

/** Settings of {@link RepositoryList}: those of the registry, whose `url` is its own. */
export interface RepositoryListOptions extends TransportOptions {
  readonly listing: ListingOptions;
}

/** A login in the form that requests need. */
interface ShownLogin {
  /** In words, for messages. */
  readonly words: string;
  readonly fields: Readonly<Record<string, string>>;
}

const TOKEN = { words: 'the token' };

/** The list of repositories that one API has for a registry. */
export class RepositoryList {
  /** The origin of the API. */
  readonly origin: string;
  readonly #listing: ListingOptions;
  readonly #api: ListingApi;
  readonly #owner: Owner;
  /** The path of the API, without a slash at its end. */
  readonly #base: string;
  /** The name of the list in messages. */
  readonly #key: string;
  readonly #client: HttpClient;
  /** The login for the registry, if the API takes it. */
  readonly #keychain: Keychain | undefined;
  /** The path of the list that was answered last. */
  #path: string | undefined;

  constructor({ listing, ...options }: RepositoryListOptions) {
    const registry = registryId(options.url, '/');
    const { origin, pathname } = new URL(listing.url);
    this.origin = origin;
    this.#listing = listing;
    this.#api = LISTING_APIS[listing.kind];
    this.#owner = ownerOf(listing);
    this.#base = pathname.replace(/\/+$/, '');
    this.#key = registryKey(registry, 'listing');
    this.#client = new HttpClient({ ...options, url: registry, origin, askedPause: refusalPause });
    this.#keychain =
      this.#api.takesRegistryLogin === true && origin === new URL(registry).origin
        ? new Keychain({ ...options, url: registry })
        : undefined;
  }

  /** The number of requests sent so far. */
  get requests(): number {
    return this.#client.requests;
  }

  /**
   * The names of all repositories, page by page in the API's order, in lower case, each once, without invalid ones.
   * @throws RegistryError that says what to do, or the signal's reason.
   */
  async *pages(signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
    try {
      yield* this.#pages(signal);
    } catch (error) {
      throw withLocation(this.#key, error);
    }
  }

  /** Closes all connections; pending requests fail. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  async *#pages(signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
    const login = await this.#login(signal);
    let query = this.#api.firstQuery(this.#owner);
    const first = await this.#firstPage(query, login, signal);
    let { response } = first;
    const visited = new Set<string>();
    const known = new Set<string>();
    for (let before = 0; ;) {
      visited.add(query);
      const page = this.#read(response, query, before);
      before += page.entries;
      const names = new Set(page.names.map(nameOf).filter((name) => isRepositoryName(name) && !known.has(name)));
      for (const name of names) known.add(name);
      if (known.size > MAX_REPOSITORIES)
        throw new RegistryError('too-large', `${response.where}: lists more than ${MAX_REPOSITORIES} repositories`);
      yield [...names];
      if (page.next === undefined) return;
      if (visited.has(page.next))
        throw new RegistryError('malformed', `${response.where}: the links to the next page lead in a loop`);
      if (visited.size >= MAX_PAGES)
        throw new RegistryError('too-large', `${response.where}: has more than ${MAX_PAGES} pages`);
      query = page.next;
      const next = await this.#ask(first.path + query, login, signal);
      if (next.status !== 200) throw this.#refusal(next, login, true);
      if (page.entries > 0 && next.body.equals(response.body))
        throw new RegistryError('malformed', `${next.where}: the next page is the same again`);
      response = next;
    }
  }

  #read(response: HttpResponse, query: string, before: number): ListPage {
    return locateErrors(response.where, () => this.#api.readPage({ response, owner: this.#owner, query, before }));
  }

  /** Asks each path of the list while the answer is 404, first the one that was answered last. */
  async #firstPage(
    query: string,
    login: ShownLogin | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly path: string; readonly response: HttpResponse }> {
    const [first, ...others] = this.#api.paths(this.#owner);
    const paths = new Set([this.#path ?? first, first, ...others]);
    let refused: HttpResponse | undefined;
    for (const path of paths) {
      const response = await this.#ask(path + query, login, signal);
      if (response.status === 200) {
        this.#path = path;
        return { path, response };
      }
      refused ??= response;
      if (response.status !== 404) throw this.#refusal(response, login);
    }
    throw this.#refusal(refused as HttpResponse, login);
  }

  /** Follows redirects only within the API's origin, because the login must not be sent elsewhere. */
  async #ask(path: string, login: ShownLogin | undefined, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const request: HttpRequest = {
      method: 'GET',
      origin: this.origin,
      path: this.#base + path,
      accept: this.#api.accept ?? 'application/json',
      fields: login?.fields,
      limit: MAX_PAGE_BYTES,
      signal,
    };
    const response = await followRedirects(request, this.#client.send, this.origin);
    const pause = response.status === 200 ? usedUpPause(response) : 0;
    if (pause > 0) this.#client.hold(response, pause);
    return response;
  }

  #refusal(response: HttpResponse, login: Pick<ShownLogin, 'words'> | undefined, isLater = false): RegistryError {
    return refusal(response, { api: this.#api, owner: this.#owner, login: login?.words, isLater });
  }

  async #login(signal: AbortSignal | undefined): Promise<ShownLogin | undefined> {
    const token = await this.#token();
    if (token !== undefined) {
      const { username } = this.#listing;
      const exchange = (path: string, content: JsonObject) => this.#exchange(path, content, signal);
      return { ...TOKEN, fields: await this.#api.headers({ owner: this.#owner, token, username, exchange }) };
    }
    const found = this.#keychain?.of(undefined);
    const login = found instanceof Promise ? await untilAborted(found, signal) : found;
    return login?.kind === 'basic'
      ? { words: 'the login for the registry', fields: { authorization: login.authorization } }
      : undefined;
  }

  async #token(): Promise<string | undefined> {
    const { token, tokenFile } = this.#listing;
    if (tokenFile === undefined) return token;
    let text: string;
    try {
      text = (await readFile(tokenFile, 'utf8')).trim();
    } catch (cause) {
      const local = `: ${messageOf(cause)}`;
      throw new RegistryError('unavailable', `token_file cannot be read${local}`, { cause, local });
    }
    if (/^[\x21-\x7e]+$/.test(text)) return text;
    const local = `: ${tokenFile}`;
    throw new RegistryError('unavailable', `token_file does not hold a token${local}`, { local });
  }

  async #exchange(path: string, content: JsonObject, signal: AbortSignal | undefined): Promise<JsonObject> {
    const response = await this.#client.send({
      method: 'POST',
      origin: this.origin,
      path: this.#base + path,
      content: { mediaType: 'application/json', text: JSON.stringify(content) },
      limit: MAX_TOKEN_BYTES,
      signal,
    });
    if (response.status !== 200) throw this.#refusal(response, TOKEN);
    return locateErrors(response.where, () => parseSecretObject(response.body));
  }
}

/** The name of a repository: registries know only lower case, and APIs may encode slashes. */
function nameOf(listed: string): string {
  return listed.replaceAll(/%2f/gi, '/').toLowerCase();
}
