/** Decides with which old file each new one is compared. */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { OldLayer } from './old-layer.ts';
import type { RandomAccess } from './random-access.ts';
import { readTar, type TarEntry } from './read-tar.ts';

/** A new file with the old one that it equals or resembles. */
export interface FilePair {
  readonly after: TarEntry;
  readonly before: TarEntry;
  readonly equal: boolean;
}

/** Files with fewer bytes are not worth a path. */
const MIN_BYTES = 16;
/** Files below this size are alike in size. */
const SMALL_BYTES = 64 * 1024;
/** How many times larger one of two files may be that are alike in size. */
const MAX_GROWTH = 10;

/**
 * The pairs in the order of the new archive; files without a counterpart are left out.
 * @throws DeltaError see {@link readTar}
 */
export function matchFiles(
  { archive: beforeArchive, files }: OldLayer,
  afterArchive: RandomAccess,
): readonly FilePair[] {
  const targets = [...readTar(afterArchive)].filter(({ kind, size }) => kind === 'file' && size >= MIN_BYTES);
  const sources = [...new Set(files.values())].filter(({ size }) => size >= MIN_BYTES);
  const [targetSizes, sourceSizes] = [targets, sources].map((all) => new Set(all.map(({ size }) => size)));
  const byContent = new Map<string, Set<TarEntry>>();
  for (const file of sources.filter(({ size }) => targetSizes?.has(size))) {
    const hash = contentHash(beforeArchive, file);
    byContent.set(hash, (byContent.get(hash) ?? new Set()).add(file));
  }
  const likely = [versionlessPath, nameOf, stemOf].map((key) => new FilesBySize(sources, key));

  return targets.flatMap((after): readonly FilePair[] => {
    const samePath = files.get(after.path);
    const equal = sourceSizes?.has(after.size) ? byContent.get(contentHash(afterArchive, after)) : undefined;
    const [anyEqual] = equal ?? [];
    if (anyEqual !== undefined)
      return [{ after, before: samePath !== undefined && equal?.has(samePath) ? samePath : anyEqual, equal: true }];
    const before =
      samePath !== undefined && areAlikeInSize(samePath, after)
        ? samePath
        : likely.reduce<TarEntry | undefined>((found, index) => found ?? index.closest(after), undefined);
    return before === undefined ? [] : [{ after, before, equal: false }];
  });
}

function contentHash(archive: RandomAccess, { position, size }: TarEntry): string {
  const hash = createHash('sha256');
  for (const bytes of archive.pieces(position, size)) hash.update(bytes);
  return hash.digest('base64');
}

/** The path with all its numbers alike, as in `lib/python3.12/`. */
function versionlessPath({ path }: TarEntry): string {
  return path.replaceAll(/[0-9]+/g, '0');
}

function nameOf({ path }: TarEntry): string {
  return posix.basename(path);
}

/** The name up to its first dot, after which a version or a hash may stand, as in `libx.so.1`. */
function stemOf(file: TarEntry): string {
  return nameOf(file).split('.', 1)[0] ?? '';
}

/** Files by a part of their path, and by their size. */
class FilesBySize {
  readonly #key: (file: TarEntry) => string;
  readonly #files: ReadonlyMap<string, readonly TarEntry[]>;

  constructor(files: readonly TarEntry[], key: (file: TarEntry) => string) {
    this.#key = key;
    this.#files = Map.groupBy(
      files.toSorted((one, other) => one.size - other.size),
      key,
    );
  }

  /** The one with the same key whose size is closest; `undefined` if none is alike in size. */
  closest(file: TarEntry): TarEntry | undefined {
    const files = this.#files.get(this.#key(file)) ?? [];
    let [first, end] = [0, files.length];
    while (first < end) {
      const middle = (first + end) >> 1;
      if ((files[middle] as TarEntry).size < file.size) first = middle + 1;
      else end = middle;
    }
    const [smaller, larger] = [files[first - 1], files[first]];
    const closest =
      smaller === undefined || (larger !== undefined && larger.size - file.size <= file.size - smaller.size)
        ? larger
        : smaller;
    return closest !== undefined && areAlikeInSize(closest, file) ? closest : undefined;
  }
}

function areAlikeInSize(one: TarEntry, other: TarEntry): boolean {
  if (one.size < SMALL_BYTES && other.size < SMALL_BYTES) return true;
  return one.size < MAX_GROWTH * other.size && other.size < MAX_GROWTH * one.size;
}
