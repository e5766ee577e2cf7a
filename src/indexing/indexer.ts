/** Does one rebuild: reads a registry, decides what its indexes hold, and writes their snapshots and files. */
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CatalogError } from '../catalog/catalog-error.ts';
import type { Catalog, Image } from '../catalog/catalog.ts';
import { messageOf } from '../message-of.ts';
import type { Digest } from '../registry/digest.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { makeFolder } from '../make-folder.ts';
import { appChanges } from './appdata/app-changes.ts';
import type { AppVersions } from './appdata/app-list.ts';
import { architectureMismatch } from './appdata/flatpak-image.ts';
import type { Wanted } from './globs.ts';
import { wantedBy } from './globs.ts';
import { IconStore } from './icon-store.ts';
import type { IndexDefinition } from './index-definition.ts';
import { describeHeld, imagesLost, tagsToHold, WHOLE_REPOSITORY, type LosingIndex } from './losses.ts';
import { OutputFiles } from './output-files.ts';
import { prefer } from './prefer.ts';
import type { HeldImages, IndexResult, RebuildProgress, RebuildResult, RebuildScope } from './rebuild.ts';
import { extractedIcons, meetsRequirements, renderImage } from './render-image.ts';
import type { ScanOptions, ScanResult } from './scan.ts';
import { isOfRegistry, scan } from './scan.ts';
import type { SelectedRepository } from './select.ts';
import { fingerprintOf, flatten, select } from './select.ts';
import type { SnapshotFooter } from './snapshot/format.ts';
import { Snapshot } from './snapshot/snapshot.ts';
import type { ShownImage, ShownRepository } from './snapshot/write-snapshot.ts';
import { writeSnapshot } from './snapshot/write-snapshot.ts';
import { Warnings } from './warnings.ts';
import { removeTemporaryFiles, syncFolderOf } from './write-file.ts';

/** Changes whenever the same images would come out as another snapshot. */
const RENDERER = '8';
const SNAPSHOT_SUFFIX = '.snapshot';

/** Where the snapshot of an index lies. */
export function snapshotPath(folder: string, index: string): string {
  return join(folder, `${index}${SNAPSHOT_SUFFIX}`);
}

export interface IndexerOptions {
  readonly sources: ReadonlyMap<string, RegistrySource>;
  /** Requests at once, by registry. */
  readonly concurrency: (registry: string) => number;
  readonly catalog: Catalog;
  readonly definitions: readonly IndexDefinition[];
  /** The folder of the snapshots; it is the indexer's own. */
  readonly snapshotsDir: string;
  readonly iconsDir: string;
  /** What icons' paths are appended to in an index; ends with `/`. */
  readonly iconsUri: string;
  /** How long files that nothing names any more are kept, in milliseconds. */
  readonly cleanFilesAfter: number;
  /** Told of a snapshot that is damaged, and of a registry that fills the catalog. */
  readonly onWarning: (message: string) => void;
}

export interface RebuildOptions {
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** A new snapshot of this index is in place. */
  readonly onPublished?: (index: string) => void;
  readonly signal?: AbortSignal;
}

export class Indexer {
  readonly #options: IndexerOptions;
  readonly #icons: IconStore;
  readonly #outputs = new OutputFiles();
  /** The footers of the snapshots in place. */
  readonly #published: Map<string, SnapshotFooter>;
  /** Of indexes that have changed since a rebuild last told of it: the apps before. */
  readonly #untold = new Map<string, AppVersions>();
  #scans = 0;
  #rendering: Promise<void> = Promise.resolve();

  private constructor(options: IndexerOptions, published: Map<string, SnapshotFooter>) {
    this.#options = options;
    this.#icons = new IconStore(options.iconsDir);
    this.#published = published;
  }

  /** An indexer that goes on from the snapshots that are there; one that cannot be read will be made anew. */
  static async open(options: IndexerOptions): Promise<Indexer> {
    makeFolder(options.snapshotsDir);
    await removeTemporaryFiles(options.snapshotsDir, '');
    for (const { output } of options.definitions) if (output !== undefined) await removeTemporaryFiles(dirname(output), basename(output));
    const published = new Map<string, SnapshotFooter>();
    for (const { name } of options.definitions) {
      const footer = await soundFooterOf(snapshotPath(options.snapshotsDir, name), options.onWarning);
      if (footer !== undefined) published.set(name, footer);
    }
    return new Indexer(options, published);
  }

  /**
   * Reads what `scope` asks for from one registry and brings its indexes up to date.
   * What a registry does wrong is told in the result; what it held before is kept.
   * @throws the signal's reason once it is aborted, CatalogError if the catalog cannot be read or written, and the system's
   * error if files that nothing names any more cannot be removed.
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

    const definitions = this.#options.definitions.filter((definition) => definition.registry === registry);
    const losing = await Promise.all(definitions.map((definition) => this.#losing(definition)));
    const scanned = await this.#scan({
      source,
      catalog: this.#options.catalog,
      wanted: new Map(definitions.map((definition) => [definition.name, this.#wantedBy(definition)])),
      expected: new Set(losing.flatMap(({ definition, inherited }) => (isInFull(definition, scope) ? [...inherited.keys()] : []))),
      scope,
      hold: (gone) => tagsToHold(this.#options.catalog, losing, gone),
      concurrency: this.#options.concurrency(registry),
      onProgress: report,
      onImage: this.#iconWriter(definitions),
      onWarning: this.#options.onWarning,
      signal,
    });
    if (!scanned.failures.some(isOfRegistry)) this.#recordScanned(registry, definitions, scope);
    report({ phase: 'rendering' });
    const full = scope.indexes === 'all';
    const refreshed = await this.#refresh(registry, full, { ...(onPublished && { onPublished }), ...(signal && { signal }) });
    const indexes = await Promise.all(refreshed.map((result) => this.#tell(result)));
    if (full) await this.#alone(() => this.#clean());

    return {
      registry,
      seconds: (performance.now() - started) / 1000,
      requests: source.requests - requestsBefore,
      ...scanned,
      indexes,
    };
  }

  /** Brings the indexes of one registry up to date with what the catalog holds, without asking the registry; the next rebuild tells what that changed. */
  refresh(registry: string, options: Pick<RebuildOptions, 'onPublished' | 'signal'> = {}): Promise<readonly Omit<IndexResult, 'apps'>[]> {
    return this.#refresh(registry, false, options);
  }

  /** Adds which apps have changed since it was last told. */
  async #tell(result: Omit<IndexResult, 'apps'>): Promise<IndexResult> {
    const before = this.#untold.get(result.index);
    if (before === undefined) return result;
    this.#untold.delete(result.index);
    return { ...result, changed: true, apps: appChanges(before, await appVersionsOf(snapshotPath(this.#options.snapshotsDir, result.index)).catch(() => before)) };
  }

  /** @param lookForIcons makes indexes anew whose icons somebody has removed */
  async #refresh(registry: string, lookForIcons: boolean, { onPublished, signal }: Pick<RebuildOptions, 'onPublished' | 'signal'>): Promise<readonly Omit<IndexResult, 'apps'>[]> {
    const results: Omit<IndexResult, 'apps'>[] = [];
    /** Once for all of them. */
    let listed = false;
    const lacksIcons = ({ icons }: SnapshotFooter): boolean => {
      if (!lookForIcons || icons.length === 0) return false;
      if (!listed) this.#icons.list();
      listed = true;
      return this.#icons.lacks(icons);
    };
    for (const definition of this.#options.definitions) {
      if (definition.registry !== registry) continue;
      signal?.throwIfAborted();
      results.push(await this.#alone(() => this.#refreshIndex(definition, lacksIcons, onPublished)));
    }
    return results;
  }

  async #scan(options: ScanOptions): Promise<ScanResult> {
    this.#scans++;
    let result: ScanResult;
    try {
      result = await scan(options);
    } finally {
      this.#scans--;
    }
    if (options.scope.indexes === 'all' && !result.failures.some(isOfRegistry)) await this.#alone(async () => this.#prune());
    return result;
  }

  /** Call it alone: what is being rendered may be what no tag leads to any more. */
  #prune(): void {
    // Another registry's scan may have written images to which no tag leads yet.
    if (this.#scans === 0) this.#options.catalog.prune();
  }

  /** Writes the icons of an image while the registry is waited for; rendering then finds them there. */
  #iconWriter(definitions: readonly IndexDefinition[]): (image: Image, pngs: ReadonlyMap<Digest, Buffer>) => Promise<void> {
    const extracting = definitions.filter(({ extractIcons }) => extractIcons);
    let listed = false;
    return async (image, pngs) => {
      const showing = extracting.filter(({ architectures }) => architectures?.includes(image.architecture) !== false);
      const icons = showing.flatMap((definition) => extractedIcons(image, definition));
      if (icons.length === 0) return;
      if (!listed) this.#listIcons();
      listed = true;
      for (const { png } of icons) this.#icons.store(png, () => pngs.get(png) as Buffer);
      await this.#icons.ready();
    };
  }

  /** Where icons cannot be written, rendering says so. */
  #listIcons(): void {
    try {
      this.#icons.list();
    } catch {}
  }

  /** Registries are scanned side by side, but indexes rendered and icons removed one by one: it bounds memory, and no icon goes that is being named. */
  #alone<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#rendering.then(run);
    this.#rendering = result.then(ignore, ignore);
    return result;
  }

  #wantedBy(definition: IndexDefinition): Wanted {
    const source = this.#options.sources.get(definition.registry);
    return wantedBy(definition, (repository) => source?.covers(repository) !== false);
  }

  /** Remembers which indexes the catalog can be trusted to know all of. */
  #recordScanned(registry: string, definitions: readonly IndexDefinition[], scope: RebuildScope): void {
    const { catalog } = this.#options;
    const now = definitions.filter((definition) => isInFull(definition, scope)).map(takenBy);
    if (now.length > 0) catalog.recordScanned(registry, scope.indexes === 'all' ? now : [...catalog.scanned(registry), ...now]);
  }

  async #refreshIndex(definition: IndexDefinition, lacksIcons: (footer: SnapshotFooter) => boolean, onPublished: ((index: string) => void) | undefined): Promise<Omit<IndexResult, 'apps'>> {
    const started = performance.now();
    const { name } = definition;
    const { catalog } = this.#options;
    const path = snapshotPath(this.#options.snapshotsDir, name);
    // Somebody may have removed it.
    const previous = existsSync(path) ? this.#published.get(name) : undefined;
    const warnings = new Warnings();
    let changed = false;
    let error: string | undefined;
    try {
      const selection = catalog.transaction(() => select(catalog, definition, this.#wantedBy(definition)));
      const fingerprint = fingerprintOf(selection, definition, `${RENDERER} ${this.#options.iconsUri}`);
      if (previous?.fingerprint !== fingerprint || previous.catalog !== catalog.id || lacksIcons(previous)) {
        const missing = await this.#missingKnowledge(definition, previous, selection);
        if (missing === undefined) {
          // Of a damaged snapshot nothing is known, so that all apps count as new.
          const before = previous === undefined ? {} : await appVersionsOf(path).catch(() => ({}));
          const footer = await this.#publish(definition, selection, fingerprint, previous);
          this.#published.set(name, footer);
          changed = wholeOf(footer)?.etag !== wholeOf(previous)?.etag;
          if (changed && !this.#untold.has(name)) this.#untold.set(name, before);
          onPublished?.(name);
        } else warnings.add(previous === undefined ? `it is not made yet: ${missing}` : `it stays as it was: ${missing}`);
      }
      if (definition.output !== undefined && this.#published.has(name)) await this.#writeOutput(name, definition.output);
    } catch (cause) {
      if (cause instanceof CatalogError) throw cause;
      error = messageOf(cause);
    }
    const held = await this.#held(definition);
    if (held !== undefined) warnings.add(describeHeld(held));
    const footer = this.#published.get(name);
    return {
      index: name,
      images: footer?.documents['']?.images ?? 0,
      bytes: wholeOf(footer)?.length ?? 0,
      changed,
      seconds: (performance.now() - started) / 1000,
      ...(error !== undefined && { error }),
      ...(held && { held }),
      warnings: [...(footer?.warnings ?? []), ...(this.#options.sources.get(definition.registry)?.warnings ?? []), ...warnings.toArray()],
    };
  }

  /**
   * Why the index must not be made from the catalog; `undefined` if it may. A catalog that has not read the registry in full yet,
   * because it is new, was lost, or did not have to read this registry or these tags before, would make apps vanish that are still there.
   */
  async #missingKnowledge(definition: IndexDefinition, previous: SnapshotFooter | undefined, selection: readonly SelectedRepository[]): Promise<string | undefined> {
    const { catalog } = this.#options;
    if (!catalog.scanned(definition.registry).includes(takenBy(definition))) return 'what it takes has not been read in full yet';
    if (previous === undefined) return this.#nothingRead(definition, selection);
    const inherited = await this.#inherited(definition, previous);
    if (inherited.size === 0) return undefined;
    const lost = catalog.repositories(definition.registry).find(({ name, error }) => error !== undefined && inherited.has(name));
    const since = previous?.catalog === catalog.id ? 'what it is made from was configured anew' : 'the catalog that it was made from is gone';
    if (lost !== undefined) return `${since}, and ${lost.name} could not be read since: ${lost.error}`;
    const [held] = [...catalog.heldTags(definition.registry)].flatMap(([name, tags]) => (tags.has(WHOLE_REPOSITORY) && inherited.has(name) ? [name] : []));
    return held && `${since}, and ${held} is gone now`;
  }

  /** Why an index would be empty only because its repositories could not be read; `undefined` if it would not. */
  #nothingRead(definition: IndexDefinition, selection: readonly SelectedRepository[]): string | undefined {
    const { catalog } = this.#options;
    const wanted = this.#wantedBy(definition);
    const taken = catalog.repositories(definition.registry).filter(({ name }) => wanted.repository(name));
    const unread = taken.filter(({ error }) => error !== undefined);
    const [first] = unread;
    if (first === undefined || unread.length <= taken.length / 2) return undefined;
    const shows = (digest: Digest): boolean => {
      const image = catalog.image(definition.registry, digest);
      return image !== undefined && meetsRequirements(image, definition);
    };
    if (selection.some(({ images, lists }) => images.some(({ digest }) => shows(digest)) || lists.some((list) => list.images.some(shows)))) return undefined;
    const others = unread.length === 1 ? '' : ` (and ${unread.length - 1} more)`;
    return `it would be empty, and ${first.name}${others} could not be read`;
  }

  async #losing(definition: IndexDefinition): Promise<LosingIndex> {
    return { definition, wanted: this.#wantedBy(definition), inherited: await this.#inherited(definition, this.#published.get(definition.name)) };
  }

  /**
   * The repositories that an index takes and its snapshot shows from another catalog, another registry, or from when it took others,
   * each with how many images it shows: the catalog may not know of them that they were there.
   */
  async #inherited(definition: IndexDefinition, previous: SnapshotFooter | undefined): Promise<ReadonlyMap<string, number>> {
    const { catalog, snapshotsDir } = this.#options;
    if (previous === undefined || (previous.catalog === catalog.id && previous.source === sourceOf(definition))) return new Map();
    const path = snapshotPath(snapshotsDir, definition.name);
    if (!existsSync(path)) return new Map();
    const table = await withSnapshot(path, (snapshot) => snapshot.table());
    const wanted = this.#wantedBy(definition);
    return new Map([...table.imagesByRepository()].filter(([name]) => wanted.repository(name)));
  }

  /** What of an index is gone, and kept for now. */
  async #held(definition: IndexDefinition): Promise<HeldImages | undefined> {
    const { catalog } = this.#options;
    const tags = catalog.heldTags(definition.registry);
    if (tags.size === 0) return undefined;
    const held = imagesLost(catalog, await this.#losing(definition), tags);
    return held.images === 0 ? undefined : held;
  }

  async #publish(definition: IndexDefinition, selection: readonly SelectedRepository[], fingerprint: string, previous: SnapshotFooter | undefined): Promise<SnapshotFooter> {
    const { catalog, iconsUri, snapshotsDir } = this.#options;
    const icons = new Set<string>();
    const warnings = new Warnings();
    const path = snapshotPath(snapshotsDir, definition.name);
    const preferred = definition.repositoryPriority.length === 0 ? selection : prefer(selection, definition, catalog, (contest) => warnings.add(contest));

    const show = (repository: string, digest: Digest): ShownImage | undefined => {
      const image = catalog.image(definition.registry, digest);
      // Left out, it would be an app that vanishes.
      if (image === undefined) throw new Error(`the catalog does not have ${repository}@${digest} any more`);
      const rendered = renderImage(image, {
        definition,
        readPng: (png) => catalog.png(png),
        storeIcon: (png, read) => {
          const icon = this.#icons.store(png, read);
          icons.add(icon);
          return iconsUri + icon;
        },
        onWarning: (warning) => warnings.add(`${repository}@${digest}: ${warning}`),
      });
      const mismatch = rendered && architectureMismatch(image);
      if (mismatch !== undefined) warnings.add(`${repository}@${digest}: ${mismatch}`);
      return rendered && { digest, mediaType: image.mediaType, os: image.os, architecture: image.architecture, ...rendered };
    };

    if (definition.extractIcons) this.#icons.list();
    makeFolder(snapshotsDir);
    const footer = await writeSnapshot(path, {
      index: definition.name,
      fingerprint,
      catalog: catalog.id,
      source: sourceOf(definition),
      registry: definition.registryPublic,
      repositoryPriority: definition.repositoryPriority,
      refFields: definition.flatpakAnnotations ? ['label', 'annotation'] : ['label'],
      repositories: shownRepositories(definition.lists === 'flatten' ? preferred.map(flatten) : preferred, show, this.#icons),
      icons: async () => {
        await this.#icons.settled(icons);
        // Before the snapshot is replaced, so that a crash in between does not cut short the time that clients have.
        await this.#release(previous?.icons ?? [], icons, definition.name);
        return icons;
      },
      warnings: () => warnings.toArray(),
      previous,
      now: new Date(),
    });
    await syncFolderOf(path);
    return footer;
  }

  /** Starts the time after which icons that an index does not name any more are removed, unless another one names them. */
  async #release(before: readonly string[], after: ReadonlySet<string>, index: string): Promise<void> {
    const others = new Set([...this.#published].flatMap(([name, { icons }]) => (name === index ? [] : icons)));
    await this.#icons.release(before.filter((icon) => !after.has(icon) && !others.has(icon)), new Date());
  }

  async #writeOutput(index: string, output: string): Promise<void> {
    try {
      await withSnapshot(snapshotPath(this.#options.snapshotsDir, index), (snapshot) => this.#outputs.write(output, snapshot));
    } catch (cause) {
      const message = messageOf(cause);
      throw new Error(`indexes.${index}.output: ${message.startsWith(output) ? message : `${output} could not be written: ${message}`}`, { cause });
    }
  }

  /** Removes icons that nothing has named for long, and snapshots of indexes and what is known of registries that are not configured any more. */
  async #clean(): Promise<void> {
    const { definitions, snapshotsDir, cleanFilesAfter } = this.#options;
    const names = new Set(definitions.map(({ name }) => `${name}${SNAPSHOT_SUFFIX}`));
    for (const file of await readdir(snapshotsDir)) {
      if (!file.endsWith(SNAPSHOT_SUFFIX) || names.has(file)) continue;
      const path = join(snapshotsDir, file);
      const footer = await footerOf(path);
      if (footer !== undefined) await this.#release(footer.icons, new Set(), footer.index);
      await rm(path);
    }
    // An index that could not be made yet may name any icon.
    if (this.#published.size < definitions.length) return;
    this.#options.catalog.keepRegistries(new Set(definitions.map(({ registry }) => registry)));
    const named = new Set([...this.#published.values()].flatMap(({ icons }) => icons));
    await this.#icons.clean(named, new Date(Date.now() - cleanFilesAfter));
  }
}

/** The footer of a snapshot that is as it was written; `undefined` if there is none, for then it is made anew. */
async function soundFooterOf(path: string, onWarning: (message: string) => void): Promise<SnapshotFooter | undefined> {
  try {
    return await withSnapshot(path, async (snapshot) => {
      await snapshot.verify();
      return snapshot.footer;
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onWarning(`${messageOf(error)}; it is made anew`);
    return undefined;
  }
}

/** The footer of a snapshot; `undefined` if there is none that can be read. */
async function footerOf(path: string): Promise<SnapshotFooter | undefined> {
  try {
    return await withSnapshot(path, ({ footer }) => footer);
  } catch {
    return undefined;
  }
}

function appVersionsOf(path: string): Promise<AppVersions> {
  return withSnapshot(path, (snapshot) => snapshot.appVersions());
}

/** Reads from the snapshot at `path`, of which little is held in memory. @throws as {@link Snapshot.open} does */
async function withSnapshot<T>(path: string, read: (snapshot: Snapshot) => Promise<T> | T): Promise<T> {
  const snapshot = await Snapshot.open(path, 0);
  try {
    return await read(snapshot);
  } finally {
    await snapshot.close();
  }
}

/** Says whether all of the index is read. */
function isInFull({ name }: IndexDefinition, { indexes }: RebuildScope): boolean {
  return indexes === 'all' || indexes.has(name);
}

/** Where an index comes from, as its snapshot remembers it. */
function sourceOf(definition: IndexDefinition): string {
  return `${definition.registry} ${takenBy(definition)}`;
}

/** What a full scan for this index reads. */
function takenBy({ tags, repositoryInclude, repositoryExclude }: IndexDefinition): string {
  return JSON.stringify([tags, repositoryInclude, repositoryExclude]);
}

async function* shownRepositories(
  selection: readonly SelectedRepository[],
  show: (repository: string, digest: Digest) => ShownImage | undefined,
  icons: IconStore,
): AsyncGenerator<ShownRepository> {
  for (const { name, ...selected } of selection) {
    await icons.ready();
    const images = selected.images.flatMap(({ tags, digest }) => {
      const image = show(name, digest);
      return image === undefined ? [] : [{ tags, image }];
    });
    const lists = selected.lists
      .map((list) => ({ ...list, images: list.images.map((digest) => show(name, digest)).filter((image) => image !== undefined) }))
      .filter((list) => list.images.length > 0);
    if (images.length > 0 || lists.length > 0) yield { name, images, lists };
  }
}

function wholeOf(footer: SnapshotFooter | undefined) {
  return footer?.documents['']?.representations.identity;
}

function ignore(): void {}
