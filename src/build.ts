/** Puts together what builds indexes: sources, catalog and indexer. Runs in the build thread, or alone for `regindexer index`. */
import { join } from 'node:path';
import { CatalogError } from './catalog/catalog-error.ts';
import { SqliteCatalog } from './catalog/sqlite-catalog.ts';
import { wantedBy } from './indexing/globs.ts';
import type { IndexDefinition } from './indexing/index-definition.ts';
import type { RebuildOptions } from './indexing/indexer.ts';
import { Indexer } from './indexing/indexer.ts';
import type { RebuildResult, RebuildScope } from './indexing/rebuild.ts';
import { makeFolder } from './make-folder.ts';
import type { RegistryOptions } from './registry/create-registry-source.ts';
import { createRegistrySource } from './registry/create-registry-source.ts';
import { isNotFound } from './registry/registry-error.ts';
import type { RegistrySource } from './registry/registry-source.ts';

/** All of it can be cloned, so that it can be sent to a thread. */
export interface BuildOptions {
  readonly stateDir: string;
  readonly iconsDir: string;
  readonly iconsUri: string;
  /** Milliseconds. */
  readonly cleanFilesAfter: number;
  readonly registries: readonly RegistryOptions[];
  readonly definitions: readonly IndexDefinition[];
}

/** The folder of the snapshots. */
export function snapshotsDir(stateDir: string): string {
  return join(stateDir, 'indexes');
}

export class Build {
  readonly #options: BuildOptions;
  readonly #onWarning: (message: string) => void;
  readonly #sources: ReadonlyMap<string, RegistrySource>;
  #catalog: SqliteCatalog;
  #indexer: Indexer;

  private constructor(options: BuildOptions, onWarning: (message: string) => void, sources: ReadonlyMap<string, RegistrySource>, catalog: SqliteCatalog, indexer: Indexer) {
    this.#options = options;
    this.#onWarning = onWarning;
    this.#sources = sources;
    this.#catalog = catalog;
    this.#indexer = indexer;
  }

  /**
   * Opens the state. The caller holds its lock.
   * @param onWarning told of what an administrator should know, such as a damaged catalog that was set aside
   */
  static async open(options: BuildOptions, { onWarning }: { onWarning: (message: string) => void }): Promise<Build> {
    makeFolder(options.stateDir);
    const sources = new Map(options.registries.map((registry) => [registry.id, createRegistrySource(registry, { onWarning })]));
    const catalog = SqliteCatalog.open(catalogFile(options), { onWarning });
    return new Build(options, onWarning, sources, catalog, await openIndexer(options, onWarning, sources, catalog));
  }

  /** Brings every index up to date with what the catalog holds, without asking a registry. */
  async refresh(options: Pick<RebuildOptions, 'onPublished' | 'signal'> = {}): Promise<void> {
    for (const registry of this.#sources.keys()) await this.#indexer.refresh(registry, options);
  }

  /** See {@link Indexer.rebuild}. A catalog that turns out to be damaged is set aside and made anew. */
  async rebuild(registry: string, scope: RebuildScope, options: RebuildOptions = {}): Promise<RebuildResult> {
    try {
      return await this.#indexer.rebuild(registry, scope, options);
    } catch (error) {
      if (!(error instanceof CatalogError && error.code === 'corrupt')) throw error;
      this.#onWarning(error.message);
      this.#catalog.close();
      SqliteCatalog.setAside(catalogFile(this.#options));
      this.#catalog = SqliteCatalog.open(catalogFile(this.#options), { onWarning: this.#onWarning });
      this.#indexer = await openIndexer(this.#options, this.#onWarning, this.#sources, this.#catalog);
      return this.#indexer.rebuild(registry, { ...scope, indexes: 'all' }, options);
    }
  }

  /** Says whether a repository that some index takes is in the catalog or its registry; yes if that cannot be asked. */
  async knowsRepository(name: string, signal?: AbortSignal): Promise<boolean> {
    for (const [id, source] of this.#sources) {
      const taken = source.covers(name) && this.#options.definitions.some((definition) => definition.registry === id && wantedBy(definition).repository(name));
      if (!taken) continue;
      if (this.#catalog.tags(id, name).length > 0) return true;
      const known = await source.tags(name, signal).then(
        () => true,
        (error: unknown) => !isNotFound(error),
      );
      if (known) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sources.values()].map((source) => source.close()));
    this.#catalog.close();
  }
}

function catalogFile({ stateDir }: BuildOptions): string {
  return join(stateDir, 'catalog.sqlite');
}

function openIndexer(options: BuildOptions, onWarning: (message: string) => void, sources: ReadonlyMap<string, RegistrySource>, catalog: SqliteCatalog): Promise<Indexer> {
  const concurrency = new Map(options.registries.map(({ id, concurrency: atOnce }) => [id, atOnce]));
  return Indexer.open({
    sources,
    concurrency: (registry) => concurrency.get(registry) ?? 1,
    catalog,
    definitions: options.definitions,
    snapshotsDir: snapshotsDir(options.stateDir),
    iconsDir: options.iconsDir,
    iconsUri: options.iconsUri,
    cleanFilesAfter: options.cleanFilesAfter,
    onWarning,
  });
}
