/** Paths of icons: a pure function of their SHA-256. */
import type { Digest } from '../../registry/digest.ts';

/**
 * Returns `ab/cdef….png` for the digest `sha256:abcdef…`: regindexer's layout, below `icons_dir` and `icons_uri` alike.
 */
export function iconPath(digest: Digest): string {
  const hex = digest.slice('sha256:'.length);
  return `${hex.slice(0, 2)}/${hex.slice(2)}.png`;
}

/** Says whether {@link iconPath} can return `path`. */
export function isIconPath(path: string): boolean {
  return /^[0-9a-f]{2}\/[0-9a-f]{62}\.png$/.test(path);
}

/** Returns the digest for which {@link iconPath} returns `path`; `undefined` if there is none. */
export function digestOfIconPath(path: string): Digest | undefined {
  return isIconPath(path) ? (`sha256:${path.slice(0, 2)}${path.slice(3, -'.png'.length)}` as Digest) : undefined;
}
