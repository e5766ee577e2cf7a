/** Globs over tags and repository names. */
import { Minimatch } from 'minimatch';
import type { IndexDefinition } from './index-definition.ts';

/** Says whether one of `patterns` matches: `*` and `?` stay within a path segment, `**` crosses it; nothing else is special but `[…]`. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  if (patterns.some((pattern) => pattern === '**')) return () => true;
  const globs = patterns.map(
    (pattern) =>
      new Minimatch(pattern, { dot: true, nobrace: true, nocomment: true, nonegate: true, noext: true, platform: 'linux' }),
  );
  return (name) => globs.some((glob) => glob.match(name));
}

/** Which repositories and tags an index takes. */
export interface Wanted {
  readonly repository: (name: string) => boolean;
  readonly tag: (name: string) => boolean;
}

/** The repositories and tags that `definition` takes. */
export function wantedBy(definition: IndexDefinition): Wanted {
  const include = definition.repositoryInclude.length === 0 ? () => true : matcher(definition.repositoryInclude);
  const exclude = matcher(definition.repositoryExclude);
  return { repository: (name) => include(name) && !exclude(name), tag: matcher(definition.tags) };
}
