/** A disk that is easy to fill. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE = '6m';

/** A disk of a few MB. */
export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  private constructor(path: string) {
    this.path = path;
    this.#ballast = join(path, 'ballast');
  }

  static async mount(path: string): Promise<SmallDisk> {
    await mkdir(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'none', path]);
    return new SmallDisk(path);
  }

  /** Takes all that is left of it. */
  fill(): void {
    const file = openSync(this.#ballast, 'a');
    try {
      for (;;) writeSync(file, Buffer.alloc(4096));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(file);
    }
  }

  /** Leaves so many bytes of it, after it was filled. */
  leave(bytes: number): void {
    truncateSync(this.#ballast, statSync(this.#ballast).size - bytes);
  }

  free(): void {
    rmSync(this.#ballast);
  }

  remount(how: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${how}`, this.path]);
  }

  unmount(): void {
    execFileSync('umount', ['--lazy', this.path]);
  }
}

/** Says why this system does not let tests mount a disk; `false` if it does. */
export function cannotMount(): string | false {
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', tmpdir()]);
  return (process.getuid?.() !== 0 || status !== 0) && 'this system does not let tests mount a disk';
}
