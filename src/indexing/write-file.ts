/** Files that are whole or not there: written beside their place, synced, and renamed. */
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** How a temporary file's name ends; one that a crash left behind may be removed. */
export const TEMPORARY_SUFFIX = '.regindexer-tmp';

/**
 * Makes `path` what `write` writes, at once and durably; if it throws, `path` is as it was.
 * The folder must exist.
 */
export async function writeFileWhole(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}${TEMPORARY_SUFFIX}`;
  const file = await open(temporary, 'wx+', 0o644);
  try {
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes renames in the folder of `path` durable. */
export async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes what a crash left of files in `folder` whose names start with `prefix`. */
export async function removeTemporaryFiles(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(prefix) && name.endsWith(TEMPORARY_SUFFIX)) await rm(join(folder, name), { force: true });
  }
}
