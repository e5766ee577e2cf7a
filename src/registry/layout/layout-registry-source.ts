/** Reads the OCI image layouts in a folder as the repositories of a registry. */
import { basename, resolve } from 'node:path';
import { messageOf } from '../../message-of.ts';
import { CoveredRepositories } from '../covered-repositories.ts';
import type { Digest } from '../digest.ts';
import type { Descriptor, ImageConfig, Manifest } from '../manifest.ts';
import { isRepositoryName } from '../reference.ts';
import { RegistryError } from '../registry-error.ts';
import { LAYOUTS } from '../registry-id.ts';
import type { RegistrySource } from '../registry-source.ts';
import { CheckedBlobs } from './checked-blobs.ts';
import { ContainedFolder } from './contained-folder.ts';
import { findLayouts, INDEX_FILE, LAYOUT_FILE } from './find-layouts.ts';
import { Layout, type StoredBlob, type StoredManifest } from './layout.ts';

export interface LayoutRegistryOptions {
  /** Names and globs of those to read; all unless given. */
  readonly repositories?: readonly string[] | undefined;
  /** Told once of each folder that cannot be a repository. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Each image layout in a folder, at any depth, is a repository named by its path. If the folder is one itself, that is the
 * repository of the folder's name. What changes on disk is seen by the next call.
 */
export class LayoutRegistrySource implements RegistrySource {
  readonly id: string;
  readonly requests = 0;
  readonly #folder: ContainedFolder;
  readonly #checked = new CheckedBlobs();
  readonly #onWarning: (message: string) => void;
  readonly #covered: CoveredRepositories;
  readonly #warned = new Set<string>();

  constructor(folder: string, { repositories = [], onWarning = () => {} }: LayoutRegistryOptions = {}) {
    this.#folder = new ContainedFolder(resolve(folder));
    this.id = LAYOUTS + this.#folder.path;
    this.#covered = new CoveredRepositories(repositories);
    this.#onWarning = onWarning;
  }

  covers(repository: string): boolean {
    return this.#covered.has(repository);
  }

  async *repositories(signal?: AbortSignal): AsyncGenerator<readonly string[]> {
    signal?.throwIfAborted();
    const layouts = await findLayouts(this.#folder, (path, error) => {
      this.#warn(path, `cannot be read (${messageOf(error)}); no image layout in it is listed`);
    });
    const names = new Set<string>();
    for (const path of layouts) {
      const name = path === '' ? basename(this.#folder.path) : path;
      if (isRepositoryName(name)) names.add(name);
      else this.#warn(resolve(this.#folder.path, path), 'cannot name a repository; rename it to lower-case letters, digits and single . _ - between them');
    }
    yield [...names].filter((name) => this.covers(name));
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
   * A manifest by tag or digest as it is, for a client that pulls it; at most 4 MiB, checked against its digest.
   * @throws RegistryError `not-found`, also for a blob that is no manifest.
   */
  async openManifest(repository: string, reference: string): Promise<StoredManifest> {
    return (await this.#layout(repository)).open(reference);
  }

  /**
   * A blob, for a client that pulls it; checked against its digest.
   * @throws RegistryError `not-found` if the repository's layout does not hold it, `digest-mismatch` if its file is something else.
   */
  async openBlob(repository: string, digest: Digest): Promise<StoredBlob> {
    return (await this.#layout(repository)).blob(digest);
  }

  async close(): Promise<void> {}

  async #layout(repository: string, signal?: AbortSignal): Promise<Layout> {
    signal?.throwIfAborted();
    // The grammar of names leaves no way to climb out of the folder.
    const paths = isRepositoryName(repository) && this.covers(repository) ? [...(repository === basename(this.#folder.path) ? [''] : []), repository] : [];
    for (const path of paths) {
      const [layout, index] = await Promise.all([this.#folder.find(`${path}/${LAYOUT_FILE}`), this.#folder.find(`${path}/${INDEX_FILE}`)]);
      if (layout !== undefined && index !== undefined) return new Layout(this.#folder, path, this.#checked);
    }
    throw new RegistryError('not-found', `${this.id}: there is no image layout ${JSON.stringify(repository)}`);
  }

  #warn(path: string, message: string): void {
    if (this.#warned.has(path)) return;
    this.#warned.add(path);
    this.#onWarning(`${path}: ${message}`);
  }
}
