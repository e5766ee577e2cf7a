/** The icons on disk: content-addressed, written once, kept for a while after nothing names them any more. */
import { mkdir, readdir, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../registry/digest.ts';
import { iconPath, isIconPath } from './icon-path.ts';
import { TEMPORARY_SUFFIX, writeFileWhole } from './write-file.ts';

const WRITES_AT_ONCE = 16;
const MAX_WAITING = 256;

/**
 * Icons below one folder, as `ab/cdef….png`. Writing goes on behind {@link store}; {@link settled} tells when all are on disk.
 */
export class IconStore {
  readonly #folder: string;
  readonly #writing = new Map<string, Promise<void>>();
  readonly #queue: (() => void)[] = [];
  #free = WRITES_AT_ONCE;
  readonly #failures: Error[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Keeps `png` and returns its path below the folder. An icon that is there already is left alone. */
  store(png: Uint8Array): string {
    const path = iconPath(digestOf(png));
    if (!this.#writing.has(path)) {
      const write = this.#write(path, png).catch((error: unknown) => {
        this.#failures.push(error instanceof Error ? error : new Error(String(error)));
      });
      this.#writing.set(path, write);
      void write.then(() => this.#writing.delete(path));
    }
    return path;
  }

  /** Resolves when few icons wait to be written, so that they do not gather in memory. */
  async ready(): Promise<void> {
    while (this.#writing.size > MAX_WAITING) await Promise.race(this.#writing.values());
  }

  /**
   * Resolves when all icons that were handed over are on disk.
   * @throws the first failure since the last call, naming the file.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#writing.values());
    const [failure] = this.#failures.splice(0);
    if (failure !== undefined) throw new Error(`an icon could not be written below ${this.#folder}: ${failure.message}`, { cause: failure });
  }

  async #write(path: string, png: Uint8Array): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      const file = join(this.#folder, path);
      // The size tells an icon from one that was cut off by another program; its name tells its content.
      const size = await stat(file).then((stats) => stats.size, () => -1);
      if (size === png.length) return;
      await mkdir(join(file, '..'), { recursive: true });
      await writeFileWhole(file, async (handle) => {
        await handle.write(png);
      });
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
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
    for (const folder of await readdir(this.#folder).catch(() => [])) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(this.#folder, folder))) {
        const path = `${folder}/${name}`;
        if (referenced.has(path) || !(isIconPath(path) || name.endsWith(TEMPORARY_SUFFIX))) continue;
        const { mtime } = await stat(join(this.#folder, path));
        if (mtime >= before) continue;
        await rm(join(this.#folder, path), { force: true });
        removed++;
      }
      await rmdir(join(this.#folder, folder)).catch(() => undefined);
    }
    return removed;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
