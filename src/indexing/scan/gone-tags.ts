/** Tags that a scan finds gone: removes them, or holds them until a later scan confirms that they are. */
import type { TagsByRepository } from '../../store/catalog.ts';
import { WHOLE_REPOSITORY } from './losses.ts';
import type { WorkingCopy } from './working-copy.ts';

/** Options of {@link GoneTags}. */
export interface GoneTagsOptions {
  readonly known: WorkingCopy;
  /** Whether all losses are believed at once. */
  readonly acceptLosses: boolean;
  /** Repositories that the catalog may not know. */
  readonly expected?: ReadonlySet<string> | undefined;
  /** Returns which of the gone tags to hold; none unless given. */
  readonly hold?: ((gone: TagsByRepository) => Promise<TagsByRepository>) | undefined;
}

/** Collects the tags that one scan finds gone, and removes at its end those whose loss is believed. */
export class GoneTags {
  readonly #options: GoneTagsOptions;
  readonly #known: WorkingCopy;
  /** Tags that an earlier scan found gone, and that are held. */
  readonly #held: Map<string, Set<string>>;
  /** Tags that this scan finds gone, and that are removed at its end unless they are too many. */
  readonly #gone = new Map<string, Set<string>>();
  /** Repositories that the registry does not have any more. */
  readonly #goneRepositories = new Set<string>();

  constructor(options: GoneTagsOptions) {
    this.#options = options;
    this.#known = options.known;
    this.#held = new Map(Array.from(this.#known.heldTags, ([repository, tags]) => [repository, new Set(tags)]));
  }

  /** Says whether an earlier scan found tags of the repository gone that are held. */
  holds(repository: string): boolean {
    return this.#held.has(repository);
  }

  /** Stops holding a tag, which was read again. */
  release(repository: string, tag: string): void {
    this.#held.get(repository)?.delete(tag);
  }

  /** Stops holding tags of a repository, which no index takes any more. */
  releaseRepository(repository: string): void {
    this.#held.delete(repository);
  }

  /**
   * Records `missing`, all gone tags of a repository; returns those that stay for now. A notification about a
   * repository whose last scan succeeded is believed at once; other losses are decided at the end of the scan, and held
   * tags by the next full scan.
   * @param full whether this is part of a scan of whole indexes
   */
  tagsToKeep(repository: string, missing: readonly string[], full: boolean): readonly string[] {
    const held = this.#held.get(repository);
    this.#held.delete(repository);
    if (this.#options.acceptLosses) return [];
    const stillHeld = full ? [] : missing.filter((tag) => held?.has(tag) === true);
    if (stillHeld.length > 0) this.#held.set(repository, new Set(stillHeld));
    const doubted =
      missing.length > 0 && (full || this.#wasUnread(repository))
        ? missing.filter((tag) => held?.has(tag) !== true)
        : [];
    if (doubted.length > 0) this.#gone.set(repository, new Set(doubted));
    return [...stillHeld, ...doubted];
  }

  /** Removes a repository that the registry says is gone, except for tags that stay for now. */
  removeRepository(repository: string, full: boolean): void {
    const known = [...this.#known.tags(repository).keys()];
    const expected = known.length === 0 && this.#options.expected?.has(repository) === true;
    const staying = new Set(this.tagsToKeep(repository, expected ? [WHOLE_REPOSITORY] : known, full));
    this.#goneRepositories.add(repository);
    this.#remove(
      repository,
      known.filter((tag) => !staying.has(tag)),
      staying.size === 0,
    );
  }

  #wasUnread(repository: string): boolean {
    return this.#known.repositories.get(repository)?.error !== undefined;
  }

  /** Removes what is gone, except for losses that are too large, which are held. */
  async settle(): Promise<void> {
    const held =
      this.#gone.size === 0 ? this.#gone : ((await this.#options.hold?.(this.#gone)) ?? new Map<string, Set<string>>());
    for (const [repository, tags] of held)
      this.#held.set(repository, new Set([...(this.#held.get(repository) ?? []), ...tags]));
    for (const [repository, tags] of this.#gone) {
      const its = this.#held.get(repository);
      this.#remove(
        repository,
        [...tags].filter((tag) => its?.has(tag) !== true),
        its === undefined && this.#goneRepositories.has(repository),
      );
    }
    this.#known.holdTags(new Map([...this.#held].filter(([, tags]) => tags.size > 0)));
  }

  #remove(repository: string, tags: readonly string[], whole: boolean): void {
    if (whole) this.#known.removeRepository(repository);
    else for (const tag of tags) this.#known.removeTag(repository, tag);
  }
}
