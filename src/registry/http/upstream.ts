/** Reads for clients what a registry has: manifests and blobs as they come, lists a page at a time. */
import { CoveredRepositories } from '../covered-repositories.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import { CATALOG } from './catalog.ts';
import { HeadTrust } from './head-trust.ts';
import type { HttpRegistryOptions } from './http-registry-source.ts';
import { ofRepository } from './repository.ts';
import type { Subject } from './transport/authenticator.ts';
import type { HttpResponse } from './transport/http-message.ts';
import { entriesOf, linkedQuery } from './transport/pages.ts';
import { Transport } from './transport/transport.ts';

/** A client waits: what does not pass soon is told, rather than waited for. In milliseconds. */
const PAUSES: readonly number[] = [200, 600];
const PATIENCE = 5000;

export interface PullerOptions extends Omit<HttpRegistryOptions, 'streams' | 'pauses' | 'patience'> {
  /** Redirects to another origin are answers, rather than followed. */
  readonly passRedirects: boolean;
}

/** A manifest or a blob that a client asks for. */
export interface Pull {
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  readonly kind: 'manifests' | 'blobs';
  /** A tag or a digest. */
  readonly reference: string;
  readonly accept?: string | undefined;
  /** See `HttpRequest`. */
  readonly conditions: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** A page of a list. */
export interface ListPage {
  readonly names: readonly string[];
  /** The query that asks for the next page, with its `?`; `undefined` if there is none. */
  readonly next: string | undefined;
}

export class HttpPuller {
  readonly #transport: Transport;
  readonly #covered: CoveredRepositories;
  readonly #passRedirects: boolean;
  readonly #heads = new HeadTrust();

  /** @throws TypeError if the URL is none for a registry. */
  constructor({ repositories = [], passRedirects, ...options }: PullerOptions) {
    this.#transport = new Transport({ ...options, streams: true, pauses: PAUSES, patience: PATIENCE });
    this.#covered = new CoveredRepositories(repositories);
    this.#passRedirects = passRedirects;
  }

  /** All the repositories that there are to read, if the catalog need not be asked for them. */
  get names(): readonly string[] | undefined {
    return this.#covered.named ? [...this.#covered.names] : undefined;
  }

  /** Says whether the repository is among those to read; asks nothing. */
  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  /**
   * The answer to a pull; every status is one. The body of a success is streamed.
   * The head of a manifest comes from a GET where the registry refuses HEAD.
   * @throws RegistryError, or the signal's reason.
   */
  async open(pull: Pull): Promise<HttpResponse> {
    if (pull.method === 'GET' || pull.kind === 'blobs') return this.#open(pull);
    const head = this.#heads.trusted ? await this.#open(pull) : undefined;
    if (head !== undefined && (isAnswered(head) || !this.#heads.mayBeRefused(head))) return head;
    const { stream, ...response } = await this.#open({ ...pull, method: 'GET' });
    stream?.destroy();
    if (head !== undefined && isAnswered(response)) this.#heads.distrust();
    return response;
  }

  #open({ repository, kind, reference, ...pull }: Pull): Promise<HttpResponse> {
    return this.#transport.request({
      ...pull,
      path: `${this.#transport.base}/${repository}/${kind}/${reference}`,
      subject: ofRepository(repository),
      limit: MAX_MANIFEST_BYTES,
      streamed: true,
      passRedirects: this.#passRedirects,
    });
  }

  /** A page of the repositories that the registry lists, or its answer if it does not. @param query of the page, with its `?` */
  repositories(query: string, signal: AbortSignal): Promise<ListPage | HttpResponse> {
    return this.#page('/_catalog', CATALOG, 'repositories', query, signal);
  }

  /** A page of a repository's tags, or the registry's answer if it lists none. @param query of the page, with its `?` */
  tags(repository: string, query: string, signal: AbortSignal): Promise<ListPage | HttpResponse> {
    return this.#page(`/${repository}/tags/list`, ofRepository(repository), 'tags', query, signal);
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #page(list: string, subject: Subject, key: string, query: string, signal: AbortSignal): Promise<ListPage | HttpResponse> {
    const path = `${this.#transport.base}${list}`;
    const ask = (asked: string): Promise<HttpResponse> => this.#transport.request({ path: path + asked, subject, limit: MAX_MANIFEST_BYTES, signal });
    let response = await ask(query);
    const parameters = new URLSearchParams(query);
    // The registry's limit may be lower than what the client asks for.
    if (response.status === 400 && parameters.has('n')) {
      parameters.delete('n');
      response = await ask(parameters.size === 0 ? '' : `?${parameters.toString()}`);
    }
    if (response.status !== 200) return response;
    const names = entriesOf(response, key).filter((name) => typeof name === 'string');
    return { names, next: linkedQuery(this.#transport.origin + path, response) };
  }
}

/** A success, a redirect, or that the client's copy is still good. */
function isAnswered({ status }: HttpResponse): boolean {
  return status < 400;
}
