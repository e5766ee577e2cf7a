/** Reads a folder without leaving it: symbolic links that lead out of it count as missing. */
import { constants, type BigIntStats, type Dirent } from 'node:fs';
import { lstat, open, readdir, readlink, realpath, type FileHandle } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { messageOf } from '../../system/message-of.ts';
import { RegistryError } from '../registry-error.ts';

/** The system's errors for a path without a readable file; ENXIO is a socket's. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO']);

/** An open file that was in the folder when it was opened. */
export class ContainedFile implements AsyncDisposable {
  readonly handle: FileHandle;
  /** The size in bytes. */
  readonly size: number;
  /** Identifies the file and its state; changes with each write. */
  readonly identity: string;

  constructor(handle: FileHandle, { dev, ino, size, mtimeNs, ctimeNs }: BigIntStats) {
    this.handle = handle;
    this.size = Number(size);
    this.identity = [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}

/** A folder that confines what is read to itself. */
export class ContainedFolder {
  readonly path: string;

  /** @param path absolute; the folder need not exist yet */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * The folder's current real path.
   * @throws RegistryError `unavailable`, not `not-found`, if it is missing: its contents are unknown then, not gone.
   */
  async root(): Promise<string> {
    try {
      return await realpath(this.path);
    } catch (cause) {
      throw new RegistryError(
        'unavailable',
        `${this.path}: the folder cannot be read; create it, or name another one`,
        { cause },
      );
    }
  }

  /**
   * The real path of `path`, which is relative to the folder; `undefined` if it is missing or outside of the folder.
   */
  async find(path: string): Promise<string | undefined> {
    const root = await this.root();
    try {
      const found = await realpath(join(root, path));
      return isWithin(root, found) ? found : undefined;
    } catch (cause) {
      if (isAbsent(cause)) return undefined;
      throw unreadable(join(root, path), cause);
    }
  }

  /**
   * Opens the file at `path`, relative to the folder. Checks its place after opening, because it could be replaced
   * before.
   * @throws RegistryError `not-found` if there is no file.
   */
  async open(path: string): Promise<ContainedFile> {
    const root = await this.root();
    // Does not wait for the writer of a pipe.
    const handle = await this.#open(join(root, path), constants.O_NONBLOCK);
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile() || !(await isOpenWithin(root, handle, join(root, path))))
        throw new RegistryError('not-found', `${join(this.path, path)}: there is no such file`);
      return new ContainedFile(handle, stats);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * The content of the file at `path`, relative to the folder.
   * @throws RegistryError `not-found` if there is no file, `too-large` if it has more than `limit` bytes.
   */
  async read(path: string, limit: number): Promise<Buffer> {
    await using file = await this.open(path);
    if (file.size > limit)
      throw new RegistryError('too-large', `${join(this.path, path)}: ${file.size} bytes are more than ${limit}`);
    try {
      const { bytesRead, buffer } = await file.handle.read({ buffer: Buffer.alloc(file.size), position: 0 });
      return buffer.subarray(0, bytesRead);
    } catch (cause) {
      throw unreadable(join(this.path, path), cause);
    }
  }

  /**
   * The entries of the folder at a real path; none if it is outside of this folder.
   * @throws the system's error if it cannot be read.
   */
  async entries(real: string): Promise<readonly Dirent[]> {
    const root = await this.root();
    await using handle = await open(real, constants.O_RDONLY | constants.O_DIRECTORY);
    if (!(await isOpenWithin(root, handle, real))) return [];
    try {
      return await readdir(descriptorPath(handle), { withFileTypes: true });
    } catch (error) {
      if (!isAbsent(error)) throw error;
      return await readdir(real, { withFileTypes: true });
    }
  }

  async #open(path: string, flags: number): Promise<FileHandle> {
    try {
      return await open(path, constants.O_RDONLY | flags);
    } catch (cause) {
      throw unreadable(path, cause);
    }
  }
}

/** Says whether the system's `error` means that there is no readable file. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && ABSENT.has(error.code);
}

function isWithin(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/**
 * Says whether the open file is in the folder `root`: by its descriptor on Linux, elsewhere by comparing it with what
 * is at `path` now.
 */
async function isOpenWithin(root: string, handle: FileHandle, path: string): Promise<boolean> {
  try {
    return isWithin(root, await readlink(descriptorPath(handle)));
  } catch (error) {
    if (!isAbsent(error)) throw unreadable(path, error);
  }
  try {
    const real = await realpath(path);
    const [opened, there] = await Promise.all([handle.stat({ bigint: true }), lstat(real, { bigint: true })]);
    return isWithin(root, real) && opened.dev === there.dev && opened.ino === there.ino;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function descriptorPath({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

function unreadable(path: string, cause: unknown): RegistryError {
  if (isAbsent(cause)) return new RegistryError('not-found', `${path}: there is no such file`, { cause });
  return new RegistryError('unavailable', `${path}: cannot be read (${messageOf(cause)})`, { cause });
}
