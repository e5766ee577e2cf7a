/** A folder of which nothing is read that is not really in it: symbolic links that lead out of it are as if they were not there. */
import type { Stats } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { messageOf } from '../../message-of.ts';
import { RegistryError } from '../registry-error.ts';

/** What the system says of a path at which there is nothing. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

export interface ContainedFile {
  /** Its real path. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

export class ContainedFolder {
  readonly path: string;

  /** `path` is absolute; nothing is looked at yet. */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * The folder's real path now.
   * @throws RegistryError `unavailable` if it is not there: then nobody knows what was in it.
   */
  async root(): Promise<string> {
    try {
      return await realpath(this.path);
    } catch (cause) {
      throw new RegistryError('unavailable', `${this.path}: the folder cannot be read; create it, or name another one`, { cause });
    }
  }

  /** The real path of what is at `path`, relative to the folder; `undefined` if there is nothing in the folder. */
  async find(path: string): Promise<string | undefined> {
    const root = await this.root();
    try {
      const found = await realpath(join(root, path));
      return found === root || found.startsWith(root.endsWith(sep) ? root : root + sep) ? found : undefined;
    } catch (cause) {
      if (isAbsent(cause)) return undefined;
      throw unreadable(join(root, path), cause);
    }
  }

  /**
   * The file at `path`, relative to the folder.
   * @throws RegistryError `not-found` if there is no file.
   */
  async file(path: string): Promise<ContainedFile> {
    const found = await this.find(path);
    const stats = found === undefined ? undefined : await statOf(found);
    if (found === undefined || stats?.isFile() !== true) throw new RegistryError('not-found', `${join(this.path, path)}: there is no such file`);
    return { path: found, size: stats.size };
  }

  /**
   * What is in the file at `path`, relative to the folder.
   * @throws RegistryError `not-found` if there is no file, `too-large` if it has more than `limit` bytes.
   */
  async read(path: string, limit: number): Promise<Buffer> {
    const file = await this.file(path);
    if (file.size > limit) throw new RegistryError('too-large', `${file.path}: ${file.size} bytes are more than ${limit}`);
    try {
      return await readFile(file.path);
    } catch (cause) {
      throw unreadable(file.path, cause);
    }
  }
}

/** Says whether the system's `error` means that there is nothing. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && ABSENT.has(error.code);
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): RegistryError {
  if (isAbsent(cause)) return new RegistryError('not-found', `${path}: there is no such file`, { cause });
  return new RegistryError('unavailable', `${path}: cannot be read (${messageOf(cause)})`, { cause });
}
