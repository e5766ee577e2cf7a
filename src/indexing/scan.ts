/** Brings the catalog up to date with a registry, at the least number of requests. */
import pMap from 'p-map';
import type { Catalog, Image, KnownManifest, TagRecord, TagsByRepository } from '../catalog/catalog.ts';
import { messageOf } from '../message-of.ts';
import type { Digest } from '../registry/digest.ts';
import type { ImageConfig, ImageManifest, Manifest } from '../registry/manifest.ts';
import { publicWords } from '../registry/public-words.ts';
import { isNotFound, RegistryError } from '../registry/registry-error.ts';
import type { RegistrySource } from '../registry/registry-source.ts';
import { isWanted, type Wanted } from './globs.ts';
import { detachIcons, IconReader } from './icons.ts';
import { WHOLE_REPOSITORY } from './losses.ts';
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
  /** Which of the tags that are gone are kept until another scan of whole indexes finds the same; none unless given. */
  readonly hold?: (gone: TagsByRepository) => TagsByRepository;
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
  readonly learnt: Promise<Learnt>;
}

/** What came of reading a digest and all that it leads to. */
interface Learnt {
  /** All of it was there. */
  readonly whole: boolean;
  /** Of parts that could not be read; the others could. */
  readonly faults: readonly unknown[];
}

/** What a tag points to now, `undefined` if it is gone, and what could not be read of it. */
interface TagReading {
  readonly record: TagRecord | undefined;
  readonly faults: readonly unknown[];
}

/** What an image index leads to, and what is wrong with it. */
interface Children {
  readonly manifests: readonly { readonly digest: Digest }[];
  readonly faults?: readonly string[];
}

const WHOLE: Learnt = { whole: true, faults: [] };

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
  /** What an earlier scan found gone, and was not believed. */
  readonly #held: Map<string, Set<string>>;
  /** What this one finds gone, and is believed only if it is not too much. */
  readonly #gone = new Map<string, Set<string>>();
  /** Those that the registry does not have any more. */
  readonly #goneRepositories = new Set<string>();
  #pending: (() => void)[] = [];
  #pendingSize = 0;
  #repositories = { done: 0, total: 0 };
  #images = { done: 0, total: 0 };

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#source = options.source;
    this.#catalog = options.catalog;
    this.#held = new Map(Array.from(this.#catalog.heldTags(this.#source.id), ([repository, tags]) => [repository, new Set(tags)]));
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
      const read = (repository: string): Promise<void> => this.#repository(repository, (tag) => isWanted(indexes, repository, tag), complete, true);
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
        if (tags === 'all') await this.#repository(repository, (tag) => isWanted(all, repository, tag), true, false);
        else await this.#tags(repository, [...tags].filter((tag) => isWanted(all, repository, tag)));
      },
      mapOptions,
    );

    this.#flush();
    this.#settleLosses();
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
      this.#failures.push(this.#failure(error));
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
    const enough = this.#options.scope.acceptLosses === true ? 1 : MISSED_SCANS_TO_BELIEVE;
    return this.#catalog.transaction(() => left.filter((name) => this.#catalog.recordMissed(registry, name) >= enough || this.#held.has(name)));
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
      this.#held.delete(name);
      this.#write(0, () => {
        this.#catalog.removeRepository(registry, name);
      });
    }
  }

  /**
   * Reads all tags of a repository that `wants` selects. Other tags go if `complete`, else they stay as long as the registry
   * has them.
   */
  async #repository(repository: string, wants: TagSelector, complete: boolean, full: boolean): Promise<void> {
    const registry = this.#source.id;
    try {
      const sound = this.#sound.delete(repository);
      const listed = await this.#source.tags(repository, this.#options.signal);
      const known = this.#tagsOf(repository);
      const errors: Error[] = [];
      const records: TagRecord[] = [];
      await pMap(
        listed,
        async (tag) => {
          const before = known.get(tag);
          let record = before;
          if (wants(tag)) {
            try {
              const read = await this.#read(repository, tag, before);
              record = read.record;
              if (read.faults.length > 0) errors.push(tagFailed(tag, read.faults));
            } catch (error) {
              this.#rethrowIfFatal(error);
              errors.push(tagFailed(tag, [error]));
            }
          } else if (complete) return;
          if (record !== undefined) records.push(record);
        },
        { concurrency: this.#options.concurrency },
      );
      const left = new Set(records.map(({ tag }) => tag));
      const missing = [...known.keys()].filter((tag) => !left.has(tag) && (wants(tag) || !complete));
      for (const tag of this.#lose(repository, missing, full)) records.push(known.get(tag) as TagRecord);
      const unchanged = records.length === known.size && records.every((record) => record === known.get(record.tag));
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
        this.#loseAll(repository, full);
      } else this.#fail(repository, error);
    }
    this.#finishRepository();
  }

  /**
   * Notes which tags of a repository are gone, the only ones of it that are; returns those that stay for now. What a notification
   * tells of a repository that was sound is believed; all else waits for the end of the scan, and what was held, for a full one.
   */
  #lose(repository: string, missing: readonly string[], full: boolean): readonly string[] {
    const held = this.#held.get(repository);
    this.#held.delete(repository);
    if (this.#options.scope.acceptLosses === true) return [];
    const stillHeld = full ? [] : missing.filter((tag) => held?.has(tag) === true);
    if (stillHeld.length > 0) this.#held.set(repository, new Set(stillHeld));
    const doubted = missing.length > 0 && (full || this.#wasUnread(repository)) ? missing.filter((tag) => held?.has(tag) !== true) : [];
    if (doubted.length > 0) this.#gone.set(repository, new Set(doubted));
    return [...stillHeld, ...doubted];
  }

  /** The registry says that a repository is gone. */
  #loseAll(repository: string, full: boolean): void {
    const registry = this.#source.id;
    const known = this.#catalog.tags(registry, repository).map(({ tag }) => tag);
    const expected = known.length === 0 && this.#options.expected?.has(repository) === true;
    const staying = new Set(this.#lose(repository, expected ? [WHOLE_REPOSITORY] : known, full));
    this.#goneRepositories.add(repository);
    this.#write(0, () => {
      this.#forget(repository, new Set(known.filter((tag) => !staying.has(tag))), staying.size === 0);
    });
  }

  #wasUnread(repository: string): boolean {
    return this.#catalog.repositories(this.#source.id).some(({ name, error }) => name === repository && error !== undefined);
  }

  /** Lets go what is gone, but for what is too much at once. */
  #settleLosses(): void {
    const registry = this.#source.id;
    const held = this.#gone.size === 0 ? this.#gone : (this.#options.hold?.(this.#gone) ?? new Map<string, Set<string>>());
    for (const [repository, tags] of held) this.#held.set(repository, new Set([...(this.#held.get(repository) ?? []), ...tags]));
    this.#catalog.transaction(() => {
      for (const [repository, tags] of this.#gone) {
        const its = this.#held.get(repository);
        this.#forget(repository, new Set([...tags].filter((tag) => its?.has(tag) !== true)), its === undefined && this.#goneRepositories.has(repository));
      }
      const before = this.#catalog.heldTags(registry);
      const now = new Map([...this.#held].filter(([, tags]) => tags.size > 0));
      if (before.size > 0 || now.size > 0) this.#catalog.recordHeldTags(registry, now);
    });
  }

  #forget(repository: string, tags: ReadonlySet<string>, whole: boolean): void {
    const registry = this.#source.id;
    if (whole) this.#catalog.removeRepository(registry, repository);
    else for (const tag of tags) this.#catalog.removeTag(registry, repository, tag);
  }

  /** Reads single tags of a repository and leaves its others alone. */
  async #tags(repository: string, tags: readonly string[]): Promise<void> {
    const registry = this.#source.id;
    const known = this.#tagsOf(repository);
    for (const tag of tags) {
      try {
        const { record, faults } = await this.#read(repository, tag, known.get(tag));
        this.#held.get(repository)?.delete(tag);
        this.#write(0, () => {
          if (record === undefined) this.#catalog.removeTag(registry, repository, tag);
          else this.#catalog.setTag(registry, repository, record);
        });
        if (faults.length > 0) this.#fail(repository, tagFailed(tag, faults));
      } catch (error) {
        this.#rethrowIfFatal(error);
        this.#fail(repository, tagFailed(tag, [error]));
      }
    }
    this.#finishRepository();
  }

  #tagsOf(repository: string): ReadonlyMap<string, TagRecord> {
    return new Map(this.#catalog.tags(this.#source.id, repository).map((record) => [record.tag, record]));
  }

  /** Reads what `tag` points to now, with all that it leads to. @param before what it pointed to */
  async #read(repository: string, tag: string, before: TagRecord | undefined): Promise<TagReading> {
    const { signal } = this.#options;
    let digest: Digest;
    let manifest: Manifest | undefined;
    try {
      // A tag that is new is read at once: its manifest will be wanted, and a HEAD would cost one request more.
      const whole = before !== undefined && this.#catalog.isWhole(this.#source.id, before.digest);
      if (whole || (before !== undefined && this.#known(before.digest) !== undefined)) {
        ({ digest } = await this.#source.resolve(repository, tag, signal));
        if (whole && digest === before.digest && before.kept === undefined) return { record: before, faults: [] };
      } else {
        manifest = await this.#source.manifest(repository, tag, signal);
        digest = manifest.digest;
      }
    } catch (error) {
      if (isNotFound(error)) return { record: undefined, faults: [] };
      throw error;
    }
    const { faults } = await this.#learn(repository, digest, manifest, 0);
    const kept = faults.length === 0 ? [] : this.#kept(digest, before, faults);
    const record = before?.digest === digest && String(before.kept ?? []) === String(kept) ? before : { tag, digest, ...(kept.length > 0 && { kept }) };
    return { record, faults };
  }

  /**
   * Images that a tag led to before and that nothing which could be read of `digest` replaces: of the same platform and Flatpak ref.
   * @throws the first of `faults` if no image of `digest` could be read
   */
  #kept(digest: Digest, before: TagRecord | undefined, faults: readonly unknown[]): readonly Digest[] {
    this.#flush();
    const now = this.#imagesIn(digest);
    if (now.size === 0) throw faults[0];
    if (before === undefined) return [];
    const replaced = new Set([...now].map((image) => this.#identityOf(image)));
    const shown = new Set([before.digest, ...(before.kept ?? [])].flatMap((one) => [...this.#imagesIn(one)]));
    return [...shown].filter((image) => !now.has(image) && !replaced.has(this.#identityOf(image)));
  }

  /** The images that are known of a digest, those of nested indexes included. */
  #imagesIn(digest: Digest, found: Set<Digest> = new Set()): ReadonlySet<Digest> {
    const manifest = this.#known(digest);
    if (manifest?.kind === 'image') found.add(digest);
    if (manifest?.kind === 'index') for (const child of manifest.manifests) this.#imagesIn(child.digest, found);
    return found;
  }

  #identityOf(digest: Digest): string {
    const image = this.#catalog.image(this.#source.id, digest);
    return JSON.stringify([image?.os, image?.architecture, image?.labels['org.flatpak.ref']]);
  }

  /** What the registry has given for a digest. */
  #known(digest: Digest): KnownManifest | undefined {
    return this.#catalog.manifest(this.#source.id, digest);
  }

  /**
   * Remembers a digest and all that it leads to; reads only what is not known. A child that the registry does not have (a sparse
   * index) is passed over, and asked for again at the next scan; one that cannot be read is a fault.
   */
  async #learn(repository: string, digest: Digest, manifest: Manifest | undefined, depth: number): Promise<Learnt> {
    const reading = this.#reading.get(digest);
    if (reading?.repository === repository) return reading.learnt;
    if (reading !== undefined) {
      const learnt = await reading.learnt.catch(() => undefined);
      if (learnt?.whole === true) return learnt;
      // This repository may have what that one could not give.
      if (this.#reading.get(digest) !== reading) return this.#learn(repository, digest, manifest, depth);
    }
    const learnt = this.#readManifest(repository, digest, manifest, depth);
    this.#reading.set(digest, { repository, learnt });
    return learnt;
  }

  async #readManifest(repository: string, digest: Digest, fetched: Manifest | undefined, depth: number): Promise<Learnt> {
    const { signal } = this.#options;
    const registry = this.#source.id;
    const known = this.#known(digest);
    if (known?.kind === 'index') return this.#learnChildren(repository, digest, known, depth);
    if (known !== undefined) return WHOLE;

    const manifest = fetched ?? (await this.#source.manifest(repository, digest, signal));
    if (manifest.kind !== 'image') {
      const learnt = manifest.kind === 'artifact' ? WHOLE : await this.#learnChildren(repository, digest, manifest, depth);
      this.#write(0, () => {
        this.#catalog.putManifest(registry, manifest);
      });
      return learnt;
    }

    this.#images.total++;
    const config = await this.#config(repository, manifest);
    const { mediaType, size } = manifest;
    if (config === undefined) {
      this.#images.total--;
      this.#write(0, () => {
        this.#catalog.putManifest(registry, { kind: 'artifact', mediaType, digest, size });
      });
      return WHOLE;
    }
    const { os, architecture, labels } = config;
    const { pngs, ...texts } = detachIcons({ annotations: manifest.annotations, labels }, this.#icons);
    const image: Image = { mediaType, digest, size, os, architecture, ...texts };
    await this.#options.onImage?.(image, pngs);
    this.#images.done++;
    const bytes = pngs.values().reduce((sum, { length }) => sum + length, 0);
    this.#write(charactersOf(image.labels) + charactersOf(image.annotations) + bytes, () => {
      this.#catalog.putImage(registry, image, pngs);
    });
    this.#report();
    return WHOLE;
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

  async #learnChildren(repository: string, digest: Digest, { manifests, faults = [] }: Children, depth: number): Promise<Learnt> {
    if (depth >= MAX_NESTING) throw new TagsFailed(`${repository}: image indexes nested more than ${MAX_NESTING} deep`);
    const learnt = await Promise.allSettled(manifests.map((child) => this.#learn(repository, child.digest, undefined, depth + 1)));
    const found = learnt.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value.faults;
      this.#rethrowIfFatal(result.reason);
      // Of an index that is nested too deep nothing is taken.
      if (result.reason instanceof TagsFailed) throw result.reason;
      return isNotFound(result.reason) ? [] : [result.reason as unknown];
    });
    return {
      whole: faults.length === 0 && learnt.every((result) => result.status === 'fulfilled' && result.value.whole),
      faults: [...faults.map((fault) => new RegistryError('malformed', `${repository}@${digest}: ${fault}`)), ...found],
    };
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
    const failure = this.#failure(error);
    this.#failures.push({ repository, ...failure });
    this.#write(0, () => {
      this.#catalog.recordFailure(this.#source.id, repository, failure.error);
    });
  }

  #failure(error: unknown): RebuildFailure {
    const words = publicWords(error, this.#source.id);
    const detail = messageOf(error);
    return { error: words, ...(detail !== words && { detail }) };
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

function tagFailed(tag: string, [cause, ...others]: readonly unknown[]): TagsFailed {
  return new TagsFailed(`tag ${tag}: ${messageOf(cause)}${others.length === 0 ? '' : ` (and ${others.length} more of its images)`}`, { cause });
}

function charactersOf(record: Readonly<Record<string, string>>): number {
  let characters = 0;
  for (const [key, value] of Object.entries(record)) characters += key.length + value.length;
  return characters;
}
