/** Does one rebuild: reads a registry, decides what its indexes hold, and writes their snapshots and files. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Catalog } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { wantedBy } from './globs.ts';
import { IconStore } from './icon-store.ts';
import type { IndexDefinition } from './index-definition.ts';
import { writeOutput } from './output-file.ts';
import { prefer } from './prefer.ts';
import type { IndexResult, RebuildProgress, RebuildResult, RebuildScope } from './rebuild.ts';
import { renderImage } from './render-image.ts';
import { scan } from './scan.ts';
import type { SelectedRepository } from './select.ts';
import { fingerprintOf, select } from './select.ts';
import type { SnapshotFooter } from './snapshot/format.ts';
import { Snapshot } from './snapshot/snapshot.ts';
import type { ShownImage, ShownRepository } from './snapshot/write-snapshot.ts';
import { writeSnapshot } from './snapshot/write-snapshot.ts';
import { removeTemporaryFiles, syncFolderOf } from './write-file.ts';

/** Changes whenever the same images would come out as another snapshot. */
const RENDERER = '1';
const MAX_WARNINGS = 20;
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
  /** The footers of the snapshots in place. */
  readonly #published: Map<string, SnapshotFooter>;
  #rendering: Promise<void> = Promise.resolve();

  private constructor(options: IndexerOptions, published: Map<string, SnapshotFooter>) {
    this.#options = options;
    this.#icons = new IconStore(options.iconsDir);
    this.#published = published;
  }

  /** An indexer that goes on from the snapshots that are there; one that cannot be read will be made anew. */
  static async open(options: IndexerOptions): Promise<Indexer> {
    await mkdir(options.snapshotsDir, { recursive: true });
    await removeTemporaryFiles(options.snapshotsDir, '');
    for (const { output } of options.definitions) if (output !== undefined) await removeTemporaryFiles(dirname(output), basename(output));
    const published = new Map<string, SnapshotFooter>();
    for (const { name } of options.definitions) {
      try {
        const snapshot = await Snapshot.open(snapshotPath(options.snapshotsDir, name), 0);
        published.set(name, snapshot.footer);
        await snapshot.close();
      } catch {
        // Missing or damaged: the next rebuild replaces it.
      }
    }
    return new Indexer(options, published);
  }

  /**
   * Reads what `scope` asks for from one registry and brings its indexes up to date.
   * What a registry does wrong is told in the result; what it held before is kept.
   * @throws the signal's reason once it is aborted, and CatalogError if the catalog cannot be written.
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
    const scanned = await scan({
      source,
      catalog: this.#options.catalog,
      wanted: new Map(definitions.map((definition) => [definition.name, wantedBy(definition)])),
      scope,
      concurrency: this.#options.concurrency(registry),
      onProgress: report,
      signal,
    });
    report({ phase: 'rendering' });
    const indexes = await this.refresh(registry, { ...(onPublished && { onPublished }), ...(signal && { signal }) });
    if (scope.indexes === 'all') await this.#alone(() => this.#clean());

    return {
      registry,
      seconds: (performance.now() - started) / 1000,
      requests: source.requests - requestsBefore,
      ...scanned,
      indexes,
    };
  }

  /** Brings the indexes of one registry up to date with what the catalog holds, without asking the registry. */
  async refresh(registry: string, { onPublished, signal }: Pick<RebuildOptions, 'onPublished' | 'signal'> = {}): Promise<readonly IndexResult[]> {
    const results: IndexResult[] = [];
    for (const definition of this.#options.definitions) {
      if (definition.registry !== registry) continue;
      signal?.throwIfAborted();
      results.push(await this.#alone(() => this.#refreshIndex(definition, onPublished)));
    }
    return results;
  }

  /** Registries are scanned side by side, but indexes rendered and icons removed one by one: it bounds memory, and no icon goes that is being named. */
  #alone<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#rendering.then(run);
    this.#rendering = result.then(ignore, ignore);
    return result;
  }

  async #refreshIndex(definition: IndexDefinition, onPublished: ((index: string) => void) | undefined): Promise<IndexResult> {
    const started = performance.now();
    const { name } = definition;
    const previous = this.#published.get(name);
    const warnings: string[] = [];
    let changed = false;
    let error: string | undefined;
    try {
      const { catalog } = this.#options;
      const selection = catalog.transaction(() => select(catalog, definition));
      const fingerprint = fingerprintOf(selection, definition, `${RENDERER} ${this.#options.iconsUri}`);
      if (previous?.fingerprint !== fingerprint) {
        const footer = await this.#publish(definition, selection, fingerprint, previous, warnings);
        this.#published.set(name, footer);
        changed = wholeOf(footer)?.etag !== wholeOf(previous)?.etag;
        onPublished?.(name);
      }
      if (definition.output !== undefined) await this.#writeOutput(name, definition.output);
    } catch (cause) {
      error = cause instanceof Error ? cause.message : String(cause);
    }
    const footer = this.#published.get(name);
    return {
      index: name,
      images: footer?.documents['']?.images ?? 0,
      bytes: wholeOf(footer)?.length ?? 0,
      changed,
      seconds: (performance.now() - started) / 1000,
      ...(error !== undefined && { error }),
      warnings,
    };
  }

  async #publish(definition: IndexDefinition, selection: readonly SelectedRepository[], fingerprint: string, previous: SnapshotFooter | undefined, warnings: string[]): Promise<SnapshotFooter> {
    const { catalog, iconsUri, snapshotsDir } = this.#options;
    const icons = new Set<string>();
    const path = snapshotPath(snapshotsDir, definition.name);
    const preferred = definition.repositoryPriority.length === 0 ? selection : prefer(selection, definition.repositoryPriority, catalog);

    const show = (digest: Digest): ShownImage | undefined => {
      const image = catalog.image(digest);
      if (image === undefined) return undefined;
      const rendered = renderImage(image, {
        definition,
        storeIcon: (png) => {
          const icon = this.#icons.store(png);
          icons.add(icon);
          return iconsUri + icon;
        },
        onWarning: (warning) => addWarning(warnings, warning),
      });
      return rendered && { digest, mediaType: image.mediaType, os: image.os, architecture: image.architecture, ...rendered };
    };

    if (definition.extractIcons) await this.#icons.list();
    const footer = await writeSnapshot(path, {
      index: definition.name,
      fingerprint,
      registry: definition.registryPublic,
      repositories: shownRepositories(preferred, show, this.#icons),
      icons: async () => {
        await this.#icons.settled();
        return icons;
      },
      previous,
      now: new Date(),
    });
    await syncFolderOf(path);
    const named = new Set([...this.#published].flatMap(([index, { icons: others }]) => (index === definition.name ? [] : others)).concat(footer.icons));
    await this.#icons.release((previous?.icons ?? []).filter((icon) => !named.has(icon)), new Date());
    return footer;
  }

  async #writeOutput(index: string, output: string): Promise<void> {
    const snapshot = await Snapshot.open(snapshotPath(this.#options.snapshotsDir, index), 0);
    try {
      await writeOutput(output, snapshot);
    } finally {
      await snapshot.close();
    }
  }

  /** Removes icons that nothing has named for long, and snapshots of indexes that are not configured any more. */
  async #clean(): Promise<void> {
    const { definitions, snapshotsDir, cleanFilesAfter } = this.#options;
    const names = new Set(definitions.map(({ name }) => `${name}${SNAPSHOT_SUFFIX}`));
    for (const file of await readdir(snapshotsDir)) if (file.endsWith(SNAPSHOT_SUFFIX) && !names.has(file)) await rm(join(snapshotsDir, file));
    // An index that could not be made yet may name any icon.
    if (this.#published.size < definitions.length) return;
    const named = new Set([...this.#published.values()].flatMap(({ icons }) => icons));
    await this.#icons.clean(named, new Date(Date.now() - cleanFilesAfter));
  }
}

async function* shownRepositories(
  selection: readonly SelectedRepository[],
  show: (digest: Digest) => ShownImage | undefined,
  icons: IconStore,
): AsyncGenerator<ShownRepository> {
  for (const repository of selection) {
    await icons.ready();
    const images = repository.images.flatMap(({ tags, digest }) => {
      const image = show(digest);
      return image === undefined ? [] : [{ tags, image }];
    });
    const lists = repository.lists
      .map((list) => ({ ...list, images: list.images.map(show).filter((image) => image !== undefined) }))
      .filter((list) => list.images.length > 0);
    if (images.length > 0 || lists.length > 0) yield { name: repository.name, images, lists };
  }
}

function wholeOf(footer: SnapshotFooter | undefined) {
  return footer?.documents['']?.representations.identity;
}

function addWarning(warnings: string[], warning: string): void {
  if (warnings.length < MAX_WARNINGS) warnings.push(warning);
  else if (warnings.length === MAX_WARNINGS) warnings.push('more warnings of this index are not shown');
}

function ignore(): void {}
