/** The registry behind the registry proxy: streams manifests and blobs, and reads lists page by page. */
import { CoveredRepositories } from '../covered-repositories.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import { CATALOG } from './catalog.ts';
import { HeadSupport } from './resolve.ts';
import type { HttpRegistryOptions } from './http-registry-source.ts';
import { repositorySubject } from './repository.ts';
import type { Subject } from './transport/authenticator.ts';
import type { HttpResponse } from './transport/http-message.ts';
import { entriesOf, linkedQuery } from './transport/pages.ts';
import { Transport } from './transport/transport.ts';

/** Shorter than for scans, because a client is waiting. In milliseconds. */
const PAUSES: readonly number[] = [200, 600];
const PATIENCE = 5000;

/** Settings of an upstream registry. */
export interface UpstreamOptions extends Omit<HttpRegistryOptions, 'streams' | 'pauses' | 'patience'> {
  /** Returns redirects to another origin as answers instead of following them. */
  readonly passRedirects: boolean;
}

/** A client's request for a manifest or blob. */
export interface Pull {
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  readonly kind: 'manifests' | 'blobs';
  /** A tag or a digest. */
  readonly reference: string;
  readonly accept?: string | undefined;
  /** Headers of conditions and ranges. */
  readonly conditions: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** A page of a list of repositories or tags. */
export interface UpstreamPage {
  readonly names: readonly string[];
  /** The query of the next page, with its `?`; `undefined` after the last page. */
  readonly next: string | undefined;
}

/** The registry that the registry proxy reads for its clients. */
export class UpstreamRegistry {
  readonly #transport: Transport;
  readonly #covered: CoveredRepositories;
  readonly #passRedirects: boolean;
  readonly #heads = new HeadSupport();

  /** @throws TypeError if the URL is not valid for a registry. */
  constructor({ repositories = [], listing, passRedirects, ...options }: UpstreamOptions) {
    this.#transport = new Transport({ ...options, streams: true, pauses: PAUSES, patience: PATIENCE });
    this.#covered = new CoveredRepositories(repositories, listing);
    this.#passRedirects = passRedirects;
  }

  /** The configured repositories if all are named; `undefined` if a list is needed to know them. */
  get names(): readonly string[] | undefined {
    return this.#covered.named ? [...this.#covered.names] : undefined;
  }

  /** Says whether the configuration selects the repository; sends no request. */
  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  /**
   * Sends a pull to the registry. Any status is an answer; the body of a success is streamed.
   * A HEAD for a manifest is sent as GET where the registry refuses HEAD.
   * @throws RegistryError, or the signal's reason.
   */
  async open(pull: Pull): Promise<HttpResponse> {
    if (pull.method === 'GET' || pull.kind === 'blobs') return this.#open(pull);
    const head = this.#heads.supported ? await this.#open(pull) : undefined;
    if (head !== undefined && (isAnswered(head) || !this.#heads.isRefusal(head))) return head;
    const { stream, ...response } = await this.#open({ ...pull, method: 'GET' });
    stream?.destroy();
    if (head !== undefined && isAnswered(response)) this.#heads.markRefused();
    return response;
  }

  #open({ repository, kind, reference, conditions, ...pull }: Pull): Promise<HttpResponse> {
    return this.#transport.request({
      ...pull,
      fields: conditions,
      path: `${this.#transport.base}/${repository}/${kind}/${reference}`,
      subject: repositorySubject(repository),
      limit: MAX_MANIFEST_BYTES,
      streamed: true,
      passRedirects: this.#passRedirects,
    });
  }

  /**
   * Reads a page of the catalog; returns the registry's answer if that is not a page.
   * @param query of the page, with its `?`
   */
  repositories(query: string, signal: AbortSignal): Promise<UpstreamPage | HttpResponse> {
    return this.#page('/_catalog', CATALOG, 'repositories', query, signal);
  }

  /**
   * Reads a page of a repository's tags; returns the registry's answer if that is not a page.
   * @param query of the page, with its `?`
   */
  tags(repository: string, query: string, signal: AbortSignal): Promise<UpstreamPage | HttpResponse> {
    return this.#page(`/${repository}/tags/list`, repositorySubject(repository), 'tags', query, signal);
  }

  /** Closes all connections; pending requests fail. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #page(
    list: string,
    subject: Subject,
    key: string,
    query: string,
    signal: AbortSignal,
  ): Promise<UpstreamPage | HttpResponse> {
    const path = `${this.#transport.base}${list}`;
    const ask = (asked: string): Promise<HttpResponse> =>
      this.#transport.request({ path: path + asked, subject, limit: MAX_MANIFEST_BYTES, signal });
    let response = await ask(query);
    const parameters = new URLSearchParams(query);
    // The page size that the client wants may be above the registry's limit.
    if (response.status === 400 && parameters.has('n')) {
      parameters.delete('n');
      response = await ask(parameters.size === 0 ? '' : `?${parameters.toString()}`);
    }
    if (response.status !== 200) return response;
    const names = entriesOf(response, key).filter((name) => typeof name === 'string');
    return { names, next: linkedQuery(this.#transport.origin + path, response) };
  }
}

/** Says whether the answer is a success, a redirect or 304. */
function isAnswered({ status }: HttpResponse): boolean {
  return status < 400;
}
