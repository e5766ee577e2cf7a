/** Paths of content-addressed files: a pure function of their SHA-256. */
import type { Digest } from '../registry/digest.ts';

/** Returns `ab/cdef….EXTENSION` for the digest `sha256:abcdef…`. */
export function contentPath(digest: Digest, extension: string): string {
  const hex = digest.slice('sha256:'.length);
  return `${hex.slice(0, 2)}/${hex.slice(2)}.${extension}`;
}

/** Returns the digest for which {@link contentPath} returns `path`; `undefined` if there is none. */
export function digestOfContentPath(path: string, extension: string): Digest | undefined {
  const [, start, rest, its] = /^([0-9a-f]{2})\/([0-9a-f]{62})\.([a-z]+)$/.exec(path) ?? [];
  return its === extension ? (`sha256:${start}${rest}` as Digest) : undefined;
}
