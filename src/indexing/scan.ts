/** Brings the catalog up to date with a registry, at the least number of requests. */
import pMap from 'p-map';
import type { Catalog, Image, TagRecord } from '../catalog/catalog.ts';
import { messageOf } from '../message-of.ts';
import type { Digest } from '../registry/digest.ts';
import type { ImageConfig, ImageManifest, Manifest } from '../registry/manifest.ts';
import { isNotFound, RegistryError } from '../registry/registry-error.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { isWanted, type Wanted } from './globs.ts';
import { detachIcons, IconReader } from './icons.ts';
import type { RebuildFailure, RebuildScope } from './rebuild.ts';

/** Scans in a row that must not list a repository before it is believed to be gone. */
const MISSED_SCANS_TO_BELIEVE = 2;
/** Image indexes in image indexes; deeper ones are refused. */
const MAX_NESTING = 4;
/** Labels, annotations and icons held back for the next transaction, in characters or bytes. */
const MAX_PENDING = 500_000;

export interface ScanOptions {
  readonly source: RegistrySource;
  readonly catalog: Catalog;
  /** What each index over this registry takes, by its name. */
  readonly wanted: ReadonlyMap<string, Wanted>;
  readonly scope: RebuildScope;
  /** Repositories that the catalog may not know although they were there: if the registry does not list them, it is asked for each. None unless given. */
  readonly expected?: ReadonlySet<string>;
  /** Repositories, and tags within each, that are read at once. */
  readonly concurrency: number;
  readonly onProgress?: (progress: ScanProgress) => void;
  /** Told of each image that was not known before, with the PNGs of its icons; the scan waits for it. */
  readonly onImage?: (image: Image, pngs: ReadonlyMap<Digest, Buffer>) => Promise<void>;
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

interface Reading {
  readonly repository: string;
  /** Whether all that the digest leads to was there. */
  readonly whole: Promise<boolean>;
}

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
  readonly #reading = new Map<Digest, Reading>();
  readonly #failures: RebuildFailure[] = [];
  readonly #icons = new IconReader();
  /** Where a whole index is read: repositories whose last scan went well, and that this one has not read yet. */
  readonly #sound = new Set<string>();
  #pending: (() => void)[] = [];
  #pendingSize = 0;
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
    const all = [...this.#options.wanted.values()];
    const indexes = [...this.#options.wanted].filter(([name]) => scope.indexes === 'all' || scope.indexes.has(name)).map(([, wanted]) => wanted);
    const complete = scope.indexes === 'all';

    const seen = new Set<string>();
    if (indexes.length > 0) {
      for (const { name, error, missedScans } of this.#catalog.repositories(this.#source.id)) if (error === undefined && missedScans === 0) this.#sound.add(name);
      const read = (repository: string): Promise<void> => this.#repository(repository, (tag) => isWanted(indexes, repository, tag), complete);
      await pMap(this.#listed(indexes, seen), read, mapOptions);
      if (!this.#failures.some(isOfRegistry)) {
        const unlisted = new Set([...this.#missed(indexes, seen), ...this.#unread(seen)]);
        this.#repositories.total += unlisted.size;
        await pMap(unlisted, read, mapOptions);
      }
    }
    if (complete) this.#forgetUnwanted(all);

    await pMap(
      // What the registry has just listed was read with it, if all that any index wants was.
      complete ? [...scope.repositories].filter(([repository]) => !seen.has(repository)) : scope.repositories,
      async ([repository, tags]) => {
        if (!isWanted(all, repository)) return;
        this.#repositories.total++;
        if (tags === 'all') await this.#repository(repository, (tag) => isWanted(all, repository, tag), true);
        else await this.#tags(repository, [...tags].filter((tag) => isWanted(all, repository, tag)));
      },
      mapOptions,
    );

    this.#flush();
    return { repositories: this.#repositories.done, newImages: this.#images.done, failures: this.#failures };
  }

  /** The repositories that the registry lists and some index wants, each once. If the list breaks off, what came before is read. */
  async *#listed(indexes: readonly Wanted[], seen: Set<string>): AsyncGenerator<string> {
    try {
      for await (const page of this.#source.repositories(this.#options.signal)) {
        const fresh = new Set(page.filter((name) => !seen.has(name) && isWanted(indexes, name)));
        for (const name of page) seen.add(name);
        this.#repositories.total += fresh.size;
        this.#report();
        yield* fresh;
      }
    } catch (error) {
      this.#rethrowIfFatal(error);
      this.#failures.push({ error: messageOf(error) });
    }
  }

  /**
   * Known repositories that several lists in a row left out. One list is not believed: it may be cut short, and a registry whose
   * storage is not there lists nothing. Then the registry is asked for the repository itself, which goes only if it is not found.
   */
  #missed(indexes: readonly Wanted[], seen: ReadonlySet<string>): string[] {
    const registry = this.#source.id;
    const left = this.#catalog
      .repositories(registry)
      .map(({ name }) => name)
      .filter((name) => !seen.has(name) && isWanted(indexes, name));
    return this.#catalog.transaction(() => left.filter((name) => this.#catalog.recordMissed(registry, name) >= MISSED_SCANS_TO_BELIEVE));
  }

  /** Those that were expected, are not listed, and could not be read yet: nothing is kept of them until a second list tells the same. */
  #unread(seen: ReadonlySet<string>): string[] {
    const read = new Set(this.#catalog.repositories(this.#source.id).flatMap(({ name, error }) => (error === undefined ? [name] : [])));
    return [...(this.#options.expected ?? [])].filter((name) => !seen.has(name) && !read.has(name));
  }

  /** Repositories that no index takes any more are not kept up to date, and so not kept. */
  #forgetUnwanted(all: readonly Wanted[]): void {
    const registry = this.#source.id;
    for (const { name } of this.#catalog.repositories(registry)) {
      if (isWanted(all, name)) continue;
      this.#write(0, () => {
        this.#catalog.removeRepository(registry, name);
      });
    }
  }

  /**
   * Reads all tags of a repository that `wants` selects. Other tags go if `complete`, else they stay as long as the registry
   * has them.
   */
  async #repository(repository: string, wants: TagSelector, complete: boolean): Promise<void> {
    try {
      const registry = this.#source.id;
      const sound = this.#sound.delete(repository);
      const listed = await this.#source.tags(repository, this.#options.signal);
      const known = new Map(this.#catalog.tags(registry, repository).map(({ tag, digest }) => [tag, digest]));
      const errors: Error[] = [];
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
              errors.push(tagFailed(tag, error));
            }
          } else if (complete) return;
          if (digest !== undefined) records.push({ tag, digest });
        },
        { concurrency: this.#options.concurrency },
      );
      const unchanged = records.length === known.size && records.every(({ tag, digest }) => known.get(tag) === digest);
      if (!unchanged || !sound) {
        this.#write(0, () => {
          this.#catalog.replaceTags(registry, repository, records);
        });
      }
      const [first, ...others] = errors;
      if (first !== undefined) throw others.length === 0 ? first : new TagsFailed(`${first.message} (and ${others.length} more tags)`, { cause: first });
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
        this.#fail(repository, tagFailed(tag, error));
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
      const whole = before !== undefined && this.#catalog.isWhole(before);
      if (whole || (before !== undefined && this.#catalog.manifest(before) !== undefined)) {
        ({ digest } = await this.#source.resolve(repository, tag, signal));
        if (whole && digest === before) return digest;
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

  /**
   * Remembers a digest and all that it leads to; reads only what is not known. Says whether all of it was there: a child that
   * the registry does not have (a sparse index) is passed over, and asked for again at the next scan.
   */
  async #learn(repository: string, digest: Digest, manifest: Manifest | undefined, depth: number): Promise<boolean> {
    const reading = this.#reading.get(digest);
    if (reading?.repository === repository) return reading.whole;
    if (reading !== undefined) {
      if (await reading.whole.catch(() => false)) return true;
      // This repository may have what that one could not give.
      if (this.#reading.get(digest) !== reading) return this.#learn(repository, digest, manifest, depth);
    }
    const whole = this.#readManifest(repository, digest, manifest, depth);
    this.#reading.set(digest, { repository, whole });
    return whole;
  }

  async #readManifest(repository: string, digest: Digest, fetched: Manifest | undefined, depth: number): Promise<boolean> {
    const { signal } = this.#options;
    const known = this.#catalog.manifest(digest);
    if (known?.kind === 'index') return this.#learnChildren(repository, known.manifests.map((child) => child.digest), depth);
    if (known !== undefined) return true;

    const manifest = fetched ?? (await this.#source.manifest(repository, digest, signal));
    if (manifest.kind !== 'image') {
      const whole = manifest.kind === 'artifact' || (await this.#learnChildren(repository, manifest.manifests.map((child) => child.digest), depth));
      this.#write(0, () => {
        this.#catalog.putManifest(manifest);
      });
      return whole;
    }

    this.#images.total++;
    const config = await this.#config(repository, manifest);
    const { mediaType, size } = manifest;
    if (config === undefined) {
      this.#images.total--;
      this.#write(0, () => {
        this.#catalog.putManifest({ kind: 'artifact', mediaType, digest, size });
      });
      return true;
    }
    const { os, architecture, labels } = config;
    const { pngs, ...texts } = detachIcons({ annotations: manifest.annotations, labels }, this.#icons);
    const image: Image = { mediaType, digest, size, os, architecture, ...texts };
    await this.#options.onImage?.(image, pngs);
    this.#images.done++;
    const bytes = pngs.values().reduce((sum, { length }) => sum + length, 0);
    this.#write(charactersOf(image.labels) + charactersOf(image.annotations) + bytes, () => {
      this.#catalog.putImage(image, pngs);
    });
    this.#report();
    return true;
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

  async #learnChildren(repository: string, children: readonly Digest[], depth: number): Promise<boolean> {
    if (depth >= MAX_NESTING) throw new TagsFailed(`${repository}: image indexes nested more than ${MAX_NESTING} deep`);
    const learnt = await Promise.allSettled(children.map((child) => this.#learn(repository, child, undefined, depth + 1)));
    const failed = learnt.find((result) => result.status === 'rejected' && !isNotFound(result.reason));
    if (failed?.status === 'rejected') throw failed.reason;
    return learnt.every((result) => result.status === 'fulfilled' && result.value);
  }

  /** Writes are gathered into few transactions, in their order, so that a tag never leads to what is not there. */
  #write(size: number, write: () => void): void {
    this.#pending.push(write);
    this.#pendingSize += size;
    if (this.#pendingSize > MAX_PENDING) this.#flush();
  }

  #flush(): void {
    const writes = this.#pending;
    this.#pending = [];
    this.#pendingSize = 0;
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

/** Says whether it was the registry itself that could not be read: then it is not known what it holds. */
export function isOfRegistry({ repository }: RebuildFailure): boolean {
  return repository === undefined;
}

function tagFailed(tag: string, cause: unknown): TagsFailed {
  return new TagsFailed(`tag ${tag}: ${messageOf(cause)}`, { cause });
}

function charactersOf(record: Readonly<Record<string, string>>): number {
  let characters = 0;
  for (const [key, value] of Object.entries(record)) characters += key.length + value.length;
  return characters;
}
