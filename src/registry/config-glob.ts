/**
 * Globs in the configuration, for names of repositories and tags. Queries use `indexing/query/query-glob.ts`, where `*`
 * also matches `/`.
 */
import { Minimatch } from 'minimatch';

/**
 * A function that says whether one of `patterns` matches. `*` and `?` match within a path segment, `**` across
 * segments, `[…]` a character.
 */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  if (patterns.some((pattern) => pattern === '**')) return () => true;
  const globs = patterns.map(
    (pattern) =>
      new Minimatch(pattern, {
        dot: true,
        nobrace: true,
        nocomment: true,
        nonegate: true,
        noext: true,
        platform: 'linux',
      }),
  );
  return (name) => globs.some((glob) => glob.match(name));
}
