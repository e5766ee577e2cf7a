/** State of a test: a store and an indexer of registries in memory, in a folder that is removed after the test. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AppDetails } from '../../src/indexing/appdata/app-details.ts';
import type { AppEntry } from '../../src/indexing/appdata/app-list.ts';
import { inflate } from '../../src/indexing/chunk/gzip-member.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { Indexer } from '../../src/indexing/indexer.ts';
import type { IndexerOptions, RebuildOptions } from '../../src/indexing/indexer.ts';
import type { IndexResult, RebuildResult, RebuildScope } from '../../src/indexing/rebuild.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';
import type { Digest } from '../../src/registry/digest.ts';
import { PublicationLoader } from '../../src/server/documents/publication-loader.ts';
import { ServedIndex, type ServedDocument, type Shown } from '../../src/server/documents/served-index.ts';
import { Questions } from '../../src/server/documents/questions.ts';
import type { Image, KnownRegistry } from '../../src/store/catalog.ts';
import { SqliteStore, storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { MemoryRegistry } from '../sources/memory-registry.ts';
import { defineIndex } from './define-index.ts';

export { defineIndex };

export interface IndexJson {
  readonly Registry: string;
  readonly Results: readonly RepositoryJson[];
}

export interface RepositoryJson {
  readonly Name: string;
  readonly Images: readonly ImageJson[];
  readonly Lists: readonly {
    readonly Tags: readonly string[];
    readonly Digest: string;
    readonly MediaType: string;
    readonly Images: readonly ImageJson[];
  }[];
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

export interface TestStateOptions {
  readonly registries?: readonly MemoryRegistry[];
  readonly definitions?: readonly Partial<IndexDefinition>[];
  /** In milliseconds; a day if absent. */
  readonly cleanFilesAfter?: number;
  readonly fetchFile?: IndexerOptions['fetchFile'];
  /** In milliseconds; as `cleanFilesAfter` if absent. */
  readonly keepDeltasFor?: number;
}

export class TestState {
  readonly folder: string;
  /** Warnings about registries that fill the catalog. */
  readonly warnings: string[] = [];
  /** The first registry. */
  readonly registry: MemoryRegistry;
  readonly #registries: readonly MemoryRegistry[];
  #options: TestStateOptions;
  #store: SqliteStore | undefined;
  #indexer: Indexer | undefined;

  private constructor(folder: string, options: TestStateOptions) {
    this.folder = folder;
    this.#options = options;
    this.#registries = options.registries ?? [new MemoryRegistry()];
    this.registry = this.#registries[0] ?? new MemoryRegistry();
  }

  /** Opens a state with one index that takes everything of one registry, unless `options` say otherwise. */
  static async open(t: TestContext, options: TestStateOptions = {}): Promise<TestState> {
    const state = new TestState(await mkdtemp(join(tmpdir(), 'regindexer-indexing-')), options);
    t.after(async () => {
      await state.close();
      // A rebuild that was not awaited may still write.
      await rm(state.folder, { recursive: true, force: true, maxRetries: 10 });
    });
    await state.reopen();
    return state;
  }

  /** Opens the state again, as after a restart, with `options` changed from then on. */
  async reopen(options: TestStateOptions = {}): Promise<void> {
    await this.close();
    this.#options = { ...this.#options, ...options };
    this.#store = SqliteStore.open(this.folder, (warning) => {
      throw new Error(warning);
    });
    this.#indexer = await Indexer.open({
      sources: new Map(this.#registries.map((registry) => [registry.id, registry])),
      concurrency: () => 8,
      store: this.#store,
      definitions: (this.#options.definitions ?? [{}]).map(defineIndex),
      iconsDir: this.path('icons'),
      iconsUri: 'icons/',
      cleanFilesAfter: this.#options.cleanFilesAfter ?? 86_400_000,
      keepDeltasFor: this.#options.keepDeltasFor,
      fetchFile: this.#options.fetchFile,
      onWarning: (warning) => this.warnings.push(warning),
    });
  }

  async close(): Promise<void> {
    await this.#indexer?.settled();
    await this.#store?.close();
    this.#store = undefined;
    this.#indexer = undefined;
  }

  /** Deletes the catalog, and opens the state again. */
  async loseCatalog(): Promise<void> {
    await this.close();
    for (const suffix of ['', '-wal', '-shm']) await rm(this.catalogFile + suffix, { force: true });
    await this.reopen();
  }

  get catalogFile(): string {
    return storeFiles(this.folder).catalog;
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  get store(): SqliteStore {
    if (this.#store === undefined) throw new Error('the state is closed');
    return this.#store;
  }

  get indexer(): Indexer {
    if (this.#indexer === undefined) throw new Error('the state is closed');
    return this.#indexer;
  }

  /** Runs a full rebuild, unless `scope` says otherwise. */
  rebuild(scope: RebuildScope = EVERYTHING, options?: RebuildOptions): Promise<RebuildResult> {
    return this.indexer.rebuild(this.registry.id, scope, options);
  }

  refresh(): Promise<readonly IndexResult[]> {
    return this.indexer.refresh(this.registry.id);
  }

  /** Rebuilds single tags, as a notification does. */
  rebuildTags(repository: string, ...tags: string[]): Promise<RebuildResult> {
    return this.rebuild({ indexes: new Set(), repositories: new Map([[repository, new Set(tags)]]) });
  }

  rebuildRepository(repository: string): Promise<RebuildResult> {
    return this.rebuild({ indexes: new Set(), repositories: new Map([[repository, 'all']]) });
  }

  /** Returns the number of requests that `run` makes. */
  async requestsOf(run: () => Promise<unknown>): Promise<number> {
    const before = this.registry.requests;
    await run();
    return this.registry.requests - before;
  }

  /** Returns an index as it is served; it is empty if nothing is published. */
  async index(name = 'apps'): Promise<ServedIndex> {
    const { repositoryPriority } = defineIndex(
      (this.#options.definitions ?? [{}]).find((definition) => (definition.name ?? 'apps') === name),
    );
    const index = new ServedIndex({ name, fileName: name, maxAge: 60, repositoryPriority });
    await this.indexer.settled();
    const loader = new PublicationLoader(this.store.publications);
    if (await loader.load(index)) await loader.loadApps(index);
    return index;
  }

  /**
   * Returns what is published of an index.
   * @throws Error if nothing is
   */
  async shown(name = 'apps'): Promise<Shown> {
    const { shown } = await this.index(name);
    if (shown === undefined) throw new Error(`nothing is published of ${name}`);
    return shown;
  }

  /** Returns the whole index as text. */
  async text(index = 'apps'): Promise<string> {
    const { whole } = await this.shown(index);
    return Buffer.concat(await Promise.all(whole.pieces.map(inflate))).toString();
  }

  async json(index = 'apps'): Promise<IndexJson> {
    return JSON.parse(await this.text(index)) as IndexJson;
  }

  /** Returns what an index shows: `repository:tag,tag name` for images, `repository:tag,tag [name name]` for lists. */
  async shows(index = 'apps'): Promise<readonly string[]> {
    const { Results } = await this.json(index);
    return Results.flatMap(({ Name, Images, Lists }) => [
      ...Images.map(({ Tags, Labels }) => `${Name}:${Tags?.join(',')} ${Labels['name']}`),
      ...Lists.map(
        ({ Tags, Images: images }) =>
          `${Name}:${Tags.join(',')} [${images.map(({ Labels }) => Labels['name']).join(' ')}]`,
      ),
    ]);
  }

  /** Returns the answer to a question. */
  async answer(query: string, index = 'apps'): Promise<string> {
    return answerText(await this.index(index), query);
  }

  /** Returns the list of an index's apps. */
  async apps(index = 'apps'): Promise<readonly AppEntry[]> {
    const document = (await this.index(index)).apps();
    if (document === undefined) throw new Error(`the apps of ${index} are not listed`);
    return (JSON.parse(await textOf(document)) as { apps: readonly AppEntry[] }).apps;
  }

  /** Returns the details of an app; `undefined` if the index does not have it. */
  async details(app: string, index = 'apps'): Promise<AppDetails | undefined> {
    return (await (await this.index(index)).app(app))?.details;
  }

  /** Returns what the catalog knows of the first registry, or of another one. */
  known(registry = this.registry.id): Promise<KnownRegistry> {
    return this.store.catalog.known(registry);
  }

  /** Returns the names of the repositories in the catalog. */
  async repositories(registry = this.registry.id): Promise<readonly string[]> {
    return [...(await this.known(registry)).repositories.keys()];
  }

  /** Returns an image from the catalog, whether a tag leads to it or not. */
  async image(digest: Digest, registry = this.registry.id): Promise<Image | undefined> {
    return (await this.store.catalog.images(registry, [digest])).get(digest);
  }

  outputText(path: string): Promise<string> {
    return readFile(path, 'utf8');
  }
}

/** Returns an index's answer to a question, whether it is ready or has to be computed. */
export async function answerText(index: ServedIndex, text: string): Promise<string> {
  const { query, document } = index.question(text);
  return textOf(
    document ??
      (await new Questions({ counts: { hits: 0, misses: 0 } }).answer(index, query, {
        keep: false,
        from: 'the test',
        signal: new AbortController().signal,
      })),
  );
}

async function textOf(document: ServedDocument): Promise<string> {
  return (await document.get('identity')?.body.read())?.toString() ?? '';
}

/** Returns the names of the images in an answer, in order. */
export function namesIn(json: string): readonly (string | undefined)[] {
  const { Results } = JSON.parse(json) as IndexJson;
  return Results.flatMap(({ Images, Lists }) => [...Images, ...Lists.flatMap((list) => list.Images)]).map(
    ({ Labels }) => Labels['name'],
  );
}

/** Returns labels that name an image, for {@link TestState.shows}. */
export function named(name: string, labels: Readonly<Record<string, string>> = {}): { labels: Record<string, string> } {
  return { labels: { name, ...labels } };
}
