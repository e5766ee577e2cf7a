/** Reads a registry through the OCI distribution API. */
import type { Readable } from 'node:stream';
import { CoveredRepositories } from '../covered-repositories.ts';
import { isDigest, type Digest } from '../digest.ts';
import { ownerOf, type ListingOptions } from '../listing/listing-apis.ts';
import { RepositoryList } from '../listing/repository-list.ts';
import type { Descriptor, ImageConfig, Manifest } from '../manifest.ts';
import { isRepositoryName, isTag } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import type { ImageSource, RegistrySource } from '../registry-source.ts';
import { blob, config } from './blob.ts';
import { catalog } from './catalog.ts';
import { manifest, openManifest } from './manifest.ts';
import { repositorySubject } from './repository.ts';
import { HeadSupport, resolve } from './resolve.ts';
import { tags } from './tags.ts';
import { Paging } from './transport/pages.ts';
import { Transport, type TransportOptions } from './transport/transport.ts';

/** Settings of a registry at a URL. */
export interface HttpRegistryOptions extends TransportOptions {
  /** Names and globs of the repositories to read; all that are listed if absent or empty. Names alone need no list. */
  readonly repositories?: readonly string[] | undefined;
  /** How repositories are listed; by the registry's catalog if absent. */
  readonly listing?: ListingOptions | undefined;
}

/** A registry at an `http` or `https` URL. */
export class HttpRegistrySource implements RegistrySource, ImageSource {
  readonly id: string;
  readonly patterns: readonly string[];
  readonly #transport: Transport;
  readonly #listing: RepositoryList | undefined;
  readonly #covered: CoveredRepositories;
  readonly #heads = new HeadSupport();
  readonly #paging = { repositories: new Paging(), tags: new Paging() };

  /** @throws TypeError if the URL is not valid for a registry. */
  constructor({ repositories = [], listing, ...options }: HttpRegistryOptions) {
    this.#transport = new Transport(options);
    this.#listing = listing && new RepositoryList({ ...options, listing });
    this.id = this.#transport.url;
    this.patterns = listing === undefined ? repositories : [...repositories, `${ownerOf(listing).name}/**`];
    this.#covered = new CoveredRepositories(repositories, listing);
  }

  get requests(): number {
    return this.#transport.requests + (this.#listing?.requests ?? 0);
  }

  get listedAt(): string | undefined {
    return this.#listing?.origin;
  }

  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<readonly string[]> {
    const { all, named, names } = this.#covered;
    if (!all) yield [...names];
    if (named) return;
    const list =
      this.#listing === undefined
        ? catalog(this.#transport, this.#paging.repositories, signal)
        : this.#listing.pages(signal);
    for await (const page of list) yield page.filter((name) => !names.has(name) && this.covers(name));
  }

  async tags(repository: string, signal?: AbortSignal): Promise<readonly string[]> {
    this.#check(repository);
    return tags(this.#transport, repository, this.#paging.tags, signal);
  }

  isPublic(repository: string): boolean {
    return this.#transport.isPublic(repositorySubject(repository));
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

  async openManifest(
    repository: string,
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer }> {
    this.#check(repository, digest);
    return openManifest(this.#transport, repository, digest, signal);
  }

  async readBlob(repository: string, digest: Digest, signal?: AbortSignal): Promise<Readable> {
    this.#check(repository, digest);
    return blob(this.#transport, repository, digest, signal);
  }

  async close(): Promise<void> {
    await Promise.all([this.#transport.close(), this.#listing?.close()]);
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
