/** Which repositories of a registry are to be read. */
import { Minimatch } from 'minimatch';
import { isRepositoryName } from './reference.ts';

export class CoveredRepositories {
  /** Those that are named. */
  readonly names: ReadonlySet<string>;
  readonly #globs: readonly Minimatch[];

  /** @param patterns names, and globs of names in the catalog; without any, all that is in the catalog */
  constructor(patterns: readonly string[]) {
    this.names = new Set(patterns.filter(isRepositoryName));
    this.#globs = patterns
      .filter((pattern) => !isRepositoryName(pattern))
      .map((pattern) => new Minimatch(pattern, { dot: true, nobrace: true, nocomment: true, nonegate: true, noext: true, platform: 'linux' }));
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
    return this.all || this.names.has(repository) || this.#globs.some((glob) => glob.match(repository));
  }
}
