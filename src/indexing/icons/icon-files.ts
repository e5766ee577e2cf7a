/** Icon files: content-addressed, written once, removed a while after nothing names them any more. */
import { type Dirent, readdirSync } from 'node:fs';
import { rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import pMap from 'p-map';
import type { Digest } from '../../registry/digest.ts';
import { makeFolder } from '../../system/make-folder.ts';
import { iconPath, isIconPath } from './icon-path.ts';
import { TEMPORARY_SUFFIX, writeFileAtomically } from '../../system/write-file.ts';

const WRITES_AT_ONCE = 16;
/** Icons that are written together: to sync one costs the file system as much as to sync all of a batch. */
const BATCH = 128;
/** Icons that may wait in memory. */
const MAX_WAITING = 4 * BATCH;

/**
 * Icons below one folder, as `ab/cdef….png`. {@link store} queues them to be written in batches; {@link settled} writes
 * the rest, and resolves when all are on disk.
 */
export class IconFiles {
  readonly #folder: string;
  /** Paths of icons that existed at the last {@link list}, or were stored since. */
  #present = new Set<string>();
  #folders = new Set<string>();
  /** Files by folder at the last {@link list}, until {@link clean} uses them. */
  #listed: ReadonlyMap<string, readonly string[]> | undefined;
  /** Icons of the next batch, by path. */
  #gathered = new Map<string, Uint8Array>();
  /** Paths of icons that are queued or being written. */
  readonly #waiting = new Set<string>();
  #writing: Promise<void> = Promise.resolve();
  /** Errors of the last attempt to write an icon, by path. */
  readonly #failures = new Map<string, Error>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Lists the existing icons. Call it before a series of {@link store}, so that removed files are written again. */
  list(): void {
    const folders = filesByFolder(this.#folder);
    this.#listed = folders;
    this.#present = new Set([...folders].flatMap(([folder, names]) => names.map((name) => `${folder}/${name}`)));
    for (const path of this.#waiting) this.#present.add(path);
    this.#folders = new Set(folders.keys());
  }

  /** Says whether one of these icons was missing at the last {@link list} and was not stored since. */
  lacks(paths: readonly string[]): boolean {
    return paths.some((path) => !this.#present.has(path));
  }

  /** Queues the icon that `read` returns, unless it exists; returns its path below the folder. */
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

  /** Resolves when few icons are queued (backpressure). */
  async ready(): Promise<void> {
    if (this.#waiting.size > MAX_WAITING) await this.#writeGathered();
  }

  /**
   * Resolves when the icons at `paths`, all of which were stored, are on disk.
   * @throws Error naming the folder if one of them could not be written
   */
  async settled(paths: Iterable<string>): Promise<void> {
    await this.#writeGathered();
    for (const path of paths) {
      const cause = this.#failures.get(path);
      if (cause !== undefined)
        throw new Error(`an icon could not be written below ${this.#folder}: ${cause.message}`, { cause });
    }
  }

  /** Resolves when all icons stored until now are written or have failed. */
  #writeGathered(): Promise<void> {
    const batch = this.#gathered;
    this.#gathered = new Map();
    if (batch.size > 0) this.#writing = this.#writing.then(() => this.#writeBatch(batch));
    return this.#writing;
  }

  /** Never rejects: {@link settled} reports failures. */
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
        await writeFileAtomically(join(this.#folder, path), png);
        return;
      } catch {
        // The folder may have been removed, or be a file.
        this.#folders.delete(folder);
      }
    }
    makeFolder(join(this.#folder, folder));
    await writeFileAtomically(join(this.#folder, path), png);
    this.#folders.add(folder);
  }

  /** Sets the files' time to `now`, from which on {@link clean} counts. */
  async release(paths: Iterable<string>, now: Date): Promise<void> {
    for (const path of paths) await utimes(join(this.#folder, path), now, now).catch(ignoreMissing);
  }

  /**
   * Removes icons that are not in `referenced` and were stored or released before `before`; leaves other files alone.
   * Returns how many were removed.
   */
  async clean(referenced: ReadonlySet<string>, before: Date): Promise<number> {
    let removed = 0;
    // Icons stored since they were listed are too new to remove.
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
 * Lists the files in each folder of icons; none if there is no folder yet. Synchronous: up to 256 folders through the
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
