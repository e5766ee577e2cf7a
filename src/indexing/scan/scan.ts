/** Brings the catalog up to date with a registry, with as few requests as possible. */
import pMap from 'p-map';
import { amount } from '../../system/amount.ts';
import { TAG_BYTES, type TagRecord, type TagsByRepository } from '../../store/catalog.ts';
import { messageOf } from '../../system/message-of.ts';
import type { Digest } from '../../registry/digest.ts';
import type { Manifest } from '../../registry/manifest.ts';
import { publicMessage } from '../../registry/public-message.ts';
import { isNotFound, RegistryError, withLocation } from '../../registry/registry-error.ts';
import type { RegistrySource } from '../../registry/registry-source.ts';
import { FLATPAK_REF } from '../appdata/flatpak-image.ts';
import { isWanted, type Wanted } from '../select/wanted.ts';
import { GoneTags } from './gone-tags.ts';
import { DigestReader, newCost, rethrowIfFatal, TagsFailed, type RepositoryCost, type TagCost } from './read-digest.ts';
import { Semaphore } from './semaphore.ts';
import type { RebuildFailure, RebuildScope } from '../rebuild.ts';
import type { WorkingCopy } from './working-copy.ts';

/** Consecutive scans that must not list a repository before the registry is asked whether it is gone. */
const MISSED_SCANS_BEFORE_ASKING = 2;
/** Stands before what the registry answers for a repository that it refuses, and that no list names. */
const UNLISTED = 'not listed any more (if it was deleted, leave it out with repository_exclude)';
/** Failures of one scan that keep their own messages, which take memory and space in the catalog. */
const MAX_EXPLAINED = 10_000;
const UNEXPLAINED: RebuildFailure = { error: `could not be read, like ${MAX_EXPLAINED} others` };

/** Options of {@link scan}. */
export interface ScanOptions {
  readonly source: RegistrySource;
  /** Knowledge of the registry, or only of the repositories that `scope` names. */
  readonly known: WorkingCopy;
  /** Repositories and tags that each index of this registry takes, by the index's name. */
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

/** Result of reading a tag: its record, `undefined` if it is gone, and errors of parts that could not be read. */
interface TagResult {
  readonly record: TagRecord | undefined;
  readonly faults: readonly unknown[];
}

/**
 * Reads what `scope` names into the working copy, and commits it. A repository that cannot be read keeps its tags, and
 * is in `failures`: only a definite answer of the registry removes anything.
 * @throws the signal's reason once it is aborted; StoreError
 */
export async function scan(options: ScanOptions): Promise<ScanResult> {
  return new Scan(options).run();
}

/**
 * Begins the registry's list of repositories; returns the failure if that is not possible. Call it before loading a
 * working copy: a registry that is down is retried often.
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
      try {
        for (let page = first; page.done !== true; page = await pages.next()) yield page.value;
      } finally {
        await pages.return?.();
      }
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
  readonly #failures: RebuildFailure[] = [];
  readonly #digests: DigestReader;
  readonly #goneTags: GoneTags;
  readonly #tagsAtOnce: Semaphore;
  /** Repositories whose last scan succeeded, and that a scan of a whole index has not read yet. */
  readonly #sound = new Set<string>();
  /** Repositories that enough consecutive lists did not name. */
  readonly #unlisted = new Set<string>();
  #repositories = { done: 0, total: 0 };

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#source = options.source;
    this.#known = options.known;
    const { source, known, maxStored, onWarning, signal, scope, expected, hold } = options;
    this.#digests = new DigestReader({ source, known, maxStored, onImage: () => this.#report(), onWarning, signal });
    this.#goneTags = new GoneTags({ known, acceptLosses: scope.acceptLosses === true, expected, hold });
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

    await this.#goneTags.settle();
    await this.#known.commit();
    this.#digests.warnOfStored();
    return { repositories: this.#repositories.done, newImages: this.#digests.images.done, failures: this.#failures };
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
      rethrowIfFatal(error, this.#options.signal);
      this.#failures.push(failureOf(error, this.#source));
    }
  }

  /**
   * Returns known repositories that several consecutive lists did not name. One list is not believed: it may be cut
   * short, and a registry without its storage lists nothing. The registry is then asked for the repository, which is
   * removed only if it is not found, or is refused although anybody could read it before.
   */
  #missed(indexes: readonly Wanted[], seen: ReadonlySet<string>): string[] {
    const left = [...this.#known.repositories.keys()].filter((name) => !seen.has(name) && isWanted(indexes, name));
    const enough = this.#options.scope.acceptLosses === true ? 1 : MISSED_SCANS_BEFORE_ASKING;
    for (const name of left) if (this.#known.recordMissed(name) >= enough) this.#unlisted.add(name);
    return left.filter((name) => this.#unlisted.has(name) || this.#goneTags.holds(name));
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
      this.#goneTags.releaseRepository(name);
      this.#known.removeRepository(name);
    }
  }

  /**
   * Reads all tags of a repository that `wants` selects. Other tags are removed if `complete`; otherwise they stay
   * while the registry lists them.
   * @param full whether this is part of a scan of whole indexes
   */
  async #repository(repository: string, wants: TagSelector, complete: boolean, full: boolean): Promise<void> {
    const cost = newCost(repository);
    try {
      const sound = this.#sound.delete(repository);
      const listed = await this.#source.tags(repository, this.#options.signal);
      const isPublic = this.#source.isPublic?.(repository) === true;
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
            const read = await this.#read(cost, tag, before);
            record = read.record;
            if (read.faults.length > 0) fail(tag, read.faults);
          } catch (cause) {
            rethrowIfFatal(cause, this.#options.signal);
            fail(tag, [cause]);
          }
        } else if (complete) return;
        if (record !== undefined) records.push(record);
      });
      const left = new Set(records.map(({ tag }) => tag));
      const missing = [...known.keys()].filter((tag) => !left.has(tag) && (wants(tag) || !complete));
      for (const tag of this.#goneTags.tagsToKeep(repository, missing, full)) records.push(known.get(tag) as TagRecord);
      const unchanged = records.length === known.size && records.every((record) => record === known.get(record.tag));
      if (!unchanged || !sound) this.#known.replaceTags(repository, records);
      this.#known.recordAccess(repository, isPublic);
      if (error !== undefined)
        throw failed === 1
          ? error
          : new TagsFailed(`${error.message} (and ${amount(failed - 1, 'more tag')})`, { cause: error });
    } catch (error) {
      rethrowIfFatal(error, this.#options.signal);
      if (this.#isGone(repository, error)) {
        this.#goneTags.removeRepository(repository, full);
      } else this.#fail(repository, this.#unlisted.has(repository) ? withLocation(UNLISTED, error) : error);
    }
    this.#finishRepository(cost);
  }

  /**
   * Says whether `error` of a repository's tags means that it is gone. Hosted registries refuse access to what is
   * deleted, as they do to what is private. That is believed of a repository that anybody could read before, and that
   * no list names: it is no lost login that keeps the registry from showing it.
   */
  #isGone(repository: string, error: unknown): boolean {
    if (isNotFound(error)) return true;
    return (
      error instanceof RegistryError &&
      error.code === 'denied' &&
      this.#known.repositories.get(repository)?.isPublic === true &&
      this.#unlisted.has(repository)
    );
  }

  /** Reads single tags of a repository, and leaves its other tags alone. */
  async #tags(repository: string, tags: readonly string[]): Promise<void> {
    const cost = newCost(repository);
    const known = this.#known.tags(repository);
    for (const tag of tags) {
      try {
        const { record, faults } = await this.#read(cost, tag, known.get(tag));
        this.#goneTags.release(repository, tag);
        if (record === undefined) this.#known.removeTag(repository, tag);
        else if (record !== known.get(tag)) this.#known.setTag(repository, record);
        if (faults.length > 0) this.#fail(repository, tagFailed(tag, faults));
      } catch (error) {
        rethrowIfFatal(error, this.#options.signal);
        this.#fail(repository, tagFailed(tag, [error]));
      }
    }
    this.#finishRepository(cost);
  }

  /**
   * Reads what `tag` points to now, with all that it leads to.
   * @param before its known record
   */
  async #read(repository: RepositoryCost, tag: string, before: TagRecord | undefined): Promise<TagResult> {
    const cost: TagCost = { repository, manifests: 0 };
    if (before === undefined) this.#digests.countStored(TAG_BYTES);
    let digest: Digest;
    let manifest: Manifest | undefined;
    try {
      // The manifest of a new tag is needed anyway: a HEAD would be one more request.
      const whole = before !== undefined && this.#known.isWhole(before.digest);
      if (whole || (before !== undefined && (await this.#known.manifest(before.digest)) !== undefined)) {
        ({ digest } = await this.#source.resolve(repository.name, tag, this.#options.signal));
        if (whole && digest === before.digest && before.kept === undefined) return { record: before, faults: [] };
      } else {
        manifest = await this.#digests.manifest(cost, tag);
        digest = manifest.digest;
      }
    } catch (error) {
      if (isNotFound(error)) return { record: undefined, faults: [] };
      throw error;
    }
    const { faults } = await this.#digests.read(cost, digest, manifest);
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
      return JSON.stringify([image?.os, image?.architecture, image?.labels[FLATPAK_REF]]);
    };
    const replaced = new Set([...now].map(identityOf));
    return [...shown].filter((image) => !now.has(image) && !replaced.has(identityOf(image)));
  }

  #fail(repository: string, error: unknown): void {
    const failure = this.#failures.length < MAX_EXPLAINED ? failureOf(error, this.#source) : UNEXPLAINED;
    this.#failures.push({ repository, ...failure });
    this.#known.recordFailure(repository, failure.error);
  }

  #finishRepository(cost: RepositoryCost): void {
    this.#digests.finish(cost);
    this.#repositories.done++;
    this.#report();
  }

  #report(): void {
    this.#options.onProgress?.({ repositories: { ...this.#repositories }, images: { ...this.#digests.images } });
  }
}

/** Says whether the failure is about the whole registry, so that it is not known what it holds. */
export function isRegistryFailure({ repository }: RebuildFailure): boolean {
  return repository === undefined;
}

function failureOf(error: unknown, { id, listedAt }: RegistrySource): RebuildFailure {
  const words = publicMessage(error, id, listedAt);
  const detail = messageOf(error);
  return { error: words, ...(detail !== words && { detail }) };
}

function tagFailed(tag: string, [cause, ...others]: readonly unknown[]): TagsFailed {
  return new TagsFailed(
    `tag ${tag}: ${messageOf(cause)}${others.length === 0 ? '' : ` (and ${others.length} more of its images)`}`,
    { cause },
  );
}
