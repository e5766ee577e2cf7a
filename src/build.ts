/** Puts together what builds indexes: sources, catalog and indexer. Runs in the build thread, or alone for `regindexer index`. */
import { join } from 'node:path';
import { CatalogError } from './catalog/catalog-error.ts';
import { SqliteCatalog } from './catalog/sqlite-catalog.ts';
import { isWanted, wantedBy } from './indexing/globs.ts';
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

export interface BuildEvents {
  /** Told of what an administrator should know, such as a damaged catalog that was set aside. */
  readonly onWarning: (message: string) => void;
  /** A catalog that turned out to be damaged was set aside: all registries have to be read anew. The one whose rebuild found out is. */
  readonly onCatalogLost?: () => void;
}

/** What goes with one catalog. */
interface Parts {
  readonly catalog: SqliteCatalog;
  readonly indexer: Indexer;
}

export class Build {
  readonly #options: BuildOptions;
  readonly #events: BuildEvents;
  readonly #sources: ReadonlyMap<string, RegistrySource>;
  /** One for each catalog that there was. */
  #parts: Promise<Parts>;

  private constructor(options: BuildOptions, events: BuildEvents, sources: ReadonlyMap<string, RegistrySource>, parts: Parts) {
    this.#options = options;
    this.#events = events;
    this.#sources = sources;
    this.#parts = Promise.resolve(parts);
  }

  /** Opens the state. The caller holds its lock. */
  static async open(options: BuildOptions, events: BuildEvents): Promise<Build> {
    makeFolder(options.stateDir);
    const sources = new Map(options.registries.map((registry) => [registry.id, createRegistrySource(registry)]));
    return new Build(options, events, sources, await openParts(options, events, sources));
  }

  /** Brings every index up to date with what the catalog holds, without asking a registry. */
  async refresh(options: Pick<RebuildOptions, 'onPublished' | 'signal'> = {}): Promise<void> {
    for (const registry of this.#sources.keys()) await (await this.#parts).indexer.refresh(registry, options);
  }

  /** See {@link Indexer.rebuild}. A catalog that turns out to be damaged is set aside, and the registry read anew. */
  async rebuild(registry: string, scope: RebuildScope, options: RebuildOptions = {}): Promise<RebuildResult> {
    const parts = this.#parts;
    try {
      return await (await parts).indexer.rebuild(registry, scope, options);
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error;
      // Another rebuild may have found out first.
      if (this.#parts === parts) {
        if (error.code !== 'corrupt') throw error;
        this.#events.onWarning(error.message);
        this.#parts = this.#replaceCatalog((await parts).catalog);
      } else if (error.code !== 'corrupt' && error.code !== 'closed') throw error;
    }
    return (await this.#parts).indexer.rebuild(registry, { ...scope, indexes: 'all' }, options);
  }

  async #replaceCatalog(damaged: SqliteCatalog): Promise<Parts> {
    damaged.close();
    SqliteCatalog.setAside(catalogFile(this.#options));
    const parts = await openParts(this.#options, this.#events, this.#sources);
    this.#events.onCatalogLost?.();
    return parts;
  }

  /** Says whether a repository that some index takes is in the catalog or its registry; yes if that cannot be asked. */
  async knowsRepository(name: string, signal?: AbortSignal): Promise<boolean> {
    for (const [id, source] of this.#sources) {
      const definitions = this.#options.definitions.filter(({ registry }) => registry === id);
      if (!isWanted(definitions.map((definition) => wantedBy(definition, (repository) => source.covers(repository))), name)) continue;
      if ((await this.#parts).catalog.tags(id, name).length > 0) return true;
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
    (await this.#parts).catalog.close();
  }
}

function catalogFile({ stateDir }: BuildOptions): string {
  return join(stateDir, 'catalog.sqlite');
}

async function openParts(options: BuildOptions, { onWarning }: BuildEvents, sources: ReadonlyMap<string, RegistrySource>): Promise<Parts> {
  const catalog = SqliteCatalog.open(catalogFile(options), { onWarning });
  const concurrency = new Map(options.registries.map(({ id, concurrency: atOnce }) => [id, atOnce]));
  const indexer = await Indexer.open({
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
  return { catalog, indexer };
}
