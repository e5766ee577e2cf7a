/** The old layer, whose files a delta reads. */
import { compareTexts } from '../system/compare-texts.ts';
import type { RandomAccess } from './random-access.ts';
import { readTar, type TarEntry } from './read-tar.ts';

/** The old layer of a delta. */
export interface OldLayer {
  readonly archive: RandomAccess;
  /** Its regular files by their paths and those of their hard links. */
  readonly files: ReadonlyMap<string, TarEntry>;
}

/**
 * Finds the files of an archive that a delta may read. Left out are those that a client may not be able to read as they
 * are in the archive: not all users may read them, or other entries are in their way.
 * @throws DeltaError see {@link readTar}
 */
export function oldLayer(archive: RandomAccess): OldLayer {
  const entries = [...readTar(archive)].filter(({ path }) => path !== '');
  const blocked = blockedPaths(entries);
  const files = new Map<string, TarEntry>();
  for (const entry of entries)
    if (entry.kind === 'file' && entry.readable && !blocked.has(entry.path)) files.set(entry.path, entry);
  for (const { path, kind, target } of entries) {
    const file = files.get(target);
    if (kind === 'link' && file !== undefined && !blocked.has(path)) files.set(path, file);
  }
  return { archive, files };
}

/** Paths that occur twice, and pairs of paths of which one leads through the other, unless that is a folder. */
function blockedPaths(entries: readonly TarEntry[]): ReadonlySet<string> {
  // With the separator as the least character, what is below a path follows it.
  const sorted = entries
    .map(({ path, kind }) => ({ path: path.replaceAll('/', '\0'), isFolder: kind === 'folder' }))
    .toSorted((one, other) => compareTexts(one.path, other.path));
  const blocked = new Set<string>();
  /** The last entry, and the last one that is not a folder: what follows may be the same, or below. */
  let [last, above] = [sorted[0], sorted[0]];
  for (const entry of sorted.slice(1)) {
    const isTwice = entry.path === last?.path && !(entry.isFolder && last.isFolder);
    if (isTwice) blocked.add(entry.path);
    last = entry;
    if (above?.isFolder === false && entry.path.startsWith(`${above.path}\0`)) blocked.add(entry.path).add(above.path);
    else if (!entry.isFolder) above = entry;
  }
  return new Set([...blocked].map((path) => path.replaceAll('\0', '/')));
}
