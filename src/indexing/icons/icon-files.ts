/** The icons on disk: content-addressed, written once, kept for a while after nothing names them any more. */
import { type Dirent, readdirSync } from 'node:fs';
import { rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import pMap from 'p-map';
import type { Digest } from '../../registry/digest.ts';
import { makeFolder } from '../../system/make-folder.ts';
import { iconPath, isIconPath } from './icon-path.ts';
import { TEMPORARY_SUFFIX, writeFileWhole } from '../../system/write-file.ts';

const WRITES_AT_ONCE = 16;
/** Icons are written so many together: each that is synced by itself would cost the file system as much as all of them at once. */
const BATCH = 128;
const MAX_WAITING = 4 * BATCH;

/**
 * Icons below one folder, as `ab/cdef….png`. Writing goes on behind {@link store}, in batches; {@link settled} writes what is left,
 * and tells when all are on disk.
 */
export class IconFiles {
  readonly #folder: string;
  /** The icons that were there when they were last listed, or handed over since. */
  #present = new Set<string>();
  #folders = new Set<string>();
  /** The files by folder when they were last listed, until they were looked through for what is to go. */
  #listed: ReadonlyMap<string, readonly string[]> | undefined;
  /** Those that wait for their batch, by path. */
  #gathered = new Map<string, Uint8Array>();
  /** The paths of those that are gathered or being written. */
  readonly #waiting = new Set<string>();
  #writing: Promise<void> = Promise.resolve();
  /** What could not be written when it was last tried, by path. */
  readonly #failures = new Map<string, Error>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Looks which icons there are. Call it before a series of {@link store}: what somebody has removed is then written again. */
  list(): void {
    const folders = filesByFolder(this.#folder);
    this.#listed = folders;
    this.#present = new Set([...folders].flatMap(([folder, names]) => names.map((name) => `${folder}/${name}`)));
    for (const path of this.#waiting) this.#present.add(path);
    this.#folders = new Set(folders.keys());
  }

  /** Says whether one of these icons was not there when they were last listed. */
  lacks(paths: readonly string[]): boolean {
    return paths.some((path) => !this.#present.has(path));
  }

  /** Keeps the icon that `read` returns, and returns its path below the folder. An icon that is there already is left alone. */
  store(digest: Digest, read: () => Uint8Array): string {
    const path = iconPath(digest);
    if (!this.#present.has(path)) {
      const png = read();
      this.#present.add(path);
      this.#failures.delete(path);
      this.#gathered.set(path, png);
      this.#waiting.add(path);
      if (this.#gathered.size >= BATCH) void this.#writeGathered();
    }
    return path;
  }

  /** Resolves when few icons wait to be written, so that they do not gather in memory. */
  async ready(): Promise<void> {
    if (this.#waiting.size > MAX_WAITING) await this.#writeGathered();
  }

  /**
   * Resolves when the icons at `paths`, all of which were handed over, are on disk.
   * @throws Error naming the folder if one of them could not be written.
   */
  async settled(paths: Iterable<string>): Promise<void> {
    await this.#writeGathered();
    for (const path of paths) {
      const cause = this.#failures.get(path);
      if (cause !== undefined) throw new Error(`an icon could not be written below ${this.#folder}: ${cause.message}`, { cause });
    }
  }

  /** Resolves when all that was handed over until now is written or has failed. */
  #writeGathered(): Promise<void> {
    const batch = this.#gathered;
    this.#gathered = new Map();
    if (batch.size > 0) this.#writing = this.#writing.then(() => this.#writeBatch(batch));
    return this.#writing;
  }

  /** Never rejects: what could not be written is told of by {@link settled}. */
  async #writeBatch(batch: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await pMap(
      batch,
      async ([path, png]) => {
        try {
          await this.#write(path, png);
        } catch (error) {
          this.#present.delete(path);
          this.#failures.set(path, error as Error);
        }
        this.#waiting.delete(path);
      },
      { concurrency: WRITES_AT_ONCE },
    );
  }

  async #write(path: string, png: Uint8Array): Promise<void> {
    const folder = path.slice(0, 2);
    if (this.#folders.has(folder)) {
      try {
        await writeFileWhole(join(this.#folder, path), png);
        return;
      } catch {
        // The folder may have been removed since, or be a file.
        this.#folders.delete(folder);
      }
    }
    makeFolder(join(this.#folder, folder));
    await writeFileWhole(join(this.#folder, path), png);
    this.#folders.add(folder);
  }

  /** Starts the time after which icons that nothing names any more are removed. */
  async release(paths: Iterable<string>, now: Date): Promise<void> {
    for (const path of paths) await utimes(join(this.#folder, path), now, now).catch(ignoreMissing);
  }

  /**
   * Removes icons that are not in `referenced` and were stored or released before `before`; other files are left alone.
   * Returns how many were removed.
   */
  async clean(referenced: ReadonlySet<string>, before: Date): Promise<number> {
    let removed = 0;
    // What came after they were listed is too new to go.
    const folders = this.#listed ?? filesByFolder(this.#folder);
    this.#listed = undefined;
    for (const [folder, names] of folders) {
      let left = names.length;
      for (const name of names) {
        const path = `${folder}/${name}`;
        if (referenced.has(path) || !(isIconPath(path) || name.endsWith(TEMPORARY_SUFFIX))) continue;
        const stats = await stat(join(this.#folder, path)).catch(ignoreMissing);
        if (stats === undefined || stats.mtime >= before) continue;
        await rm(join(this.#folder, path), { force: true });
        removed++;
        left--;
      }
      if (left === 0) await rmdir(join(this.#folder, folder)).catch(() => undefined);
    }
    return removed;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

/**
 * The files in each folder of icons; none if there is no folder yet. There are up to 256 folders: asking for each through the
 * thread pool would take ten times as long.
 */
function filesByFolder(folder: string): ReadonlyMap<string, readonly string[]> {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    ignoreMissing(error as NodeJS.ErrnoException);
    return new Map();
  }
  const folders = entries.filter((entry) => /^[0-9a-f]{2}$/.test(entry.name) && !entry.isFile());
  return new Map(folders.map(({ name }) => [name, readdirSync(join(folder, name))]));
}
