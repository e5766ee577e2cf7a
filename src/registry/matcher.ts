/** Globs over the names of repositories and tags. */
import { Minimatch } from 'minimatch';

/** Says whether one of `patterns` matches: `*` and `?` stay within a path segment, `**` crosses it; nothing else is special but `[…]`. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  if (patterns.some((pattern) => pattern === '**')) return () => true;
  const globs = patterns.map(
    (pattern) =>
      new Minimatch(pattern, { dot: true, nobrace: true, nocomment: true, nonegate: true, noext: true, platform: 'linux' }),
  );
  return (name) => globs.some((glob) => glob.match(name));
}
