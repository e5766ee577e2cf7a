/** A state with its catalog and indexer over registries in memory, in a folder that goes with the test. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SqliteCatalog } from '../../src/catalog/sqlite-catalog.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { Indexer, snapshotPath } from '../../src/indexing/indexer.ts';
import type { RebuildOptions } from '../../src/indexing/indexer.ts';
import type { IndexResult, RebuildResult, RebuildScope } from '../../src/indexing/rebuild.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import type { SnapshotFooter } from '../../src/indexing/snapshot/format.ts';
import { Snapshot } from '../../src/indexing/snapshot/snapshot.ts';
import { MemoryRegistry } from '../sources/memory-registry.ts';

export interface IndexJson {
  readonly Registry: string;
  readonly Results: readonly RepositoryJson[];
}

export interface RepositoryJson {
  readonly Name: string;
  readonly Images: readonly ImageJson[];
  readonly Lists: readonly { readonly Tags: readonly string[]; readonly Digest: string; readonly MediaType: string; readonly Images: readonly ImageJson[] }[];
}

export interface ImageJson {
  readonly Tags?: readonly string[];
  readonly Digest: string;
  readonly MediaType: string;
  readonly OS: string;
  readonly Architecture: string;
  readonly Annotations: Readonly<Record<string, string>>;
  readonly Labels: Readonly<Record<string, string>>;
}

/** The definition of an index that takes every tag and shows all as it is. */
export function defineIndex(definition: Partial<IndexDefinition> = {}): IndexDefinition {
  const registry = definition.registry ?? 'http://registry.example.org';
  return {
    name: 'apps', registry, registryPublic: registry, tags: ['*'],
    repositoryInclude: [], repositoryExclude: [], repositoryPriority: [], requiredAnnotations: [], requiredLabels: [],
    skipFlatpakAnnotations: false, skipFlatpakLabels: false, extractIcons: false, lists: 'keep', flatpakAnnotations: false, forceFlatpakToken: false,
    ...definition,
  };
}

export interface TestStateOptions {
  readonly registries?: readonly MemoryRegistry[];
  readonly definitions?: readonly Partial<IndexDefinition>[];
  /** Milliseconds; a day if absent. */
  readonly cleanFilesAfter?: number;
}

export class TestState {
  readonly folder: string;
  /** Of snapshots. */
  readonly warnings: string[] = [];
  /** The first one. */
  readonly registry: MemoryRegistry;
  readonly #registries: readonly MemoryRegistry[];
  #options: TestStateOptions;
  #catalog: SqliteCatalog | undefined;
  #indexer: Indexer | undefined;

  private constructor(folder: string, options: TestStateOptions) {
    this.folder = folder;
    this.#options = options;
    this.#registries = options.registries ?? [new MemoryRegistry()];
    this.registry = this.#registries[0] ?? new MemoryRegistry();
  }

  /** One index that takes everything from one registry, unless `options` say otherwise. */
  static async open(t: TestContext, options: TestStateOptions = {}): Promise<TestState> {
    const state = new TestState(await mkdtemp(join(tmpdir(), 'regindexer-indexing-')), options);
    t.after(async () => {
      state.close();
      // A rebuild that nobody has waited for may still write.
      await rm(state.folder, { recursive: true, force: true, maxRetries: 10 });
    });
    await state.reopen();
    return state;
  }

  /** As a restart does it; what `options` name is changed from then on. */
  async reopen(options: TestStateOptions = {}): Promise<void> {
    this.close();
    this.#options = { ...this.#options, ...options };
    this.#catalog = SqliteCatalog.open(this.catalogFile, {
      onWarning: (warning) => {
        throw new Error(warning);
      },
    });
    this.#indexer = await Indexer.open({
      sources: new Map(this.#registries.map((registry) => [registry.id, registry])),
      concurrency: () => 8,
      catalog: this.#catalog,
      definitions: (this.#options.definitions ?? [{}]).map(defineIndex),
      snapshotsDir: this.path('indexes'),
      iconsDir: this.path('icons'),
      iconsUri: 'icons/',
      cleanFilesAfter: this.#options.cleanFilesAfter ?? 86_400_000,
      onWarning: (warning) => this.warnings.push(warning),
    });
  }

  close(): void {
    this.#catalog?.close();
    this.#catalog = undefined;
    this.#indexer = undefined;
  }

  /** Forgets all that is known, as if the catalog had been damaged or deleted, and opens again. */
  async loseCatalog(): Promise<void> {
    this.close();
    for (const suffix of ['', '-wal', '-shm']) await rm(this.catalogFile + suffix, { force: true });
    await this.reopen();
  }

  get catalogFile(): string {
    return this.path('catalog.sqlite');
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  get catalog(): SqliteCatalog {
    if (this.#catalog === undefined) throw new Error('the state is closed');
    return this.#catalog;
  }

  get indexer(): Indexer {
    if (this.#indexer === undefined) throw new Error('the state is closed');
    return this.#indexer;
  }

  /** Of everything, unless `scope` says otherwise. */
  rebuild(scope: RebuildScope = EVERYTHING, options?: RebuildOptions): Promise<RebuildResult> {
    return this.indexer.rebuild(this.registry.id, scope, options);
  }

  refresh(): Promise<readonly IndexResult[]> {
    return this.indexer.refresh(this.registry.id);
  }

  /** A rebuild of single tags, as a notification asks for. */
  rebuildTags(repository: string, ...tags: string[]): Promise<RebuildResult> {
    return this.rebuild({ indexes: new Set(), repositories: new Map([[repository, new Set(tags)]]) });
  }

  rebuildRepository(repository: string): Promise<RebuildResult> {
    return this.rebuild({ indexes: new Set(), repositories: new Map([[repository, 'all']]) });
  }

  /** The requests that `run` makes. */
  async requestsOf(run: () => Promise<unknown>): Promise<number> {
    const before = this.registry.requests;
    await run();
    return this.registry.requests - before;
  }

  snapshotFile(index = 'apps'): string {
    return snapshotPath(this.path('indexes'), index);
  }

  /** Opens the snapshot of an index, runs `read` and closes it. */
  async withSnapshot<T>(read: (snapshot: Snapshot) => Promise<T> | T, index = 'apps'): Promise<T> {
    const snapshot = await Snapshot.open(this.snapshotFile(index));
    try {
      return await read(snapshot);
    } finally {
      await snapshot.close();
    }
  }

  footer(index = 'apps'): Promise<SnapshotFooter> {
    return this.withSnapshot(({ footer }) => footer, index);
  }

  /** The whole index as text. */
  text(index = 'apps'): Promise<string> {
    return this.withSnapshot(async (snapshot) => {
      const whole = snapshot.document('');
      if (whole === undefined) throw new Error('no whole document');
      return (await snapshot.read(whole.representations.identity)).toString();
    }, index);
  }

  async json(index = 'apps'): Promise<IndexJson> {
    return JSON.parse(await this.text(index)) as IndexJson;
  }

  /** What an index shows, as `repository:tag,tag` and `repository:tag[digest,digest]` for lists, by names of digests. */
  async shows(index = 'apps'): Promise<readonly string[]> {
    const { Results } = await this.json(index);
    return Results.flatMap(({ Name, Images, Lists }) => [
      ...Images.map(({ Tags, Labels }) => `${Name}:${Tags?.join(',')} ${Labels['name']}`),
      ...Lists.map(({ Tags, Images: images }) => `${Name}:${Tags.join(',')} [${images.map(({ Labels }) => Labels['name']).join(' ')}]`),
    ]);
  }

  outputText(path: string): Promise<string> {
    return readFile(path, 'utf8');
  }
}

/** Labels that name an image, for {@link TestState.shows}. */
export function named(name: string, labels: Readonly<Record<string, string>> = {}): { labels: Record<string, string> } {
  return { labels: { name, ...labels } };
}
