/** Where an icon lies: a pure function of its bytes' sha256. */
import type { Digest } from '../registry/digest.ts';

/** `ab/cdef….png` for the digest `sha256:abcdef…`; regindexer's layout, below `icons_dir` and `icons_uri` alike. */
export function iconPath(digest: Digest): string {
  const hex = digest.slice('sha256:'.length);
  return `${hex.slice(0, 2)}/${hex.slice(2)}.png`;
}

/** Says whether `path` is one that {@link iconPath} gives. */
export function isIconPath(path: string): boolean {
  return /^[0-9a-f]{2}\/[0-9a-f]{62}\.png$/.test(path);
}
