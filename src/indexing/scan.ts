/** Brings the catalog up to date with a registry, at the least number of requests. */
import pMap from 'p-map';
import type { Catalog, Image, TagRecord } from '../catalog/catalog.ts';
import type { Digest } from '../registry/digest.ts';
import type { ImageConfig, ImageManifest, Manifest } from '../registry/manifest.ts';
import { isNotFound, RegistryError } from '../registry/registry-error.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import type { Wanted } from './globs.ts';
import type { RebuildFailure, RebuildScope } from './rebuild.ts';

/** Scans in a row that must not list a repository before it is believed to be gone. */
const MISSED_SCANS_TO_BELIEVE = 2;
/** Image indexes in image indexes; deeper ones are refused. */
const MAX_NESTING = 4;
/** Labels and annotations held back for the next transaction, in characters. */
const MAX_PENDING_CHARACTERS = 4_000_000;

export interface ScanOptions {
  readonly source: RegistrySource;
  readonly catalog: Catalog;
  /** What each index over this registry takes, by its name. */
  readonly wanted: ReadonlyMap<string, Wanted>;
  readonly scope: RebuildScope;
  /** Repositories, and tags within each, that are read at once. */
  readonly concurrency: number;
  readonly onProgress?: (progress: ScanProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface ScanProgress {
  readonly repositories: { readonly done: number; readonly total: number };
  readonly images: { readonly done: number; readonly total: number };
}

export interface ScanResult {
  readonly repositories: number;
  readonly newImages: number;
  readonly failures: readonly RebuildFailure[];
}

type TagSelector = (tag: string) => boolean;

/** Some tags of a repository could not be read; the others could. */
class TagsFailed extends Error {}

/**
 * Reads what `scope` asks for into the catalog. A repository that cannot be read keeps what is known of it and is named in
 * `failures`; only the registry's own word removes anything.
 * @throws the signal's reason once it is aborted, and whatever the catalog throws.
 */
export async function scan(options: ScanOptions): Promise<ScanResult> {
  return new Scan(options).run();
}

class Scan {
  readonly #options: ScanOptions;
  readonly #source: RegistrySource;
  readonly #catalog: Catalog;
  /** Manifests being read or read by this scan, so that two tags that lead to one digest cost one request. */
  readonly #reading = new Map<Digest, Promise<void>>();
  readonly #failures: RebuildFailure[] = [];
  #pending: (() => void)[] = [];
  #pendingCharacters = 0;
  #repositories = { done: 0, total: 0 };
  #images = { done: 0, total: 0 };

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#source = options.source;
    this.#catalog = options.catalog;
  }

  async run(): Promise<ScanResult> {
    const { scope, concurrency, signal } = this.#options;
    const mapOptions = { concurrency, ...(signal ? { signal } : {}) };
    const indexes = [...this.#options.wanted].filter(([name]) => scope.indexes === 'all' || scope.indexes.has(name)).map(([, wanted]) => wanted);
    const complete = scope.indexes === 'all';

    const seen = new Set<string>();
    if (indexes.length > 0) {
      try {
        await pMap(
          this.#listed(indexes, seen),
          (repository) => this.#repository(repository, (tag) => wantsTag(indexes, repository, tag), complete),
          mapOptions,
        );
        await pMap(this.#missed(indexes, seen), (repository) => this.#verifyMissed(repository), mapOptions);
      } catch (error) {
        this.#rethrowIfFatal(error);
        this.#failures.push({ error: messageOf(error) });
      }
    }

    const all = [...this.#options.wanted.values()];
    await pMap(
      // What the registry has just listed was read with it, if all that any index wants was.
      complete ? [...scope.repositories].filter(([repository]) => !seen.has(repository)) : scope.repositories,
      async ([repository, tags]) => {
        if (!all.some((wanted) => wanted.repository(repository))) return;
        this.#repositories.total++;
        if (tags === 'all') await this.#repository(repository, (tag) => wantsTag(all, repository, tag), true);
        else await this.#tags(repository, [...tags].filter((tag) => wantsTag(all, repository, tag)));
      },
      mapOptions,
    );

    this.#flush();
    if (complete && this.#failures.length === 0) this.#catalog.prune();
    return { repositories: this.#repositories.done, newImages: this.#images.done, failures: this.#failures };
  }

  /** The repositories that the registry lists and some index wants, each once. */
  async *#listed(indexes: readonly Wanted[], seen: Set<string>): AsyncGenerator<string> {
    for await (const page of this.#source.repositories(this.#options.signal)) {
      const fresh = page.filter((name) => !seen.has(name) && indexes.some((wanted) => wanted.repository(name)));
      for (const name of page) seen.add(name);
      this.#repositories.total += new Set(fresh).size;
      this.#report();
      yield* new Set(fresh);
    }
  }

  /** Known repositories that the list left out: a list may be cut short, so one such scan is not believed. */
  #missed(indexes: readonly Wanted[], seen: ReadonlySet<string>): string[] {
    return this.#catalog
      .repositories(this.#source.id)
      .filter(({ name }) => !seen.has(name) && indexes.some((wanted) => wanted.repository(name)))
      .filter(({ name }) => this.#catalog.recordMissed(this.#source.id, name) >= MISSED_SCANS_TO_BELIEVE)
      .map(({ name }) => name);
  }

  /** A repository that several lists left out goes, unless the registry still has tags for it. */
  async #verifyMissed(repository: string): Promise<void> {
    try {
      await this.#source.tags(repository, this.#options.signal);
    } catch (error) {
      this.#rethrowIfFatal(error);
      if (isNotFound(error)) this.#catalog.removeRepository(this.#source.id, repository);
      else this.#fail(repository, error);
    }
  }

  /**
   * Reads all tags of a repository that `wants` selects. Other tags go if `complete`, else they stay as long as the registry
   * has them.
   */
  async #repository(repository: string, wants: TagSelector, complete: boolean): Promise<void> {
    try {
      const registry = this.#source.id;
      const listed = await this.#source.tags(repository, this.#options.signal);
      const known = new Map(this.#catalog.tags(registry, repository).map(({ tag, digest }) => [tag, digest]));
      const errors: unknown[] = [];
      const records: TagRecord[] = [];
      await pMap(
        listed,
        async (tag) => {
          const before = known.get(tag);
          let digest = before;
          if (wants(tag)) {
            try {
              digest = await this.#read(repository, tag, before);
            } catch (error) {
              this.#rethrowIfFatal(error);
              errors.push(error);
            }
          } else if (complete) return;
          if (digest !== undefined) records.push({ tag, digest });
        },
        { concurrency: this.#options.concurrency },
      );
      this.#write(0, () => {
        this.#catalog.replaceTags(registry, repository, records);
      });
      if (errors.length > 0) throw new TagsFailed(messageOf(errors[0]), { cause: errors[0] });
    } catch (error) {
      this.#rethrowIfFatal(error);
      if (isNotFound(error)) {
        this.#write(0, () => {
          this.#catalog.removeRepository(this.#source.id, repository);
        });
      } else this.#fail(repository, error);
    }
    this.#finishRepository();
  }

  /** Reads single tags of a repository and leaves its others alone. */
  async #tags(repository: string, tags: readonly string[]): Promise<void> {
    const registry = this.#source.id;
    const known = new Map(this.#catalog.tags(registry, repository).map(({ tag, digest }) => [tag, digest]));
    for (const tag of tags) {
      try {
        const digest = await this.#read(repository, tag, known.get(tag));
        this.#write(0, () => {
          this.#catalog.setTag(registry, repository, tag, digest);
        });
      } catch (error) {
        this.#rethrowIfFatal(error);
        this.#fail(repository, error);
      }
    }
    this.#finishRepository();
  }

  /** What `tag` points to now, with all that it leads to remembered; `undefined` if the registry says that it is gone. */
  async #read(repository: string, tag: string, before: Digest | undefined): Promise<Digest | undefined> {
    const { signal } = this.#options;
    let digest: Digest;
    let manifest: Manifest | undefined;
    try {
      // A tag that is new is read at once: its manifest will be wanted, and a HEAD would cost one request more.
      if (before !== undefined && this.#catalog.manifest(before) !== undefined) {
        ({ digest } = await this.#source.resolve(repository, tag, signal));
      } else {
        manifest = await this.#source.manifest(repository, tag, signal);
        digest = manifest.digest;
      }
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    await this.#learn(repository, digest, manifest, 0);
    return digest;
  }

  /** Remembers a digest and all that it leads to; reads only what is not known. */
  #learn(repository: string, digest: Digest, manifest: Manifest | undefined, depth: number): Promise<void> {
    let reading = this.#reading.get(digest);
    if (reading === undefined) {
      reading = this.#readManifest(repository, digest, manifest, depth);
      this.#reading.set(digest, reading);
      // Another repository may have what this one could not give.
      reading.catch(() => this.#reading.delete(digest));
    }
    return reading;
  }

  async #readManifest(repository: string, digest: Digest, fetched: Manifest | undefined, depth: number): Promise<void> {
    const { signal } = this.#options;
    const known = this.#catalog.manifest(digest);
    if (known?.kind === 'index') {
      await this.#learnChildren(repository, known.manifests, depth);
      return;
    }
    if (known !== undefined) return;

    const manifest = fetched ?? (await this.#source.manifest(repository, digest, signal));
    if (manifest.kind === 'index') {
      await this.#learnChildren(repository, manifest.manifests.map((child) => child.digest), depth);
      this.#write(0, () => {
        this.#catalog.putManifest(manifest);
      });
      return;
    }
    if (manifest.kind === 'artifact') {
      this.#write(0, () => {
        this.#catalog.putManifest(manifest);
      });
      return;
    }

    this.#images.total++;
    const config = await this.#config(repository, manifest);
    const { mediaType, size, annotations } = manifest;
    if (config === undefined) {
      this.#images.total--;
      this.#write(0, () => {
        this.#catalog.putManifest({ kind: 'artifact', mediaType, digest, size });
      });
      return;
    }
    const image: Image = { mediaType, digest, size, annotations, ...config };
    this.#images.done++;
    this.#write(charactersOf(image.labels) + charactersOf(image.annotations), () => {
      this.#catalog.putImage(image);
    });
    this.#report();
  }

  /** A config that is not there is a fault of the image, not the registry's word that the image is gone. */
  async #config(repository: string, manifest: ImageManifest): Promise<ImageConfig | undefined> {
    try {
      return await this.#source.config(repository, manifest.config, this.#options.signal);
    } catch (error) {
      if (isNotFound(error)) throw new RegistryError('malformed', `${repository}@${manifest.digest}: ${messageOf(error)}`, { cause: error });
      throw error;
    }
  }

  /** A child that the registry does not have (a sparse index) is passed over, and asked for again at the next scan. */
  async #learnChildren(repository: string, children: readonly Digest[], depth: number): Promise<void> {
    if (depth >= MAX_NESTING) throw new TagsFailed(`${repository}: image indexes nested more than ${MAX_NESTING} deep`);
    await Promise.all(
      children.map(async (child) => {
        try {
          await this.#learn(repository, child, undefined, depth + 1);
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }),
    );
  }

  /** Writes are gathered into few transactions, in their order, so that a tag never leads to what is not there. */
  #write(characters: number, write: () => void): void {
    this.#pending.push(write);
    this.#pendingCharacters += characters;
    if (this.#pendingCharacters > MAX_PENDING_CHARACTERS) this.#flush();
  }

  #flush(): void {
    const writes = this.#pending;
    this.#pending = [];
    this.#pendingCharacters = 0;
    if (writes.length === 0) return;
    this.#catalog.transaction(() => {
      for (const write of writes) write();
    });
  }

  #fail(repository: string, error: unknown): void {
    const message = messageOf(error);
    this.#failures.push({ repository, error: message });
    this.#write(0, () => {
      this.#catalog.recordFailure(this.#source.id, repository, message);
    });
  }

  #finishRepository(): void {
    this.#repositories.done++;
    this.#report();
  }

  #report(): void {
    this.#options.onProgress?.({ repositories: { ...this.#repositories }, images: { ...this.#images } });
  }

  /** An abort and a fault of the catalog end the scan; what a registry does never may. */
  #rethrowIfFatal(error: unknown): void {
    this.#options.signal?.throwIfAborted();
    if (!(error instanceof TagsFailed || error instanceof RegistryError)) throw error;
  }
}

function wantsTag(indexes: readonly Wanted[], repository: string, tag: string): boolean {
  return indexes.some((wanted) => wanted.repository(repository) && wanted.tag(tag));
}

function charactersOf(record: Readonly<Record<string, string>>): number {
  let characters = 0;
  for (const [key, value] of Object.entries(record)) characters += key.length + value.length;
  return characters;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
