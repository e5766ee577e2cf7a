/** Selects the repositories of a registry that are read. */
import { matcher } from './config-glob.ts';
import { isRepositoryName } from './reference.ts';

/** The repositories that a registry's configuration selects, by names and globs. */
export class CoveredRepositories {
  /** The repositories that are named without a glob. */
  readonly names: ReadonlySet<string>;
  readonly #globs: readonly string[];
  readonly #matches: (repository: string) => boolean;

  /** @param patterns names and globs; all repositories of the catalog if empty */
  constructor(patterns: readonly string[]) {
    this.names = new Set(patterns.filter(isRepositoryName));
    this.#globs = patterns.filter((pattern) => !isRepositoryName(pattern));
    this.#matches = matcher(this.#globs);
  }

  /** Whether all repositories of the catalog are selected. */
  get all(): boolean {
    return this.names.size === 0 && this.#globs.length === 0;
  }

  /** Whether only {@link names} are selected, so that the catalog is not needed. */
  get named(): boolean {
    return this.names.size > 0 && this.#globs.length === 0;
  }

  /** Says whether a repository is selected. */
  has(repository: string): boolean {
    return this.all || this.names.has(repository) || this.#matches(repository);
  }
}
