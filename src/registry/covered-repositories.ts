/** Which repositories of a registry are to be read. */
import { matcher } from './matcher.ts';
import { isRepositoryName } from './reference.ts';

export class CoveredRepositories {
  /** Those that are named. */
  readonly names: ReadonlySet<string>;
  readonly #globs: readonly string[];
  readonly #matches: (repository: string) => boolean;

  /** @param patterns names, and globs of names in the catalog; without any, all that is in the catalog */
  constructor(patterns: readonly string[]) {
    this.names = new Set(patterns.filter(isRepositoryName));
    this.#globs = patterns.filter((pattern) => !isRepositoryName(pattern));
    this.#matches = matcher(this.#globs);
  }

  /** All that is in the catalog. */
  get all(): boolean {
    return this.names.size === 0 && this.#globs.length === 0;
  }

  /** Nothing but {@link names}, for which the catalog need not be asked. */
  get named(): boolean {
    return this.names.size > 0 && this.#globs.length === 0;
  }

  has(repository: string): boolean {
    return this.all || this.names.has(repository) || this.#matches(repository);
  }
}
