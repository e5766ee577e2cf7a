/** Does one rebuild: reads a registry, decides what its indexes hold, and publishes what has changed. */
import { basename, dirname } from 'node:path';
import { messageOf } from '../system/message-of.ts';
import type { Digest } from '../registry/digest.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import type { TakenBy } from '../store/catalog.ts';
import { StoreError } from '../store/store-error.ts';
import type { Store } from '../store/store.ts';
import type { AppChanges } from './appdata/app-changes.ts';
import { AppPagesEncoder } from './appdata/app-pages.ts';
import { AppList } from './appdata/app-list.ts';
import { joinParts } from './chunk/part.ts';
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
import { digestsOf, selectRepository } from './select/select.ts';
import { Warnings } from './warnings.ts';
import { WorkingCopy } from './scan/working-copy.ts';
import { removeTemporaryFiles } from '../system/write-file.ts';

/** How long chunks are kept that no publication names any more, in milliseconds. */
const CHUNKS_KEPT = 3_600_000;
/** How often it is looked for all that nothing names any more where a registry cannot be read, in milliseconds: it is asked again and again. */
const CLEANED = 3_600_000;
/** How often publishing looks for chunks to remove, in milliseconds: where pushes come by notifications, full rebuilds may be rare. */
const CHUNKS_CLEANED = 600_000;

export interface IndexerOptions {
  readonly sources: ReadonlyMap<string, RegistrySource>;
  /** Requests at once, by registry. */
  readonly concurrency: (registry: string) => number;
  readonly store: Store;
  readonly definitions: readonly IndexDefinition[];
  /** A folder that icons are written to as well. */
  readonly iconsDir?: string | undefined;
  /** What icons' paths are appended to in an index; ends with `/`. */
  readonly iconsUri: string;
  /** How long icons that nothing names any more are kept, in milliseconds. */
  readonly cleanFilesAfter: number;
  /** Told of a registry that fills the catalog. */
  readonly onWarning: (message: string) => void;
}

/** What of an index is there in a new version. */
export type PublishedPart = 'index' | 'apps';

export interface RebuildOptions {
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** Told when something new of an index is published. */
  readonly onPublished?: (index: string, part: PublishedPart) => void;
  readonly signal?: AbortSignal;
}

type OnPublished = NonNullable<RebuildOptions['onPublished']>;

export class Indexer {
  readonly #options: IndexerOptions;
  readonly #publishers: ReadonlyMap<string, Publisher>;
  readonly #iconFiles: IconFiles | undefined;
  readonly #outputs = new OutputFiles();
  /** Of indexes that have changed since a rebuild last told of it. */
  readonly #untold = new Map<string, AppChanges>();
  /** Indexes whose list of apps is not (yet) that of what is published. */
  readonly #unlisted: Set<string>;
  /** By index. */
  readonly #appLists = new Map<string, { readonly list: AppList; readonly pages: AppPagesEncoder }>();
  /** Published indexes that are not configured: should they be again before they go, they have to show what has changed meanwhile. */
  #unconfigured: readonly string[];
  /** Icons that are damaged, and were not read again since. */
  readonly #lostIcons = new Set<Digest>();
  /** When all that nothing names any more was last removed, and when chunks were. */
  #cleaned = Date.now();
  #chunksCleaned = 0;
  #scans = 0;
  #rendering: Promise<void> = Promise.resolve();
  #listing: Promise<void> = Promise.resolve();

  private constructor(options: IndexerOptions, publishers: ReadonlyMap<string, Publisher>, iconFiles: IconFiles | undefined, unlisted: Set<string>, unconfigured: readonly string[]) {
    this.#options = options;
    this.#publishers = publishers;
    this.#unlisted = unlisted;
    this.#unconfigured = unconfigured;
    this.#iconFiles = iconFiles;
  }

  /** An indexer that goes on from what is published. @throws StoreError */
  static async open(options: IndexerOptions): Promise<Indexer> {
    const { definitions, store: { catalog, publications }, iconsDir, iconsUri, sources } = options;
    for (const { output } of definitions) if (output !== undefined) await removeTemporaryFiles(dirname(output), basename(output));
    const images = new ImageCache(catalog);
    const iconFiles = iconsDir === undefined ? undefined : openIconFiles(iconsDir);
    const publishers = new Map<string, Publisher>();
    for (const definition of definitions) {
      publishers.set(definition.name, await Publisher.open({ definition, wanted: wantedIn(sources, definition), patterns: sources.get(definition.registry)?.patterns ?? [], catalog, publications, images, iconsUri, iconFiles }));
    }
    const unlisted = new Set<string>();
    for (const [name, { published }] of publishers) if (published?.publication.version !== (await publications.apps(name))?.version) unlisted.add(name);
    const unconfigured = (await publications.published()).filter((name) => !publishers.has(name));
    return new Indexer(options, publishers, iconFiles, unlisted, unconfigured);
  }

  /**
   * Reads what `scope` asks for from one registry and brings its indexes up to date.
   * What a registry does wrong is told in the result; what it held before is kept.
   * @throws the signal's reason once it is aborted, StoreError if the store cannot be read or written, and the system's error if files
   * that nothing names any more cannot be removed.
   */
  async rebuild(registry: string, scope: RebuildScope, { onProgress, onPublished, signal }: RebuildOptions = {}): Promise<RebuildResult> {
    const started = performance.now();
    const source = this.#options.sources.get(registry);
    if (source === undefined) throw new RangeError(`no registry ${registry} is configured`);
    const requestsBefore = source.requests;
    let progress: RebuildProgress = { phase: 'scanning', repositories: { done: 0, total: 0 }, images: { done: 0, total: 0 }, requests: 0 };
    const report = (change: Partial<RebuildProgress>): void => {
      progress = { ...progress, ...change, requests: source.requests - requestsBefore };
      onProgress?.(progress);
    };

    const full = scope.indexes === 'all';
    const scanned = await this.#scan(source, scope, report, signal);
    report({ phase: 'rendering' });
    if (full && this.#iconFiles !== undefined) await this.#alone(async () => this.#writeMissingIcons(registry));
    const refreshed = await this.#refresh(registry, { ...(onPublished && { onPublished }), ...(signal && { signal }) });
    const indexes = refreshed.map((result) => this.#tell(result));
    if (full && (!scanned.failures.some(isRegistryFailure) || Date.now() - this.#cleaned >= CLEANED)) {
      await this.#listing;
      await this.#alone(() => this.#clean());
    }
    return { registry, seconds: secondsSince(started), requests: source.requests - requestsBefore, ...scanned, indexes };
  }

  /** Brings the indexes of one registry up to date with what the catalog holds, without asking the registry; the next rebuild tells what that changed. */
  async refresh(registry: string, options: Pick<RebuildOptions, 'onPublished' | 'signal'> = {}): Promise<readonly Omit<IndexResult, 'apps'>[]> {
    return this.#refresh(registry, options);
  }

  /**
   * Reads all that is published. What is missing is made anew by the next refresh; says whether icons are lost, which the next full rebuild reads again.
   * @throws StoreError if something is not as it was written
   */
  async verify(): Promise<boolean> {
    const { publications } = this.#options.store;
    return this.#alone(async () => {
      for (const publisher of this.#publishers.values()) await publisher.verify();
      for (const icon of this.#namedIcons()) if ((await publications.png(icon)) === undefined) this.#lostIcons.add(icon);
      return this.#lostIcons.size > 0;
    });
  }

  /** The icons that an index names as files. */
  #namedIcons(): ReadonlySet<Digest> {
    return new Set([...this.#publishers.values()].flatMap(({ published }) => published?.chunks.flatMap((chunk) => chunk.icons) ?? []));
  }

  /** Resolves when the lists of apps are those of what is published. */
  async settled(): Promise<void> {
    await this.#listing;
  }

  /** Adds which apps have changed since it was last told. */
  #tell(result: Omit<IndexResult, 'apps'>): IndexResult {
    const apps = this.#untold.get(result.index);
    this.#untold.delete(result.index);
    return apps === undefined ? result : { ...result, changed: true, apps };
  }

  async #scan(source: RegistrySource, scope: RebuildScope, report: (change: Partial<RebuildProgress>) => void, signal: AbortSignal | undefined): Promise<ScanResult> {
    const { store: { catalog, publications } } = this.#options;
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
        catalog, publications, registry,
        repositories: readsIndexes ? undefined : [...scope.repositories.keys()],
        takenBy: this.#takenBy(definitions),
        suspect: scope.indexes === 'all' ? await this.#lackingIcons(registry) : undefined,
      });
      result = await scan({
        source,
        known,
        wanted: new Map(definitions.map((definition) => [definition.name, wantedIn(this.#options.sources, definition)])),
        expected: new Set(checked.flatMap(({ definition, inherited }) => (isInFull(definition, scope) ? [...inherited.keys()] : []))),
        scope,
        pages,
        hold: async (gone) => tagsToHold(await known.everything(), checked, gone),
        concurrency: this.#options.concurrency(registry),
        onProgress: report,
        onWarning: this.#options.onWarning,
        signal,
      });
      if (!result.failures.some(isRegistryFailure)) await this.#recordScanned(known, definitions, scope);
    } finally {
      this.#scans--;
    }
    // What is being rendered may be what no tag leads to any more; and another registry's scan may have written images to which no tag leads yet.
    if (scope.indexes === 'all' && !result.failures.some(isRegistryFailure)) await this.#alone(async () => void (this.#scans === 0 && (await catalog.prune())));
    return result;
  }

  /** The images whose icons are not there any more: they are read again. */
  async #lackingIcons(registry: string): Promise<ReadonlySet<Digest>> {
    const { catalog, publications } = this.#options.store;
    const icons = await catalog.icons(registry);
    const missing = new Set([...(await publications.missingPngs([...icons.keys()])), ...this.#lostIcons]);
    for (const png of missing) if (icons.has(png)) this.#lostIcons.delete(png);
    return new Set([...missing].flatMap((png) => icons.get(png) ?? []));
  }

  /** The indexes that have to be told of a change: also those that were never published, which somebody may be rendering from what was known before. */
  #takenBy(definitions: readonly IndexDefinition[]): TakenBy {
    const taking = definitions.map((definition) => ({ name: definition.name, wanted: wantedIn(this.#options.sources, definition) }));
    return (repository) => [...taking.filter(({ wanted }) => wanted.repository(repository)).map(({ name }) => name), ...this.#unconfigured];
  }

  /** Remembers which indexes the catalog can be trusted to know all of. */
  async #recordScanned(known: WorkingCopy, definitions: readonly IndexDefinition[], scope: RebuildScope): Promise<void> {
    const now = definitions.filter((definition) => isInFull(definition, scope)).map(selectionOf);
    if (now.length === 0) return;
    const before = scope.indexes === 'all' ? [] : await this.#options.store.catalog.scanned(definitions[0]?.registry ?? '');
    known.recordScanned([...before, ...now]);
    await known.commit();
  }

  /** Registries are scanned side by side, but indexes rendered and icons removed one by one: it bounds memory, and no icon goes that is being named. */
  #alone<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#rendering.then(run);
    this.#rendering = result.then(ignore, ignore);
    return result;
  }

  async #refresh(registry: string, { onPublished, signal }: Pick<RebuildOptions, 'onPublished' | 'signal'>): Promise<readonly Omit<IndexResult, 'apps'>[]> {
    const results: Omit<IndexResult, 'apps'>[] = [];
    for (const definition of this.#definitionsOf(registry)) {
      signal?.throwIfAborted();
      results.push(await this.#alone(() => this.#refreshIndex(definition, onPublished)));
    }
    // The next index does not wait for the list of the one before.
    for (const definition of this.#definitionsOf(registry)) if (this.#unlisted.has(definition.name)) this.#listApps(definition, onPublished);
    return results;
  }

  async #refreshIndex(definition: IndexDefinition, onPublished: OnPublished | undefined): Promise<Omit<IndexResult, 'apps'>> {
    const started = performance.now();
    const publisher = this.#publisher(definition);
    const before = publisher.published?.publication.version;
    const warnings = new Warnings();
    let changed = false;
    let error: string | undefined;
    try {
      if (await publisher.isStale()) {
        const missing = await this.#missingKnowledge(definition, publisher);
        if (missing === undefined) {
          const result = await publisher.publish();
          changed = result.changed;
          if (changed) this.#untold.set(definition.name, result.apps);
          await this.#release(result.iconsGone);
          if (result.published) await this.#cleanChunks(CHUNKS_CLEANED);
        } else warnings.add(publisher.published === undefined ? `it is not made yet: ${missing}` : `it stays as it was: ${missing}`);
      }
      if (definition.output !== undefined) await this.#writeOutput(definition, definition.output);
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      error = messageOf(cause);
    } finally {
      // Also if something failed after it was published.
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
      warnings: [...publisher.warnings, ...(this.#options.sources.get(definition.registry)?.warnings ?? []), ...warnings.toArray()],
    };
  }

  /**
   * Why the index must not be made from the catalog; `undefined` if it may. A catalog that has not read the registry in full yet,
   * because it is new, was lost, or did not have to read this registry or these tags before, would make apps vanish that are still there.
   */
  async #missingKnowledge(definition: IndexDefinition, publisher: Publisher): Promise<string | undefined> {
    const { catalog } = this.#options.store;
    if (!(await catalog.scanned(definition.registry)).includes(selectionOf(definition))) return 'what it takes has not been read in full yet';
    if (publisher.published === undefined) return this.#nothingRead(definition);
    const inherited = this.#inherited(definition);
    if (inherited.size === 0) return undefined;
    const { repositories } = await catalog.known(definition.registry, [...inherited.keys()]);
    const lost = [...repositories].find(([, { error }]) => error !== undefined);
    const since = publisher.inherited === 'source' ? 'what it is made from was configured anew' : 'the catalog that it was made from is gone';
    if (lost !== undefined) return `${since}, and ${lost[0]} could not be read since: ${lost[1].error}`;
    const [held] = [...(await catalog.heldTags(definition.registry))].flatMap(([name, tags]) => (tags.has(WHOLE_REPOSITORY) && inherited.has(name) ? [name] : []));
    return held && `${since}, and ${held} is gone now`;
  }

  /** Why an index would be empty only because its repositories could not be read; `undefined` if it would not. */
  async #nothingRead(definition: IndexDefinition): Promise<string | undefined> {
    const wanted = wantedIn(this.#options.sources, definition);
    const known = await this.#options.store.catalog.known(definition.registry);
    const taken = [...known.repositories].filter(([name]) => wanted.repository(name));
    const unread = taken.filter(([, { error }]) => error !== undefined);
    const [first] = unread;
    if (first === undefined || unread.length <= taken.length / 2) return undefined;
    for (const [name] of taken) {
      const facts = await this.#publisher(definition).facts.get(digestsOf(selectRepository(name, known, definition, wanted)));
      if ([...facts.values()].some(({ shown }) => shown)) return undefined;
    }
    const others = unread.length === 1 ? '' : ` (and ${unread.length - 1} more)`;
    return `it would be empty, and ${first[0]}${others} could not be read`;
  }

  #checkedIndex(definition: IndexDefinition): CheckedIndex {
    return { definition, wanted: wantedIn(this.#options.sources, definition), facts: this.#publisher(definition).facts, inherited: this.#inherited(definition) };
  }

  /**
   * The repositories that an index takes and its publication shows from another catalog, another registry, or from when it took others,
   * each with how many images it shows: the catalog may not know of them that they were there.
   */
  #inherited(definition: IndexDefinition): ReadonlyMap<string, number> {
    const publisher = this.#publisher(definition);
    if (publisher.inherited === undefined) return new Map();
    const wanted = wantedIn(this.#options.sources, definition);
    return new Map([...publisher.imagesByRepository()].filter(([name]) => wanted.repository(name)));
  }

  /** What of an index is gone, and kept for now. */
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
      await this.#outputs.write(output, joinParts(published.publication.registry, published.chunks.map(({ whole, slice }) => ({ part: whole, slice }))));
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      const message = messageOf(cause);
      throw new Error(`indexes.${definition.name}.output: ${message.startsWith(output) ? message : `${output} could not be written: ${message}`}`, { cause });
    }
  }

  /** Makes the list of an index's apps, when nothing else is to be done: no push waits for it. */
  #listApps(definition: IndexDefinition, onPublished: OnPublished | undefined): void {
    const publisher = this.#publisher(definition);
    this.#listing = this.#listing.then(async () => {
      const published = publisher.published;
      if (published === undefined || !this.#unlisted.has(definition.name)) return;
      await this.#alone(async () => undefined);
      // A later publication has its own.
      if (publisher.published !== published) return;
      const { list, pages } = this.#appListOf(definition);
      const body = await pages.encode(await list.update(published.chunks));
      await this.#options.store.publications.putApps(definition.name, { version: published.publication.version, body });
      this.#unlisted.delete(definition.name);
      onPublished?.(definition.name, 'apps');
    });
    // The list before stays until the next one is made.
    this.#listing = this.#listing.catch(ignore);
  }

  #appListOf({ name, repositoryPriority }: IndexDefinition): { readonly list: AppList; readonly pages: AppPagesEncoder } {
    let its = this.#appLists.get(name);
    if (its === undefined) {
      its = { list: new AppList(repositoryPriority), pages: new AppPagesEncoder(name) };
      this.#appLists.set(name, its);
    }
    return its;
  }

  /** Starts the time after which the files of icons are removed that an index does not name any more, unless another one names them. */
  async #release(icons: readonly Digest[]): Promise<void> {
    if (this.#iconFiles === undefined || icons.length === 0) return;
    const named = this.#namedIcons();
    await this.#iconFiles.release(icons.filter((icon) => !named.has(icon)).map(iconPath), new Date());
  }

  /** Writes the icons of a registry's indexes again that somebody has removed from the folder. */
  async #writeMissingIcons(registry: string): Promise<void> {
    const files = this.#iconFiles;
    if (files === undefined) return;
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

  /** Removes icons that nothing has named for long, chunks, and what is known of indexes and registries that are not configured any more. */
  async #clean(): Promise<void> {
    this.#cleaned = Date.now();
    await this.#cleanChunks(0);
    const { definitions, cleanFilesAfter, store: { catalog, publications } } = this.#options;
    for (const name of this.#unconfigured) {
      await this.#release((await loadPublication(publications, name))?.chunks.flatMap(({ icons }) => icons) ?? []);
      await catalog.clearDirty(name, Number.MAX_SAFE_INTEGER);
    }
    this.#unconfigured = [];
    await publications.keepIndexes(new Set(definitions.map(({ name }) => name)));
    const published = [...this.#publishers.values()].map((publisher) => publisher.published);
    // An index that could not be made yet may name any icon.
    if (published.includes(undefined)) return;
    const registries = new Set(definitions.map(({ registry }) => registry));
    await catalog.keepRegistries(registries);
    const named = new Set(published.flatMap((one) => one?.chunks.flatMap(({ icons }) => icons) ?? []));
    const known = new Set(named);
    for (const registry of registries) for (const icon of (await catalog.icons(registry)).keys()) known.add(icon);
    const now = Date.now();
    await publications.clean({ named: (icon) => known.has(icon), chunksBefore: now - CHUNKS_KEPT, pngsBefore: now - cleanFilesAfter, now });
    await this.#iconFiles?.clean(new Set([...named].map(iconPath)), new Date(now - cleanFilesAfter));
  }

  /** Removes chunks that no publication has named for long. @param interval at least so many milliseconds after it was last done */
  async #cleanChunks(interval: number): Promise<void> {
    const now = Date.now();
    if (now - this.#chunksCleaned < interval) return;
    this.#chunksCleaned = now;
    await this.#options.store.publications.clean({ chunksBefore: now - CHUNKS_KEPT, now });
  }

  #definitionsOf(registry: string): readonly IndexDefinition[] {
    return this.#options.definitions.filter((definition) => definition.registry === registry);
  }

  #publisher({ name }: IndexDefinition): Publisher {
    return this.#publishers.get(name) as Publisher;
  }
}

/** Where icons cannot be looked at, publishing says so. */
function openIconFiles(folder: string): IconFiles {
  const files = new IconFiles(folder);
  try {
    files.list();
  } catch {}
  return files;
}

/** The repositories and tags that an index takes, of those that its registry is read for. */
function wantedIn(sources: ReadonlyMap<string, RegistrySource>, definition: IndexDefinition): Wanted {
  const source = sources.get(definition.registry);
  return wantedBy(definition, (repository) => source?.covers(repository) !== false);
}

/** Says whether all of the index is read. */
function isInFull({ name }: IndexDefinition, { indexes }: RebuildScope): boolean {
  return indexes === 'all' || indexes.has(name);
}

/** Seconds since `started`, a time of `performance.now()`, rounded to milliseconds. */
function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

function ignore(): void {}
