/** Reads the OCI image layouts in a folder as the repositories of a registry. */
import { basename, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { messageOf } from '../../system/message-of.ts';
import { CoveredRepositories } from '../covered-repositories.ts';
import type { Digest } from '../digest.ts';
import type { Descriptor, ImageConfig, Manifest } from '../manifest.ts';
import { isRepositoryName } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import { LAYOUT_PREFIX } from '../registry-id.ts';
import type { ImageSource, RegistrySource } from '../registry-source.ts';
import { CheckedBlobs } from './checked-blobs.ts';
import { ContainedFolder } from './contained-folder.ts';
import { findLayouts, findLayoutsAlike, hasLayout } from './find-layouts.ts';
import { Layout, type StoredBlob, type StoredManifest } from './layout.ts';
import { lowerCased, nameLayouts } from './name-layouts.ts';

/** Settings of a registry in a folder. */
export interface LayoutRegistryOptions {
  /** Names and globs of the repositories to read; all if absent or empty. */
  readonly repositories?: readonly string[] | undefined;
}

/**
 * A folder as a registry: each image layout in it, at any depth, is a repository named by its path, in lower case if
 * that is unique. A layout in the folder itself has the folder's name. Each call sees the current files.
 */
export class LayoutRegistrySource implements RegistrySource, ImageSource {
  readonly id: string;
  readonly requests = 0;
  readonly patterns: readonly string[];
  readonly #folder: ContainedFolder;
  readonly #checked = new CheckedBlobs();
  readonly #covered: CoveredRepositories;
  #warnings: readonly string[] = [];

  /** @param folder its path; it need not exist yet */
  constructor(folder: string, { repositories = [] }: LayoutRegistryOptions = {}) {
    this.#folder = new ContainedFolder(resolve(folder));
    this.id = LAYOUT_PREFIX + this.#folder.path;
    this.patterns = repositories;
    this.#covered = new CoveredRepositories(repositories);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<readonly string[]> {
    signal?.throwIfAborted();
    const warnings: string[] = [];
    const layouts = await findLayouts(this.#folder, (path, error) => {
      warnings.push(`${path}: cannot be read (${messageOf(error)}); no image layout in it is listed`);
    });
    const { paths, faults } = nameLayouts(layouts, basename(this.#folder.path));
    this.#warnings = [...warnings, ...faults.map(({ path, fault }) => `${resolve(this.#folder.path, path)}: ${fault}`)];
    yield [...paths.keys()].filter((name) => this.covers(name)).toSorted();
  }

  async tags(repository: string, signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.#layout(repository, signal)).tags();
  }

  async resolve(repository: string, tag: string, signal?: AbortSignal): Promise<Descriptor> {
    return (await this.#layout(repository, signal)).resolve(tag);
  }

  async manifest(repository: string, reference: string | Digest, signal?: AbortSignal): Promise<Manifest> {
    return (await this.#layout(repository, signal)).manifest(reference);
  }

  async config(repository: string, { digest }: Descriptor, signal?: AbortSignal): Promise<ImageConfig | undefined> {
    return (await this.#layout(repository, signal)).config(digest);
  }

  /**
   * A manifest's bytes by tag or digest, for a client that pulls it; at most 4 MiB, checked against its digest.
   * @throws RegistryError `not-found`, also for a blob that is not a manifest.
   */
  async openManifest(repository: string, reference: string): Promise<StoredManifest> {
    return (await this.#layout(repository)).open(reference);
  }

  /**
   * A blob for a client that pulls it, checked against its digest.
   * @throws RegistryError `not-found` if the repository's layout does not hold it, `digest-mismatch` if its file has
   * other content.
   */
  async openBlob(repository: string, digest: Digest): Promise<StoredBlob> {
    return (await this.#layout(repository)).blob(digest);
  }

  async readBlob(repository: string, digest: Digest): Promise<Readable> {
    return (await this.openBlob(repository, digest)).stream();
  }

  async close(): Promise<void> {}

  async #layout(repository: string, signal?: AbortSignal): Promise<Layout> {
    signal?.throwIfAborted();
    // Valid names cannot lead out of the folder.
    if (isRepositoryName(repository) && this.covers(repository)) {
      const path = await this.#pathOf(repository);
      if (path !== undefined) return new Layout(this.#folder, path, this.#checked);
    }
    throw new RegistryError('not-found', `${this.id}: there is no image layout ${JSON.stringify(repository)}`);
  }

  async #pathOf(repository: string): Promise<string | undefined> {
    const name = basename(this.#folder.path);
    const isOwn = repository === lowerCased(name) && (await hasLayout(this.#folder, ''));
    if (!isOwn && (await hasLayout(this.#folder, repository))) return repository;
    return nameLayouts([...(isOwn ? [''] : []), ...(await findLayoutsAlike(this.#folder, repository))], name).paths.get(
      repository,
    );
  }
}
