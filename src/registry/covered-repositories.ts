/** Selects the repositories of a registry that are read. */
import { matcher } from './config-glob.ts';
import { ownerOf, type ListingOptions } from './listing/listing-apis.ts';
import { isRepositoryName } from './reference.ts';

/** The repositories that a registry's configuration selects, by names and globs. */
export class CoveredRepositories {
  /** The repositories that are named without a glob. */
  readonly names: ReadonlySet<string>;
  readonly #globs: readonly string[];
  readonly #matches: (repository: string) => boolean;
  /** The beginning of the names of all repositories that are not in {@link names}; `undefined` for any. */
  readonly #owner: string | undefined;

  /**
   * @param patterns names and globs; all repositories that are listed if empty
   * @param listing how they are listed; by the registry's catalog if absent
   */
  constructor(patterns: readonly string[], listing?: Omit<ListingOptions, 'url'>) {
    this.#owner = listing && ownerOf(listing).name.toLowerCase();
    this.names = new Set(patterns.filter(isRepositoryName));
    this.#globs = patterns.filter((pattern) => !isRepositoryName(pattern));
    this.#matches = matcher(this.#globs);
  }

  /** Whether all repositories that are listed are selected. */
  get all(): boolean {
    return this.names.size === 0 && this.#globs.length === 0;
  }

  /** Whether only {@link names} are selected, so that no list is needed. */
  get named(): boolean {
    return this.names.size > 0 && this.#globs.length === 0;
  }

  /** Says whether a repository is selected. */
  has(repository: string): boolean {
    return this.names.has(repository) || (this.#isOwned(repository) && (this.all || this.#matches(repository)));
  }

  #isOwned(repository: string): boolean {
    return this.#owner === undefined || `${repository}/`.startsWith(`${this.#owner}/`);
  }
}
