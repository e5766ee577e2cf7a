/** Rebuilds indexes: scans a registry, decides what its indexes show, and publishes what has changed. */
import { basename, dirname } from 'node:path';
import { messageOf } from '../system/message-of.ts';
import type { Digest } from '../registry/digest.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import type { TakenBy } from '../store/catalog.ts';
import { StoreError } from '../store/store-error.ts';
import type { SideDocument } from '../store/publications.ts';
import type { Store } from '../store/store.ts';
import type { AppChanges } from './appdata/app-changes.ts';
import { AppPages, AppPagesEncoder } from './appdata/app-pages.ts';
import { AppList } from './appdata/app-list.ts';
import { joinParts } from './chunk/part.ts';
import { DeltaQueue } from './deltas/delta-queue.ts';
import type { Wanted } from './select/wanted.ts';
import { wantedBy } from './select/wanted.ts';
import { iconPath } from './icons/icon-path.ts';
import { IconFiles } from './icons/icon-files.ts';
import { ImageCache } from './select/image-facts.ts';
import type { IndexDefinition } from './index-definition.ts';
import { describeHeld, imagesLost, type CheckedIndex, tagsToHold, WHOLE_REPOSITORY } from './scan/losses.ts';
import { OutputFiles } from './output-files.ts';
import { loadPublication, Publisher, selectionOf } from './publisher.ts';
import type { HeldImages, IndexResult, RebuildProgress, RebuildResult, RebuildScope } from './rebuild.ts';
import type { ScanResult } from './scan/scan.ts';
import { beginList, isRegistryFailure, scan } from './scan/scan.ts';
import type { FetchFile } from './screenshots/picture-keeper.ts';
import { Pictures } from './screenshots/pictures.ts';
import { digestsOf, selectRepository } from './select/select.ts';
import { Warnings } from './warnings.ts';
import { WorkingCopy } from './scan/working-copy.ts';
import { removeTemporaryFiles } from '../system/write-file.ts';

/** How long unnamed chunks are kept, in milliseconds. */
const KEEP_CHUNKS_FOR = 3_600_000;
/** Interval of the cleanup after rebuilds that cannot read the registry, which are retried often, in milliseconds. */
const CLEANUP_INTERVAL = 3_600_000;
/**
 * Interval of removing unnamed chunks after publishing, in milliseconds: with notifications, full rebuilds may be rare.
 */
const CHUNK_CLEANUP_INTERVAL = 600_000;

/** Options of {@link Indexer.open}. */
export interface IndexerOptions {
  readonly sources: ReadonlyMap<string, RegistrySource>;
  /** Returns the most requests at once to a registry. */
  readonly concurrency: (registry: string) => number;
  /** Most that the catalog keeps of one registry, in bytes; 2 GiB if absent. */
  readonly maxStored?: number;
  readonly store: Store;
  readonly definitions: readonly IndexDefinition[];
  /** Folder that icons are written to as well. */
  readonly iconsDir?: string | undefined;
  /** Base URI of icons in an index; ends with `/`. */
  readonly iconsUri: string;
  /** How long unnamed icons are kept, in milliseconds. */
  readonly cleanFilesAfter: number;
  /**
   * How long a delta is kept that no index wants any more, in milliseconds: clients may have its manifest. As long as
   * icons if absent.
   */
  readonly keepDeltasFor?: number | undefined;
  /** Fetches the screenshots that a registry's images name; none are fetched if absent. */
  readonly fetchFile?: ((registry: string, ...request: Parameters<FetchFile>) => ReturnType<FetchFile>) | undefined;
  /** Receives warnings about a registry that fills the catalog, and about screenshots that cannot be had. */
  readonly onWarning: (message: string) => void;
}

/** Document of which a new version was published: the index, or its list of apps. */
export type PublishedDocument = 'index' | 'apps';

/** Options of {@link Indexer.rebuild}. */
export interface RebuildOptions {
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** Called when a new version of an index, or of its list of apps, is published. */
  readonly onPublished?: (index: string, document: PublishedDocument) => void;
  readonly signal?: AbortSignal;
}

type OnPublished = NonNullable<RebuildOptions['onPublished']>;

/** The list of an index's apps, with what encodes it. */
interface MadeAppList {
  readonly list: AppList;
  readonly pages: AppPagesEncoder;
  /** The list that was stored before the start, until the first one is made: an equal one is not stored again. */
  stored: SideDocument | undefined;
}

/** Keeps the configured indexes up to date. */
export class Indexer {
  readonly #options: IndexerOptions;
  readonly #publishers: ReadonlyMap<string, Publisher>;
  readonly #iconFiles: IconFiles | undefined;
  readonly #outputs = new OutputFiles();
  readonly #deltas: DeltaQueue;
  /** App changes that no rebuild has reported yet, by index. */
  readonly #unreported = new Map<string, AppChanges>();
  /** Indexes whose list of apps is older than their publication. */
  readonly #unlisted: Set<string>;
  /** Lists of apps by index. */
  readonly #appLists = new Map<string, MadeAppList>();
  /** Versions of the publications that the lists of apps were made from. */
  readonly #listed = new Map<string, number>();
  /** Screenshots by registry, which says whence they may be fetched. */
  readonly #pictures: ReadonlyMap<string, Pictures>;
  /**
   * Published indexes that are not configured here; other replicas may serve them. They are marked as dirty, too, in case
   * they are configured again before they are removed.
   */
  #unconfigured: readonly string[];
  /** Icons that are damaged and were not read again since. */
  readonly #lostIcons = new Set<Digest>();
  /** Times of the last cleanup, and of the last removal of chunks. */
  #cleanedAt = Date.now();
  #chunksCleanedAt = 0;
  #scans = 0;
  #rendering: Promise<void> = Promise.resolve();
  #listing: Promise<void> = Promise.resolve();

  private constructor(
    options: IndexerOptions,
    publishers: ReadonlyMap<string, Publisher>,
    iconFiles: IconFiles | undefined,
    unlisted: Set<string>,
    unconfigured: readonly string[],
  ) {
    this.#options = options;
    this.#publishers = publishers;
    this.#unlisted = unlisted;
    this.#unconfigured = unconfigured;
    this.#iconFiles = iconFiles;
    this.#deltas = new DeltaQueue(options.store, options.definitions);
    this.#pictures = picturesOf(options);
  }

  /**
   * Opens an indexer that continues from what is published.
   * @throws StoreError
   */
  static async open(options: IndexerOptions): Promise<Indexer> {
    const {
      definitions,
      store: { catalog, publications, blobs },
      iconsDir,
      iconsUri,
      sources,
    } = options;
    for (const { output } of definitions)
      if (output !== undefined) await removeTemporaryFiles(dirname(output), new Set([basename(output)]));
    const images = new ImageCache(catalog);
    const iconFiles = iconsDir === undefined ? undefined : openIconFiles(iconsDir);
    const publishers = new Map<string, Publisher>();
    for (const definition of definitions) {
      publishers.set(
        definition.name,
        await Publisher.open({
          definition,
          wanted: wantedIn(sources, definition),
          patterns: sources.get(definition.registry)?.patterns ?? [],
          catalog,
          publications,
          blobs,
          images,
          iconsUri,
          iconFiles,
        }),
      );
    }
    const unlisted = new Set<string>();
    for (const [name, { published }] of publishers)
      if (
        published?.publication.version !== (await publications.apps(name))?.version ||
        // Screenshots may be missing, or not wanted any more.
        options.fetchFile !== undefined
      )
        unlisted.add(name);
    const unconfigured = (await publications.published()).filter((name) => !publishers.has(name));
    const indexer = new Indexer(options, publishers, iconFiles, unlisted, unconfigured);
    if (indexer.deltas.isUsed) await indexer.deltas.clean(new Set(publishers.keys()));
    return indexer;
  }

  /**
   * Scans what `scope` names of one registry, and brings its indexes up to date. Errors of the registry are in the
   * result; what was known before is kept.
   * @throws the signal's reason once it is aborted; StoreError; the system's error if unnamed icon files cannot be
   * removed
   */
  async rebuild(
    registry: string,
    scope: RebuildScope,
    { onProgress, onPublished, signal }: RebuildOptions = {},
  ): Promise<RebuildResult> {
    const started = performance.now();
    const source = this.#options.sources.get(registry);
    if (source === undefined) throw new RangeError(`the registry ${registry} is not configured`);
    const requestsBefore = source.requests;
    let progress: RebuildProgress = {
      phase: 'scanning',
      repositories: { done: 0, total: 0 },
      images: { done: 0, total: 0 },
      requests: 0,
    };
    const report = (change: Partial<RebuildProgress>): void => {
      progress = { ...progress, ...change, requests: source.requests - requestsBefore };
      onProgress?.(progress);
    };

    const full = scope.indexes === 'all';
    const scanned = await this.#scan(source, scope, report, signal);
    report({ phase: 'rendering' });
    if (full) await this.#forgetReplaced(registry);
    if (full && this.#iconFiles !== undefined)
      await this.#renderExclusively(async () => this.#writeMissingIcons(registry));
    const refreshed = await this.refresh(registry, { ...(onPublished && { onPublished }), ...(signal && { signal }) });
    // Asks again for those that could not be had.
    if (full)
      for (const definition of this.#definitionsOf(registry))
        if (!this.#unlisted.has(definition.name)) await this.#keepPictures(definition, onPublished);
    const indexes = refreshed.map((result) => this.#withApps(result));
    if (full && (!scanned.failures.some(isRegistryFailure) || Date.now() - this.#cleanedAt >= CLEANUP_INTERVAL)) {
      await this.#listing;
      await this.#renderExclusively(() => this.#clean());
    }
    return {
      registry,
      seconds: secondsSince(started),
      requests: source.requests - requestsBefore,
      ...scanned,
      indexes,
    };
  }

  /**
   * Brings the indexes of one registry up to date with the catalog, without a request. The next rebuild reports the
   * changes.
   * @throws as {@link rebuild}
   */
  async refresh(
    registry: string,
    { onPublished, signal }: Pick<RebuildOptions, 'onPublished' | 'signal'> = {},
  ): Promise<readonly Omit<IndexResult, 'apps'>[]> {
    const results: Omit<IndexResult, 'apps'>[] = [];
    for (const definition of this.#definitionsOf(registry)) {
      signal?.throwIfAborted();
      results.push(await this.#renderExclusively(() => this.#refreshIndex(definition, onPublished)));
    }
    // Lists of apps come last, so that no index waits for them.
    for (const definition of this.#definitionsOf(registry))
      if (this.#unlisted.has(definition.name)) this.#listApps(definition, onPublished);
    return results;
  }

  /**
   * Reads everything that is published. The next refresh renders again what is missing. Returns whether icons are
   * missing, which the next full rebuild reads again.
   * @throws StoreError if something is damaged
   */
  async verify(): Promise<boolean> {
    const { publications } = this.#options.store;
    return this.#renderExclusively(async () => {
      for (const publisher of this.#publishers.values()) await publisher.verify();
      for (const icon of this.#namedIcons())
        if ((await publications.png(icon)) === undefined) this.#lostIcons.add(icon);
      return this.#lostIcons.size > 0;
    });
  }

  /** Returns the icons that any index names as files. */
  #namedIcons(): ReadonlySet<Digest> {
    return new Set(
      [...this.#publishers.values()].flatMap(
        ({ published }) => published?.chunks.flatMap((chunk) => chunk.icons) ?? [],
      ),
    );
  }

  /** The deltas that the indexes want. */
  get deltas(): DeltaQueue {
    return this.#deltas;
  }

  /** Forgets images that were replaced too long ago for deltas. */
  async #forgetReplaced(registry: string): Promise<void> {
    const keep = Math.max(0, ...this.#definitionsOf(registry).map(({ deltas }) => deltas?.keep ?? 0));
    await this.#options.store.catalog.deltas.forgetReplaced(
      registry,
      keep === 0 ? Number.MAX_SAFE_INTEGER : Date.now() - keep,
    );
  }

  /** Resolves when all lists of apps are up to date. */
  async settled(): Promise<void> {
    await this.#listing;
  }

  /** Resolves when all screenshots were fetched that can be had now. */
  async picturesSettled(): Promise<void> {
    await this.#listing;
    for (const pictures of this.#pictures.values()) await pictures.settled();
    await this.#listing;
  }

  /** Stops fetching screenshots, and waits for the lists of apps. */
  async stop(): Promise<void> {
    await Promise.all([...this.#pictures.values()].map((pictures) => pictures.stop()));
    await this.#listing;
  }

  /** Adds the app changes since the last report. */
  #withApps(result: Omit<IndexResult, 'apps'>): IndexResult {
    const apps = this.#unreported.get(result.index);
    this.#unreported.delete(result.index);
    return apps === undefined ? result : { ...result, changed: true, apps };
  }

  async #scan(
    source: RegistrySource,
    scope: RebuildScope,
    report: (change: Partial<RebuildProgress>) => void,
    signal: AbortSignal | undefined,
  ): Promise<ScanResult> {
    const {
      store: { catalog, publications },
      maxStored,
    } = this.#options;
    const registry = source.id;
    const definitions = this.#definitionsOf(registry);
    const checked = definitions.map((definition) => this.#checkedIndex(definition));
    const readsIndexes = scope.indexes === 'all' || scope.indexes.size > 0;
    const pages = readsIndexes && scope.repositories.size === 0 ? await beginList(source, signal) : undefined;
    if (pages !== undefined && 'error' in pages) return { repositories: 0, newImages: 0, failures: [pages] };
    this.#scans++;
    let result: ScanResult;
    try {
      const known = await WorkingCopy.load({
        catalog,
        publications,
        registry,
        repositories: readsIndexes ? undefined : [...scope.repositories.keys()],
        takenBy: this.#takenBy(definitions),
        remembersReplaced: definitions.some(({ deltas }) => deltas !== undefined),
        suspect: scope.indexes === 'all' ? await this.#lackingIcons(registry) : undefined,
      });
      result = await scan({
        source,
        known,
        wanted: new Map(
          definitions.map((definition) => [definition.name, wantedIn(this.#options.sources, definition)]),
        ),
        expected: new Set(
          checked.flatMap(({ definition, inherited }) => (isInFull(definition, scope) ? [...inherited.keys()] : [])),
        ),
        scope,
        pages,
        hold: async (gone) => tagsToHold(await known.everything(), checked, gone),
        concurrency: this.#options.concurrency(registry),
        ...(maxStored !== undefined && { maxStored }),
        onProgress: report,
        onWarning: this.#options.onWarning,
        signal,
      });
      if (!result.failures.some(isRegistryFailure)) await this.#recordScanned(known, definitions, scope);
    } finally {
      this.#scans--;
    }
    // Never while rendering, which may need images without a tag, or during another scan, whose images may have no tag
    // yet.
    if (scope.indexes === 'all' && !result.failures.some(isRegistryFailure))
      await this.#renderExclusively(async () => void (this.#scans === 0 && (await catalog.prune())));
    return result;
  }

  /** Returns the images whose icons are missing, which have to be read again. */
  async #lackingIcons(registry: string): Promise<ReadonlySet<Digest>> {
    const { catalog, publications } = this.#options.store;
    const icons = await catalog.icons(registry);
    const missing = new Set([...(await publications.missingPngs([...icons.keys()])), ...this.#lostIcons]);
    for (const png of missing) if (icons.has(png)) this.#lostIcons.delete(png);
    return new Set([...missing].flatMap((png) => icons.get(png) ?? []));
  }

  /**
   * Returns the indexes to mark for each repository: also unpublished ones, which may be rendering from what was known
   * before.
   */
  #takenBy(definitions: readonly IndexDefinition[]): TakenBy {
    const taking = definitions.map((definition) => ({
      name: definition.name,
      wanted: wantedIn(this.#options.sources, definition),
    }));
    return (repository) => [
      ...taking.filter(({ wanted }) => wanted.repository(repository)).map(({ name }) => name),
      ...this.#unconfigured,
    ];
  }

  /** Records the selections of indexes that were scanned in full. */
  async #recordScanned(
    known: WorkingCopy,
    definitions: readonly IndexDefinition[],
    scope: RebuildScope,
  ): Promise<void> {
    const now = definitions.filter((definition) => isInFull(definition, scope)).map(selectionOf);
    if (now.length === 0) return;
    const before =
      scope.indexes === 'all' ? [] : await this.#options.store.catalog.scanned(definitions[0]?.registry ?? '');
    known.recordScanned([...before, ...now]);
    await known.commit();
  }

  /**
   * Runs one at a time what renders indexes or removes icons, while scans run in parallel: bounds memory, and no icon
   * is removed that is about to be named.
   */
  #renderExclusively<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#rendering.then(run);
    this.#rendering = result.then(ignore, ignore);
    return result;
  }

  async #refreshIndex(
    definition: IndexDefinition,
    onPublished: OnPublished | undefined,
  ): Promise<Omit<IndexResult, 'apps'>> {
    const started = performance.now();
    const publisher = this.#publisher(definition);
    const before = publisher.published?.publication.version;
    const warnings = new Warnings();
    let changed = false;
    let error: string | undefined;
    try {
      const stale = await publisher.stale();
      if (stale !== undefined) {
        const missing = await this.#missingKnowledge(definition, publisher);
        if (missing === undefined) {
          const result = await publisher.publish(stale);
          changed = result.changed;
          if (changed) this.#unreported.set(definition.name, result.apps);
          await this.#release(result.iconsGone);
          if (result.published) await this.#cleanChunks(CHUNK_CLEANUP_INTERVAL);
        } else
          warnings.add(
            publisher.published === undefined
              ? `the index is not built yet: ${missing}`
              : `the index stays as it was: ${missing}`,
          );
      }
      if (definition.output !== undefined) await this.#writeOutput(definition, definition.output);
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      error = messageOf(cause);
    } finally {
      // Also if something failed after publishing.
      if (publisher.published?.publication.version !== before) {
        this.#unlisted.add(definition.name);
        onPublished?.(definition.name, 'index');
      }
    }
    const held = await this.#held(definition);
    if (held !== undefined) warnings.add(describeHeld(held));
    const whole = publisher.published?.whole;
    return {
      index: definition.name,
      images: whole?.images ?? 0,
      bytes: whole?.length ?? 0,
      changed,
      seconds: secondsSince(started),
      ...(error !== undefined && { error }),
      ...(held && { held }),
      warnings: [
        ...publisher.warnings,
        ...(this.#options.sources.get(definition.registry)?.warnings ?? []),
        ...warnings.toArray(),
      ],
    };
  }

  /**
   * Returns why the index cannot be built from the catalog; `undefined` if it can. A catalog that is new, or did not
   * need this registry or these tags before, does not know everything, so that apps would vanish that are still there.
   */
  async #missingKnowledge(definition: IndexDefinition, publisher: Publisher): Promise<string | undefined> {
    const { catalog } = this.#options.store;
    if (!(await catalog.scanned(definition.registry)).includes(selectionOf(definition)))
      return 'its repositories have not been read in full yet';
    if (publisher.published === undefined) return this.#nothingRead(definition);
    const inherited = this.#inherited(definition);
    if (inherited.size === 0) return undefined;
    const { repositories } = await catalog.known(definition.registry, [...inherited.keys()]);
    const lost = [...repositories].find(([, { error }]) => error !== undefined);
    const since =
      publisher.inherited === 'source'
        ? 'its registry, tags or repositories were configured differently'
        : 'the catalog that it was built from is lost';
    if (lost !== undefined) return `${since}, and ${lost[0]} could not be read since then: ${lost[1].error}`;
    const [held] = [...(await catalog.heldTags(definition.registry))].flatMap(([name, tags]) =>
      tags.has(WHOLE_REPOSITORY) && inherited.has(name) ? [name] : [],
    );
    return held && `${since}, and ${held} is gone now`;
  }

  /** Returns a message if the index would be empty only because its repositories could not be read. */
  async #nothingRead(definition: IndexDefinition): Promise<string | undefined> {
    const wanted = wantedIn(this.#options.sources, definition);
    const known = await this.#options.store.catalog.known(definition.registry);
    const taken = [...known.repositories].filter(([name]) => wanted.repository(name));
    const unread = taken.filter(([, { error }]) => error !== undefined);
    const [first] = unread;
    if (first === undefined || unread.length <= taken.length / 2) return undefined;
    for (const [name] of taken) {
      const facts = await this.#publisher(definition).facts.get(
        digestsOf(selectRepository(name, known, definition, wanted)),
      );
      if ([...facts.values()].some(({ shown }) => shown)) return undefined;
    }
    const others = unread.length === 1 ? '' : ` (and ${unread.length - 1} more)`;
    return `it would be empty, and ${first[0]}${others} could not be read`;
  }

  #checkedIndex(definition: IndexDefinition): CheckedIndex {
    return {
      definition,
      wanted: wantedIn(this.#options.sources, definition),
      facts: this.#publisher(definition).facts,
      inherited: this.#inherited(definition),
    };
  }

  /**
   * Returns the repositories that the index takes and that its publication shows from another catalog, registry or
   * selection, with their numbers of images: the catalog may not know that they existed.
   */
  #inherited(definition: IndexDefinition): ReadonlyMap<string, number> {
    const publisher = this.#publisher(definition);
    if (publisher.inherited === undefined) return new Map();
    const wanted = wantedIn(this.#options.sources, definition);
    return new Map([...publisher.imagesByRepository()].filter(([name]) => wanted.repository(name)));
  }

  /** Returns the images of an index that the registry says are gone and that are held. */
  async #held(definition: IndexDefinition): Promise<HeldImages | undefined> {
    const { catalog } = this.#options.store;
    const tags = await catalog.heldTags(definition.registry);
    if (tags.size === 0) return undefined;
    const held = await imagesLost(await catalog.known(definition.registry), this.#checkedIndex(definition), tags);
    return held.images === 0 ? undefined : held;
  }

  async #writeOutput(definition: IndexDefinition, output: string): Promise<void> {
    const published = this.#publisher(definition).published;
    if (published === undefined) return;
    try {
      await this.#outputs.write(
        output,
        joinParts(
          published.publication.registry,
          published.chunks.map(({ whole, slice }) => ({ part: whole, slice })),
        ),
        // Another replica may have written something newer there.
        async () => this.#options.store.checkLease?.(),
      );
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      const message = messageOf(cause);
      throw new Error(
        `indexes.${definition.name}.output: ${message.startsWith(output) ? message : `${output} could not be written: ${message}`}`,
        { cause },
      );
    }
  }

  /** Updates the list of an index's apps after all pending rendering, so that no push waits for it. */
  #listApps(definition: IndexDefinition, onPublished: OnPublished | undefined): void {
    const publisher = this.#publisher(definition);
    this.#listing = this.#listing.then(async () => {
      const published = publisher.published;
      if (published === undefined || !this.#unlisted.has(definition.name)) return;
      await this.#renderExclusively(async () => undefined);
      // A later publication updates the list itself.
      if (publisher.published !== published) return;
      const { list } = await this.#appListOf(definition);
      await list.update(published.chunks, published.publication.modified);
      await this.#putApps(definition, published.publication.version, onPublished);
      this.#unlisted.delete(definition.name);
      this.#listed.set(definition.name, published.publication.version);
      await this.#keepPictures(definition, onPublished);
    });
    // After an error, the earlier list stays until the next update.
    this.#listing = this.#listing.catch(ignore);
  }

  async #putApps(definition: IndexDefinition, version: number, onPublished: OnPublished | undefined): Promise<void> {
    const { name } = definition;
    const its = await this.#appListOf(definition);
    const { list, pages, stored } = its;
    const body = await pages.encode(list.entries, list.seen, await this.#picturesOf(definition)?.list(name));
    its.stored = undefined;
    if (stored?.version === version && stored.body.equals(body)) return;
    await this.#options.store.publications.putApps(name, { version, body });
    onPublished?.(name, 'apps');
  }

  /** Fetches the screenshots that the listed apps name, in the background; then puts the list again. */
  async #keepPictures(definition: IndexDefinition, onPublished: OnPublished | undefined): Promise<void> {
    const { name, icon } = definition;
    const pictures = this.#picturesOf(definition);
    if (pictures === undefined || !this.#listed.has(name)) return;
    const { list } = await this.#appListOf(definition);
    const wanted = new Set([...list.pictures, ...(icon === undefined ? [] : [icon])]);
    pictures.request(name, wanted, () => {
      this.#listing = this.#listing
        .then(async () => {
          const version = this.#listed.get(name);
          // Otherwise a newer list is about to be put, which names them, too.
          if (version !== undefined && version === this.#publisher(definition).published?.publication.version)
            await this.#putApps(definition, version, onPublished);
        })
        .catch(ignore);
    });
  }

  /** Returns the pictures of an index whose screenshots are served from here. */
  #picturesOf({ registry, screenshots }: IndexDefinition): Pictures | undefined {
    return screenshots === 'proxy' ? this.#pictures.get(registry) : undefined;
  }

  async #appListOf({ name, repositoryPriority }: IndexDefinition): Promise<MadeAppList> {
    let its = this.#appLists.get(name);
    if (its === undefined) {
      const stored = await this.#options.store.publications.apps(name);
      const seen = await (stored && AppPages.read(stored.body))?.seen();
      its = { list: new AppList(repositoryPriority, seen), pages: new AppPagesEncoder(name), stored };
      this.#appLists.set(name, its);
    }
    return its;
  }

  /** Starts the time after which icon files are removed that no index names any more. */
  async #release(icons: readonly Digest[]): Promise<void> {
    if (this.#iconFiles === undefined || icons.length === 0) return;
    const named = this.#namedIcons();
    await this.#iconFiles.release(icons.filter((icon) => !named.has(icon)).map(iconPath), new Date());
  }

  /** Writes icon files of a registry's indexes again that were removed from the folder. */
  async #writeMissingIcons(registry: string): Promise<void> {
    const files = this.#iconFiles;
    if (files === undefined) return;
    await this.#options.store.checkLease?.();
    files.list();
    for (const definition of this.#definitionsOf(registry)) {
      const icons = new Set(this.#publisher(definition).published?.chunks.flatMap((chunk) => chunk.icons));
      for (const icon of icons) {
        if (!files.lacks([iconPath(icon)])) continue;
        const png = await this.#options.store.publications.png(icon);
        if (png !== undefined) files.store(icon, () => png);
        await files.ready();
      }
      await files.settled([...icons].map(iconPath)).catch(ignore);
    }
  }

  /** Returns the icons that an index names as files, where they are written as files. */
  async #iconFilesOf(name: string): Promise<readonly Digest[]> {
    if (this.#iconFiles === undefined) return [];
    return (await loadPublication(this.#options.store.publications, name))?.chunks.flatMap(({ icons }) => icons) ?? [];
  }

  /** Removes expired icons and chunks, and all data of indexes and registries that are not configured any more. */
  async #clean(): Promise<void> {
    this.#cleanedAt = Date.now();
    await this.#cleanChunks(0);
    const {
      definitions,
      cleanFilesAfter,
      store: { catalog, publications },
    } = this.#options;
    const going = new Map<string, readonly Digest[]>();
    for (const name of this.#unconfigured) going.set(name, await this.#iconFilesOf(name));
    await publications.keepIndexes(new Set(definitions.map(({ name }) => name)));
    this.#unconfigured = (await publications.published()).filter((name) => !this.#publishers.has(name));
    for (const [name, icons] of going) {
      if (this.#unconfigured.includes(name)) continue;
      await this.#release(icons);
      await catalog.clearDirty(name, Number.MAX_SAFE_INTEGER);
    }
    const published = [...this.#publishers.values()].map((publisher) => publisher.published);
    // An index that is not built yet may name any icon; what one that another replica serves needs is not known here.
    if (published.includes(undefined) || this.#unconfigured.length > 0) return;
    const registries = new Set(definitions.map(({ registry }) => registry));
    await catalog.keepRegistries(registries);
    const named = new Set(published.flatMap((one) => one?.chunks.flatMap(({ icons }) => icons) ?? []));
    const known = new Set(named);
    for (const registry of registries) for (const icon of (await catalog.icons(registry)).keys()) known.add(icon);
    const now = Date.now();
    await publications.clean({
      named: (icon) => known.has(icon),
      chunksBefore: now - KEEP_CHUNKS_FOR,
      pngsBefore: now - cleanFilesAfter,
      now,
    });
    await this.#cleanPictures(now - cleanFilesAfter, now);
    await this.#iconFiles?.clean(new Set([...named].map(iconPath)), new Date(now - cleanFilesAfter));
    await this.#cleanDeltas(now);
  }

  /**
   * Removes manifests of deltas as soon as no index names them: without one, clients take the whole layer. A delta goes
   * later, since clients that have its manifest fail without it.
   */
  async #cleanDeltas(now: number): Promise<void> {
    const {
      definitions,
      cleanFilesAfter,
      keepDeltasFor = cleanFilesAfter,
      store: { blobs },
    } = this.#options;
    const wanted = await this.#deltas.clean(new Set(definitions.map(({ name }) => name)));
    const manifests = new Set(
      [...this.#publishers.values()].flatMap(
        ({ published }) => published?.chunks.flatMap(({ deltaManifests }) => deltaManifests) ?? [],
      ),
    );
    await blobs.clean({ kind: 'delta-manifest', named: (manifest) => manifests.has(manifest), before: now + 1, now });
    if (!this.#deltas.isWriting)
      await blobs.clean({ kind: 'delta', named: (delta) => wanted.has(delta), before: now - keepDeltasFor, now });
  }

  /** Removes screenshots that no index has named since `before`. */
  async #cleanPictures(before: number, now: number): Promise<void> {
    if (this.#pictures.size === 0) return;
    const named = new Set<Digest>();
    for (const definition of this.#options.definitions)
      for (const digest of (await this.#picturesOf(definition)?.digests([definition.name])) ?? []) named.add(digest);
    const { blobs } = this.#options.store;
    await blobs.clean({ kind: 'screenshot', named: (digest) => named.has(digest), before, now });
  }

  /**
   * Removes expired chunks.
   * @param interval the least time since the last removal, in milliseconds
   */
  async #cleanChunks(interval: number): Promise<void> {
    const now = Date.now();
    if (now - this.#chunksCleanedAt < interval) return;
    this.#chunksCleanedAt = now;
    await this.#options.store.publications.clean({ chunksBefore: now - KEEP_CHUNKS_FOR, now });
  }

  #definitionsOf(registry: string): readonly IndexDefinition[] {
    return this.#options.definitions.filter((definition) => definition.registry === registry);
  }

  #publisher({ name }: IndexDefinition): Publisher {
    return this.#publishers.get(name) as Publisher;
  }
}

function picturesOf({ definitions, store, fetchFile, onWarning }: IndexerOptions): ReadonlyMap<string, Pictures> {
  if (fetchFile === undefined) return new Map();
  const { blobs, publications } = store;
  return new Map(
    [...new Set(definitions.map(({ registry }) => registry))].map((registry) => [
      registry,
      new Pictures({
        blobs,
        fetch: (...request) => fetchFile(registry, ...request),
        onWarning,
        storedList: async (index) => {
          const apps = await publications.apps(index);
          return (apps && AppPages.read(apps.body))?.pictures;
        },
      }),
    ]),
  );
}

/** Opens the folder of icons. Errors are ignored here: publishing reports them. */
function openIconFiles(folder: string): IconFiles {
  const files = new IconFiles(folder);
  try {
    files.list();
  } catch {}
  return files;
}

/** Returns the repositories and tags that an index takes, of those that its registry is read for. */
function wantedIn(sources: ReadonlyMap<string, RegistrySource>, definition: IndexDefinition): Wanted {
  const source = sources.get(definition.registry);
  return wantedBy(definition, (repository) => source?.covers(repository) !== false);
}

/** Says whether the scope includes all of an index. */
function isInFull({ name }: IndexDefinition, { indexes }: RebuildScope): boolean {
  return indexes === 'all' || indexes.has(name);
}

/** Seconds since `started`, a time of `performance.now()`, rounded to milliseconds. */
function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

function ignore(): void {}
