/** Files that are whole or not there: written beside their place, synced, and renamed. */
import { randomBytes } from 'node:crypto';
import { close, constants, open, writeFile } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open as openHandle, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** How a temporary file's name ends; one that a crash left behind may be removed. */
export const TEMPORARY_SUFFIX = '.regindexer-tmp';

const MODE = 0o644;
/** A file that is new, and on disk when what was written to it is: syncing it afterwards would take longer. */
const NEW_AND_SYNCED = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC;

/** What to do where the system does not let a file be written. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that disk',
  EDQUOT: 'make room, or raise the quota',
  EROFS: 'make that disk writable, or name another folder',
  EACCES: 'let this user write there, or name another folder',
};

/** Those of `node:fs/promises` take longer: they make a handle for each file. */
const [openFile, writeAll, closeFile] = [promisify(open), promisify(writeFile), promisify(close)];

/** Names of temporary files differ by the process, or the thread, that writes them, and by file. */
const WRITER = randomBytes(6).toString('hex');
let files = 0;

/**
 * Makes `path` what `content` is or writes, at once and durably; if that fails, `path` is as it was.
 * The folder must exist.
 * @throws Error with the path and what to do, with the system's as its cause; and what `content` throws of its own.
 */
export async function writeFileWhole(path: string, content: Uint8Array | ((file: FileHandle) => Promise<void>)): Promise<void> {
  try {
    await replaceFile(path, content);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const advice = ADVICE[cause.code ?? ''];
    throw new Error(`${path} could not be written: ${cause.message}${advice === undefined ? '' : `; ${advice}`}`, { cause });
  }
}

async function replaceFile(path: string, content: Uint8Array | ((file: FileHandle) => Promise<void>)): Promise<void> {
  const temporary = `${path}.${WRITER}${files++}${TEMPORARY_SUFFIX}`;
  try {
    if (typeof content === 'function') await writeWith(temporary, content);
    else await writeNew(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    // Where it could not be made, it can often not be looked for.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function writeNew(path: string, content: Uint8Array): Promise<void> {
  const file = await openFile(path, NEW_AND_SYNCED, MODE);
  try {
    await writeAll(file, content);
  } finally {
    await closeFile(file);
  }
}

async function writeWith(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await openHandle(path, 'wx+', MODE);
  try {
    await write(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

/** Removes what a crash left of files in `folder` whose names start with `prefix`. */
export async function removeTemporaryFiles(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(prefix) && name.endsWith(TEMPORARY_SUFFIX)) await rm(join(folder, name), { force: true });
  }
}
