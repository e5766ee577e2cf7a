/** Paths of icons: a pure function of their SHA-256. */
import type { Digest } from '../../registry/digest.ts';
import { contentPath, digestOfContentPath } from '../content-path.ts';

/**
 * Returns `ab/cdef….png` for the digest `sha256:abcdef…`: regindexer's layout, below `icons_dir` and `icons_uri` alike.
 */
export function iconPath(digest: Digest): string {
  return contentPath(digest, 'png');
}

/** Says whether {@link iconPath} can return `path`. */
export function isIconPath(path: string): boolean {
  return digestOfIconPath(path) !== undefined;
}

/** Returns the digest for which {@link iconPath} returns `path`; `undefined` if there is none. */
export function digestOfIconPath(path: string): Digest | undefined {
  return digestOfContentPath(path, 'png');
}
