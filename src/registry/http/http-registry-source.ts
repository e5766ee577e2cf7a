/** Reads a registry through the OCI distribution API. */
import { CoveredRepositories } from '../covered-repositories.ts';
import { isDigest, type Digest } from '../digest.ts';
import type { Descriptor, ImageConfig, Manifest } from '../manifest.ts';
import { isRepositoryName, isTag } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistrySource } from '../registry-source.ts';
import { catalog } from './catalog.ts';
import { config } from './config.ts';
import { HeadSupport } from './head-support.ts';
import { manifest } from './manifest.ts';
import { resolve } from './resolve.ts';
import { tags } from './tags.ts';
import { Paging } from './transport/pages.ts';
import { Transport, type TransportOptions } from './transport/transport.ts';

/** Settings of a registry at a URL. */
export interface HttpRegistryOptions extends TransportOptions {
  /**
   * Names and globs of the repositories to read; all of the catalog if absent or empty. Names alone need no catalog.
   */
  readonly repositories?: readonly string[] | undefined;
}

/** A registry at an `http` or `https` URL. */
export class HttpRegistrySource implements RegistrySource {
  readonly id: string;
  readonly patterns: readonly string[];
  readonly #transport: Transport;
  readonly #covered: CoveredRepositories;
  readonly #heads = new HeadSupport();
  readonly #paging = { repositories: new Paging(), tags: new Paging() };

  /** @throws TypeError if the URL is not valid for a registry. */
  constructor({ repositories = [], ...options }: HttpRegistryOptions) {
    this.#transport = new Transport(options);
    this.id = this.#transport.url;
    this.patterns = repositories;
    this.#covered = new CoveredRepositories(repositories);
  }

  get requests(): number {
    return this.#transport.requests;
  }

  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<readonly string[]> {
    const { all, named, names } = this.#covered;
    if (all) {
      yield* catalog(this.#transport, this.#paging.repositories, signal);
      return;
    }
    yield [...names];
    if (named) return;
    for await (const page of catalog(this.#transport, this.#paging.repositories, signal)) {
      yield page.filter((name) => !names.has(name) && this.covers(name));
    }
  }

  async tags(repository: string, signal?: AbortSignal): Promise<readonly string[]> {
    this.#check(repository);
    return tags(this.#transport, repository, this.#paging.tags, signal);
  }

  async resolve(repository: string, tag: string, signal?: AbortSignal): Promise<Descriptor> {
    this.#check(repository, tag);
    return resolve(this.#transport, repository, tag, this.#heads, signal);
  }

  async manifest(repository: string, reference: string | Digest, signal?: AbortSignal): Promise<Manifest> {
    this.#check(repository, reference);
    return manifest(this.#transport, repository, reference, signal);
  }

  async config(repository: string, descriptor: Descriptor, signal?: AbortSignal): Promise<ImageConfig | undefined> {
    this.#check(repository);
    return config(this.#transport, repository, descriptor, signal);
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  /** Refuses invalid names, which become parts of paths, without a request. */
  #check(repository: string, reference?: string): void {
    if (!isRepositoryName(repository))
      throw new RegistryError('not-found', `${this.id}: ${JSON.stringify(repository)} cannot name a repository`);
    if (reference !== undefined && !isTag(reference) && !isDigest(reference)) {
      throw new RegistryError(
        'not-found',
        `${this.id}: ${JSON.stringify(reference)} is neither a tag nor a digest of ${repository}`,
      );
    }
  }
}
