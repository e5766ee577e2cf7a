/** Brings the catalog up to date with a registry, with as few requests as possible. */
import pMap from 'p-map';
import { amount } from '../../system/amount.ts';
import {
  imageBytes,
  manifestBytes,
  TAG_BYTES,
  type Image,
  type TagRecord,
  type TagsByRepository,
} from '../../store/catalog.ts';
import { messageOf } from '../../system/message-of.ts';
import type { Digest } from '../../registry/digest.ts';
import { LARGE_CONFIG_BYTES, MAX_INDEX_CHILDREN, MAX_MANIFEST_BYTES } from '../../registry/limits.ts';
import type { ImageConfig, ImageManifest, Manifest } from '../../registry/manifest.ts';
import { publicMessage } from '../../registry/public-message.ts';
import { isNotFound, RegistryError, type RegistryErrorCode } from '../../registry/registry-error.ts';
import type { RegistrySource } from '../../registry/registry-source.ts';
import { isWanted, type Wanted } from '../select/wanted.ts';
import { detachIcons, IconReader } from '../icons/icons.ts';
import { WHOLE_REPOSITORY } from './losses.ts';
import { Semaphore } from './semaphore.ts';
import type { RebuildFailure, RebuildScope } from '../rebuild.ts';
import type { WorkingCopy } from './working-copy.ts';

/** Consecutive scans that must not list a repository before the registry is asked whether it is gone. */
const MISSED_SCANS_TO_BELIEVE = 2;
/** Levels of nested image indexes; deeper ones are refused. */
const MAX_NESTING = 4;
/** Most requests for manifests and configs of one repository in a scan; the next scan continues. */
const MAX_REQUESTS = 50_000;
/** Most bytes of manifests and configs of one repository in a scan; the next scan continues. */
const MAX_BYTES = 1024 ** 3;
/** Most that the catalog keeps of one registry, in bytes. */
const MAX_STORED = 2 * 1024 ** 3;
/** Share of that from which on there is a warning. */
const STORED_TO_WARN = 0.75;
/** Errors of responses that were received whole, and so count with their size. */
const RECEIVED_WHOLE: ReadonlySet<RegistryErrorCode> = new Set(['malformed', 'too-large', 'digest-mismatch']);
/** Failures of one scan that keep their own messages, which take memory and space in the catalog. */
const MAX_EXPLAINED = 10_000;
const UNEXPLAINED: RebuildFailure = { error: `could not be read, like ${MAX_EXPLAINED} others` };

/** Options of {@link scan}. */
export interface ScanOptions {
  readonly source: RegistrySource;
  /** What is known of the registry, or only of the repositories that `scope` names. */
  readonly known: WorkingCopy;
  /** What each index of this registry takes, by the index's name. */
  readonly wanted: ReadonlyMap<string, Wanted>;
  readonly scope: RebuildScope;
  /** The registry's list of repositories, if it was begun already; see {@link beginList}. */
  readonly pages?: AsyncIterable<readonly string[]> | undefined;
  /**
   * Repositories that the catalog may not know: if the registry does not list them, it is asked for each. None unless
   * given.
   */
  readonly expected?: ReadonlySet<string>;
  /**
   * Returns which of the gone tags to hold until the next scan of whole indexes confirms their loss; none unless given.
   */
  readonly hold?: (gone: TagsByRepository) => Promise<TagsByRepository>;
  /** Most repositories, and most tags of all repositories together, that are read at once. */
  readonly concurrency: number;
  /** Most that the catalog keeps of one registry, in bytes; 2 GiB if absent. */
  readonly maxStored?: number;
  readonly onProgress?: (progress: ScanProgress) => void;
  /** Receives warnings about a registry that fills the catalog. */
  readonly onWarning?: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

interface ScanProgress {
  readonly repositories: { readonly done: number; readonly total: number };
  readonly images: { readonly done: number; readonly total: number };
}

/** Result of a scan. */
export interface ScanResult {
  /** Number of repositories that were read, or could not be. */
  readonly repositories: number;
  /** Number of images that were not known before. */
  readonly newImages: number;
  readonly failures: readonly RebuildFailure[];
}

type TagSelector = (tag: string) => boolean;

/** A repository that is being read, and its cost so far. */
interface RepositoryReading {
  readonly name: string;
  requests: number;
  bytes: number;
  /** Digests that were read for it. */
  readonly digests: Digest[];
}

/** A tag that is being read. */
interface TagContext {
  readonly repository: RepositoryReading;
  /** Number of manifests that the tag leads to; one with several paths counts several times. */
  manifests: number;
}

/** A digest that is being read, for a repository. */
interface Reading {
  readonly repository: string;
  readonly learnt: Promise<Learnt>;
}

/** Result of reading a digest and all that it leads to. */
interface Learnt {
  /** Whether all of it was read, and is valid. */
  readonly whole: boolean;
  /** Errors of parts that could not be read. */
  readonly faults: readonly unknown[];
  /** Number of manifests below it; one with several paths counts several times. */
  readonly manifests: number;
}

/** Result of reading a tag: its record, `undefined` if it is gone, and errors of parts that could not be read. */
interface TagReading {
  readonly record: TagRecord | undefined;
  readonly faults: readonly unknown[];
}

/** Children of an image index, and messages about invalid ones. */
interface Children {
  readonly manifests: readonly Digest[];
  readonly faults: readonly string[];
}

const WHOLE: Learnt = { whole: true, faults: [], manifests: 0 };

/** Thrown if some tags of a repository could not be read. */
class TagsFailed extends Error {}

/**
 * Reads what `scope` names into the working copy, and commits it. A repository that cannot be read keeps its tags, and
 * is in `failures`:
 * only a definite answer of the registry removes anything.
 * @throws the signal's reason once it is aborted; StoreError
 */
export async function scan(options: ScanOptions): Promise<ScanResult> {
  return new Scan(options).run();
}

/**
 * Begins the registry's list of repositories; returns the failure if that is not possible. Call it before loading a
 * working copy: a
 * registry that is down is retried often.
 * @throws the signal's reason once it is aborted
 */
export async function beginList(
  source: RegistrySource,
  signal?: AbortSignal,
): Promise<AsyncIterable<readonly string[]> | RebuildFailure> {
  const pages = source.repositories(signal)[Symbol.asyncIterator]();
  try {
    const first = await pages.next();
    return (async function* () {
      for (let page = first; page.done !== true; page = await pages.next()) yield page.value;
    })();
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof RegistryError)) throw error;
    return failureOf(error, source);
  }
}

/** One scan. */
class Scan {
  readonly #options: ScanOptions;
  readonly #source: RegistrySource;
  readonly #known: WorkingCopy;
  /** Digests that are being read, so that two tags that lead to one digest cost one request. */
  readonly #reading = new Map<Digest, Reading>();
  /** Estimated size of what the catalog keeps of the registry, including pending changes, in bytes. */
  #stored: number;
  /** Queue of large configs, which are read one at a time to bound memory. */
  #large: Promise<unknown> = Promise.resolve();
  readonly #failures: RebuildFailure[] = [];
  readonly #icons = new IconReader();
  readonly #tagsAtOnce: Semaphore;
  /** Repositories whose last scan succeeded, and that a scan of a whole index has not read yet. */
  readonly #sound = new Set<string>();
  /** Tags that an earlier scan found gone, and that are held. */
  readonly #held: Map<string, Set<string>>;
  /** Tags that this scan finds gone, and that are removed at its end unless they are too many. */
  readonly #gone = new Map<string, Set<string>>();
  /** Repositories that the registry does not have any more. */
  readonly #goneRepositories = new Set<string>();
  #repositories = { done: 0, total: 0 };
  #images = { done: 0, total: 0 };

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#source = options.source;
    this.#known = options.known;
    this.#stored = options.known.stored;
    this.#held = new Map(Array.from(this.#known.heldTags, ([repository, tags]) => [repository, new Set(tags)]));
    this.#tagsAtOnce = new Semaphore(options.concurrency);
  }

  async run(): Promise<ScanResult> {
    const { scope, concurrency, signal } = this.#options;
    const mapOptions = { concurrency, ...(signal ? { signal } : {}) };
    const all = [...this.#options.wanted.values()];
    const indexes = [...this.#options.wanted]
      .filter(([name]) => scope.indexes === 'all' || scope.indexes.has(name))
      .map(([, wanted]) => wanted);
    const complete = scope.indexes === 'all';

    const seen = new Set<string>();
    if (indexes.length > 0) {
      for (const [name, { error, missedScans }] of this.#known.repositories)
        if (error === undefined && missedScans === 0) this.#sound.add(name);
      const read = (repository: string): Promise<void> =>
        this.#repository(repository, (tag) => isWanted(indexes, repository, tag), complete, true);
      await pMap(this.#listed(indexes, seen), read, mapOptions);
      if (!this.#failures.some(isRegistryFailure)) {
        const unlisted = new Set([...this.#missed(indexes, seen), ...this.#unread(seen)]);
        this.#repositories.total += unlisted.size;
        await pMap(unlisted, read, mapOptions);
      }
    }
    // Not if the list failed: indexes stay as they are then, and may want these repositories again.
    if (complete && !this.#failures.some(isRegistryFailure)) this.#forgetUnwanted(all);

    await pMap(
      // A complete scan has already read the repositories that the registry listed.
      complete ? [...scope.repositories].filter(([repository]) => !seen.has(repository)) : scope.repositories,
      async ([repository, tags]) => {
        if (!isWanted(all, repository)) return;
        this.#repositories.total++;
        if (tags === 'all') await this.#repository(repository, (tag) => isWanted(all, repository, tag), true, false);
        else
          await this.#tags(
            repository,
            [...tags].filter((tag) => isWanted(all, repository, tag)),
          );
      },
      mapOptions,
    );

    await this.#settleLosses();
    await this.#known.commit();
    this.#warnOfStored();
    return { repositories: this.#repositories.done, newImages: this.#images.done, failures: this.#failures };
  }

  /**
   * Yields the listed repositories that any index wants, each once. If the list fails halfway, the repositories before
   * that are read.
   */
  async *#listed(indexes: readonly Wanted[], seen: Set<string>): AsyncGenerator<string> {
    try {
      for await (const page of this.#options.pages ?? this.#source.repositories(this.#options.signal)) {
        const fresh = new Set(page.filter((name) => !seen.has(name) && isWanted(indexes, name)));
        for (const name of page) seen.add(name);
        this.#repositories.total += fresh.size;
        this.#report();
        yield* fresh;
      }
    } catch (error) {
      this.#rethrowIfFatal(error);
      this.#failures.push(failureOf(error, this.#source));
    }
  }

  /**
   * Returns known repositories that several consecutive lists did not name. One list is not believed: it may be cut
   * short, and a registry
   * without its storage lists nothing. The registry is then asked for the repository, which is removed only if it is
   * not found.
   */
  #missed(indexes: readonly Wanted[], seen: ReadonlySet<string>): string[] {
    const left = [...this.#known.repositories.keys()].filter((name) => !seen.has(name) && isWanted(indexes, name));
    const enough = this.#options.scope.acceptLosses === true ? 1 : MISSED_SCANS_TO_BELIEVE;
    return left.filter((name) => this.#known.recordMissed(name) >= enough || this.#held.has(name));
  }

  /**
   * Returns expected repositories that are not listed and were never read: there is nothing of them to keep until a
   * second list.
   */
  #unread(seen: ReadonlySet<string>): string[] {
    const read = new Set(
      [...this.#known.repositories].flatMap(([name, { error }]) => (error === undefined ? [name] : [])),
    );
    return [...(this.#options.expected ?? [])].filter((name) => !seen.has(name) && !read.has(name));
  }

  /** Removes repositories that no index takes any more, since they are not kept up to date. */
  #forgetUnwanted(all: readonly Wanted[]): void {
    for (const name of this.#known.repositories.keys()) {
      if (isWanted(all, name)) continue;
      this.#held.delete(name);
      this.#known.removeRepository(name);
    }
  }

  /**
   * Reads all tags of a repository that `wants` selects. Other tags are removed if `complete`; otherwise they stay
   * while the registry
   * lists them. @param full whether this is part of a scan of whole indexes
   */
  async #repository(repository: string, wants: TagSelector, complete: boolean, full: boolean): Promise<void> {
    const reading = newReading(repository);
    try {
      const sound = this.#sound.delete(repository);
      const listed = await this.#source.tags(repository, this.#options.signal);
      const known = this.#known.tags(repository);
      let error: Error | undefined;
      let failed = 0;
      const fail = (tag: string, faults: readonly unknown[]): void => {
        error ??= tagFailed(tag, faults);
        failed++;
      };
      const records: TagRecord[] = [];
      await this.#tagsAtOnce.forEach(listed, async (tag) => {
        const before = known.get(tag);
        let record = before;
        if (wants(tag)) {
          try {
            const read = await this.#read(reading, tag, before);
            record = read.record;
            if (read.faults.length > 0) fail(tag, read.faults);
          } catch (cause) {
            this.#rethrowIfFatal(cause);
            fail(tag, [cause]);
          }
        } else if (complete) return;
        if (record !== undefined) records.push(record);
      });
      const left = new Set(records.map(({ tag }) => tag));
      const missing = [...known.keys()].filter((tag) => !left.has(tag) && (wants(tag) || !complete));
      for (const tag of this.#lose(repository, missing, full)) records.push(known.get(tag) as TagRecord);
      const unchanged = records.length === known.size && records.every((record) => record === known.get(record.tag));
      if (!unchanged || !sound) this.#known.replaceTags(repository, records);
      if (error !== undefined)
        throw failed === 1
          ? error
          : new TagsFailed(`${error.message} (and ${amount(failed - 1, 'more tag')})`, { cause: error });
    } catch (error) {
      this.#rethrowIfFatal(error);
      if (isNotFound(error)) {
        this.#loseAll(repository, full);
      } else this.#fail(repository, error);
    }
    this.#finishRepository(reading);
  }

  /**
   * Records `missing`, all gone tags of a repository; returns those that stay for now. A notification about a
   * repository whose last scan
   * succeeded is believed at once; other losses are decided at the end of the scan, and held tags by the next full
   * scan.
   */
  #lose(repository: string, missing: readonly string[], full: boolean): readonly string[] {
    const held = this.#held.get(repository);
    this.#held.delete(repository);
    if (this.#options.scope.acceptLosses === true) return [];
    const stillHeld = full ? [] : missing.filter((tag) => held?.has(tag) === true);
    if (stillHeld.length > 0) this.#held.set(repository, new Set(stillHeld));
    const doubted =
      missing.length > 0 && (full || this.#wasUnread(repository))
        ? missing.filter((tag) => held?.has(tag) !== true)
        : [];
    if (doubted.length > 0) this.#gone.set(repository, new Set(doubted));
    return [...stillHeld, ...doubted];
  }

  /** Handles a repository that the registry says is gone. */
  #loseAll(repository: string, full: boolean): void {
    const known = [...this.#known.tags(repository).keys()];
    const expected = known.length === 0 && this.#options.expected?.has(repository) === true;
    const staying = new Set(this.#lose(repository, expected ? [WHOLE_REPOSITORY] : known, full));
    this.#goneRepositories.add(repository);
    this.#forget(
      repository,
      known.filter((tag) => !staying.has(tag)),
      staying.size === 0,
    );
  }

  #wasUnread(repository: string): boolean {
    return this.#known.repositories.get(repository)?.error !== undefined;
  }

  /** Removes what is gone, except for losses that are too large, which are held. */
  async #settleLosses(): Promise<void> {
    const held =
      this.#gone.size === 0 ? this.#gone : ((await this.#options.hold?.(this.#gone)) ?? new Map<string, Set<string>>());
    for (const [repository, tags] of held)
      this.#held.set(repository, new Set([...(this.#held.get(repository) ?? []), ...tags]));
    for (const [repository, tags] of this.#gone) {
      const its = this.#held.get(repository);
      this.#forget(
        repository,
        [...tags].filter((tag) => its?.has(tag) !== true),
        its === undefined && this.#goneRepositories.has(repository),
      );
    }
    this.#known.holdTags(new Map([...this.#held].filter(([, tags]) => tags.size > 0)));
  }

  #forget(repository: string, tags: readonly string[], whole: boolean): void {
    if (whole) this.#known.removeRepository(repository);
    else for (const tag of tags) this.#known.removeTag(repository, tag);
  }

  /** Reads single tags of a repository, and leaves its other tags alone. */
  async #tags(repository: string, tags: readonly string[]): Promise<void> {
    const reading = newReading(repository);
    const known = this.#known.tags(repository);
    for (const tag of tags) {
      try {
        const { record, faults } = await this.#read(reading, tag, known.get(tag));
        this.#held.get(repository)?.delete(tag);
        if (record === undefined) this.#known.removeTag(repository, tag);
        else if (record !== known.get(tag)) this.#known.setTag(repository, record);
        if (faults.length > 0) this.#fail(repository, tagFailed(tag, faults));
      } catch (error) {
        this.#rethrowIfFatal(error);
        this.#fail(repository, tagFailed(tag, [error]));
      }
    }
    this.#finishRepository(reading);
  }

  /** Reads what `tag` points to now, with all that it leads to. @param before its known record */
  async #read(repository: RepositoryReading, tag: string, before: TagRecord | undefined): Promise<TagReading> {
    const context: TagContext = { repository, manifests: 0 };
    if (before === undefined) this.#store(TAG_BYTES);
    let digest: Digest;
    let manifest: Manifest | undefined;
    try {
      // The manifest of a new tag is needed anyway: a HEAD would be one more request.
      const whole = before !== undefined && this.#known.isWhole(before.digest);
      if (whole || (before !== undefined && (await this.#known.manifest(before.digest)) !== undefined)) {
        ({ digest } = await this.#source.resolve(repository.name, tag, this.#options.signal));
        if (whole && digest === before.digest && before.kept === undefined) return { record: before, faults: [] };
      } else {
        manifest = await this.#manifest(context, tag);
        digest = manifest.digest;
      }
    } catch (error) {
      if (isNotFound(error)) return { record: undefined, faults: [] };
      throw error;
    }
    const { faults } = await this.#learn(context, digest, manifest, 0);
    const kept = faults.length === 0 ? [] : await this.#kept(digest, before, faults);
    const record =
      before?.digest === digest && String(before.kept ?? []) === String(kept)
        ? before
        : { tag, digest, ...(kept.length > 0 && { kept }) };
    return { record, faults };
  }

  /**
   * Returns the images that a tag led to before, except those that an image of `digest` replaces: one with the same
   * platform and ref.
   * @throws the first of `faults` if no image of `digest` could be read
   */
  async #kept(digest: Digest, before: TagRecord | undefined, faults: readonly unknown[]): Promise<readonly Digest[]> {
    const now = this.#known.imagesIn(digest);
    if (now.size === 0) throw faults[0];
    if (before === undefined) return [];
    const shown = new Set([before.digest, ...(before.kept ?? [])].flatMap((one) => [...this.#known.imagesIn(one)]));
    const images = await this.#known.images([...now, ...shown]);
    const identityOf = (one: Digest): string => {
      const image = images.get(one);
      return JSON.stringify([image?.os, image?.architecture, image?.labels['org.flatpak.ref']]);
    };
    const replaced = new Set([...now].map(identityOf));
    return [...shown].filter((image) => !now.has(image) && !replaced.has(identityOf(image)));
  }

  /**
   * Reads a digest and all that it leads to, except for what is known. A child that the registry does not have (a
   * sparse index) is
   * skipped until the next scan; one that cannot be read is a fault.
   */
  async #learn(context: TagContext, digest: Digest, manifest: Manifest | undefined, depth: number): Promise<Learnt> {
    const { repository } = context;
    const reading = this.#reading.get(digest);
    if (reading?.repository === repository.name) return counted(context, await reading.learnt);
    if (reading !== undefined) {
      const learnt = await reading.learnt.catch(() => undefined);
      if (learnt?.whole === true) return counted(context, learnt);
      // This repository may have what the other one does not.
      if (this.#reading.get(digest) !== reading) return this.#learn(context, digest, manifest, depth);
    }
    const learnt = this.#readManifest(context, digest, manifest, depth);
    this.#reading.set(digest, { repository: repository.name, learnt });
    repository.digests.push(digest);
    return learnt;
  }

  async #readManifest(
    context: TagContext,
    digest: Digest,
    fetched: Manifest | undefined,
    depth: number,
  ): Promise<Learnt> {
    const known = await this.#known.manifest(digest);
    if (known?.kind === 'index')
      return this.#learnChildren(context, digest, { manifests: known.manifests, faults: known.faults ?? [] }, depth);
    if (known !== undefined) return WHOLE;

    const manifest = fetched ?? (await this.#manifest(context, digest));
    if (manifest.kind !== 'image') {
      const learnt =
        manifest.kind === 'artifact'
          ? WHOLE
          : await this.#learnChildren(
              context,
              digest,
              { manifests: manifest.manifests.map((child) => child.digest), faults: manifest.faults ?? [] },
              depth,
            );
      this.#store(manifestBytes(manifest));
      this.#known.putManifest(manifest);
      return learnt;
    }

    this.#images.total++;
    const config = await this.#config(context, manifest);
    const { mediaType, size } = manifest;
    if (config === undefined) {
      this.#images.total--;
      this.#known.putManifest({ kind: 'artifact', mediaType, digest, size });
      return WHOLE;
    }
    const { os, architecture, labels } = config;
    const { pngs, ...texts } = detachIcons({ annotations: manifest.annotations, labels }, this.#icons);
    const image: Image = { mediaType, digest, size, os, architecture, ...texts };
    this.#store(imageBytes(image, pngs));
    await this.#known.putImage(image, pngs);
    this.#images.done++;
    this.#report();
    return WHOLE;
  }

  async #manifest({ repository }: TagContext, reference: string): Promise<Manifest> {
    this.#charge(repository, 0);
    try {
      const manifest = await this.#source.manifest(repository.name, reference, this.#options.signal);
      repository.bytes += manifest.size;
      return manifest;
    } catch (error) {
      if (error instanceof RegistryError && RECEIVED_WHOLE.has(error.code)) repository.bytes += MAX_MANIFEST_BYTES;
      throw error;
    }
  }

  /** Reads a config. A missing one makes the image invalid; it does not mean that the image is gone. */
  async #config({ repository }: TagContext, { digest, config }: ImageManifest): Promise<ImageConfig | undefined> {
    this.#charge(repository, config.size);
    const read = (): Promise<ImageConfig | undefined> =>
      this.#source.config(repository.name, config, this.#options.signal);
    try {
      if (config.size <= LARGE_CONFIG_BYTES) return await read();
      const large = this.#large.then(read);
      this.#large = large.catch(() => {});
      return await large;
    } catch (error) {
      if (isNotFound(error))
        throw new RegistryError('malformed', `${repository.name}@${digest}: ${messageOf(error)}`, { cause: error });
      throw error;
    }
  }

  /**
   * Counts a request for so many bytes. @throws RegistryError `too-large` if a limit of the repository or the catalog
   * is reached
   */
  #charge(repository: RepositoryReading, bytes: number): void {
    this.#store(0);
    if (repository.requests >= MAX_REQUESTS || repository.bytes + bytes > MAX_BYTES) {
      throw new RegistryError(
        'too-large',
        `${repository.name}: more than ${MAX_REQUESTS} manifests and configs, or ${mebibytes(MAX_BYTES)} of them, are new; the next rebuild continues`,
      );
    }
    repository.requests++;
    repository.bytes += bytes;
  }

  /**
   * Counts bytes that the catalog is to keep. @throws RegistryError `too-large` if its limit for the registry is
   * reached
   */
  #store(bytes: number): void {
    const { maxStored = MAX_STORED } = this.#options;
    if (this.#stored + bytes > maxStored)
      throw new RegistryError(
        'too-large',
        `nothing new is stored from ${this.#source.id}: its ${mebibytes(this.#stored)} in the catalog are near the limit of ${mebibytes(maxStored)}`,
      );
    this.#stored += bytes;
  }

  #warnOfStored(): void {
    const { maxStored = MAX_STORED, onWarning } = this.#options;
    if (this.#stored <= maxStored * STORED_TO_WARN) return;
    onWarning?.(
      `${this.#source.id} takes ${mebibytes(this.#stored)} in the catalog: beyond ${mebibytes(maxStored)}, nothing new is stored from it. Index fewer repositories or tags, or check who pushes so much`,
    );
  }

  async #learnChildren(
    context: TagContext,
    digest: Digest,
    { manifests, faults }: Children,
    depth: number,
  ): Promise<Learnt> {
    const repository = context.repository.name;
    if (depth >= MAX_NESTING)
      throw new TagsFailed(`${repository}: image indexes are nested more than ${MAX_NESTING} levels deep`);
    count(context, manifests.length);
    const learnt = await Promise.allSettled(
      manifests.map((child) => this.#learn(context, child, undefined, depth + 1)),
    );
    const found = learnt.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value.faults;
      this.#rethrowIfFatal(result.reason);
      // Nothing of an index that is nested too deeply, or too large, is stored.
      if (result.reason instanceof TagsFailed) throw result.reason;
      return isNotFound(result.reason) ? [] : [result.reason as unknown];
    });
    return {
      whole: faults.length === 0 && learnt.every((result) => result.status === 'fulfilled' && result.value.whole),
      faults: [...faults.map((fault) => new RegistryError('malformed', `${repository}@${digest}: ${fault}`)), ...found],
      manifests: learnt.reduce(
        (sum, result) => sum + 1 + (result.status === 'fulfilled' ? result.value.manifests : 0),
        0,
      ),
    };
  }

  #fail(repository: string, error: unknown): void {
    const failure = this.#failures.length < MAX_EXPLAINED ? failureOf(error, this.#source) : UNEXPLAINED;
    this.#failures.push({ repository, ...failure });
    this.#known.recordFailure(repository, failure.error);
  }

  #finishRepository({ digests }: RepositoryReading): void {
    // From here on, the working copy knows what was read.
    for (const digest of digests) this.#reading.delete(digest);
    this.#repositories.done++;
    this.#report();
  }

  #report(): void {
    this.#options.onProgress?.({ repositories: { ...this.#repositories }, images: { ...this.#images } });
  }

  /** Rethrows an abort or an error of the store, which end the scan; errors of the registry never do. */
  #rethrowIfFatal(error: unknown): void {
    this.#options.signal?.throwIfAborted();
    if (!(error instanceof TagsFailed || error instanceof RegistryError)) throw error;
  }
}

/** Says whether the failure is about the whole registry, so that it is not known what it holds. */
export function isRegistryFailure({ repository }: RebuildFailure): boolean {
  return repository === undefined;
}

function failureOf(error: unknown, { id }: RegistrySource): RebuildFailure {
  const words = publicMessage(error, id);
  const detail = messageOf(error);
  return { error: words, ...(detail !== words && { detail }) };
}

function tagFailed(tag: string, [cause, ...others]: readonly unknown[]): TagsFailed {
  return new TagsFailed(
    `tag ${tag}: ${messageOf(cause)}${others.length === 0 ? '' : ` (and ${others.length} more of its images)`}`,
    { cause },
  );
}

function newReading(name: string): RepositoryReading {
  return { name, requests: 0, bytes: 0, digests: [] };
}

/** Counts manifests that were already read for another tag. */
function counted(context: TagContext, learnt: Learnt): Learnt {
  count(context, learnt.manifests);
  return learnt;
}

/** Counts manifests that a tag leads to. @throws TagsFailed if there are too many */
function count(context: TagContext, manifests: number): void {
  context.manifests += manifests;
  if (context.manifests > MAX_INDEX_CHILDREN)
    throw new TagsFailed(
      `${context.repository.name}: more than ${MAX_INDEX_CHILDREN} manifests in one image index and its nested ones`,
    );
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`;
}
