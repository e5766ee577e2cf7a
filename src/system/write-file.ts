/** Writes files atomically: to a temporary file beside them, which is synced and renamed. */
import { randomBytes } from 'node:crypto';
import { close, constants, open, writeFile } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open as openHandle, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The suffix of temporary files, which may be removed after a crash. */
export const TEMPORARY_SUFFIX = '.regindexer-tmp';
/** The end of their names, after the name of the file that they become. */
const TEMPORARY_END = /\.[0-9a-f]+\.regindexer-tmp$/;

const MODE = 0o644;
/** Flags for a new file whose writes are synced, which is faster than syncing afterwards. */
const NEW_AND_SYNCED = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC;

/** Advice by the system's error code. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that disk',
  EDQUOT: 'make room, or raise the quota',
  EROFS: 'make that disk writable, or name another folder',
  EACCES: 'let this user write there, or name another folder',
};

/** Faster than `node:fs/promises`, which creates a FileHandle for each file. */
const [openFile, writeAll, closeFile] = [promisify(open), promisify(writeFile), promisify(close)];

/** Identifies the process or thread in the names of temporary files. */
const WRITER = randomBytes(6).toString('hex');
let files = 0;

/**
 * Replaces the file at `path` atomically and durably; if that fails, it is unchanged. The folder must exist.
 * @param content the bytes, or a function that writes them
 * @throws Error with the path, advice and the system's error as its cause; and the errors of `content`.
 */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | ((file: FileHandle) => Promise<void>),
): Promise<void> {
  await writing(path, () => replaceFile(path, content));
}

/**
 * Runs `write`, which writes the file at `path`.
 * @throws as {@link writeFileAtomically} does
 */
export async function writing(path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const advice = ADVICE[cause.code ?? ''];
    throw new Error(`${path} could not be written: ${cause.message}${advice === undefined ? '' : `; ${advice}`}`, {
      cause,
    });
  }
}

async function replaceFile(path: string, content: Uint8Array | ((file: FileHandle) => Promise<void>)): Promise<void> {
  const temporary = `${path}.${WRITER}${files++}${TEMPORARY_SUFFIX}`;
  try {
    if (typeof content === 'function') await writeWith(temporary, content);
    else await writeNew(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    // Best effort: a file that could not be created often cannot be removed either.
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

/** Removes the temporary files that a crash left in `folder` of the files with these names. */
export async function removeTemporaryFiles(folder: string, names: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const file = name.replace(TEMPORARY_END, '');
    if (file !== name && names.has(file)) await rm(join(folder, name), { force: true });
  }
}
