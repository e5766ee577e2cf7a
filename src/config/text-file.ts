/** Reads small text files, and says in a few words why one cannot be read. */
import { accessSync, closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';

/** A file's text, or what is wrong with it, in words that follow its name. */
export type TextFile = { readonly text: string } | { readonly fault: string; readonly cause?: unknown };

/** Reads a file of UTF-8 text of at most `limit` bytes; a byte order mark is left out. */
export function readTextFile(file: string, limit: number): TextFile {
  let bytes: Uint8Array | string;
  try {
    bytes = readAtMost(file, limit + 1);
  } catch (cause) {
    return { fault: systemFault(cause), cause };
  }
  if (typeof bytes === 'string') return { fault: bytes };
  if (bytes.length > limit) return { fault: `is larger than ${limit / 1024} KiB` };
  if (bytes.includes(0)) return { fault: 'is a binary file' };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    return { fault: 'is not in UTF-8', cause };
  }
}

/** Returns why `file` cannot be read, or as an `output` be replaced or made; `undefined` if it can. */
export function fileFault(file: string, use: 'readable' | 'output' = 'readable'): string | undefined {
  try {
    if (use === 'readable') accessSync(file, constants.R_OK);
    const stats = statSync(file, { throwIfNoEntry: false });
    return stats && kindFault(stats);
  } catch (error) {
    return systemFault(error);
  }
}

/** Returns the first `limit` bytes of a file, or what is wrong with it. Never waits: a pipe may never be written to. */
function readAtMost(file: string, limit: number): Uint8Array | string {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const fault = kindFault(fstatSync(descriptor));
    if (fault !== undefined) return fault;
    const buffer = new Uint8Array(limit);
    let length = 0;
    let read: number;
    do {
      read = readSync(descriptor, buffer, length, limit - length, null);
      length += read;
    } while (read > 0);
    return buffer.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

function kindFault(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined;
  return stats.isDirectory() ? IS_FOLDER : 'is a pipe or a device, not a regular file';
}

const IS_FOLDER = 'is a folder';

const FAULTS: ReadonlyMap<unknown, string> = new Map([
  ['EISDIR', IS_FOLDER],
  ['ENOENT', 'does not exist'],
  ['ENOTDIR', 'does not exist'],
  ['EACCES', 'may not be read by this user'],
  ['EPERM', 'may not be read by this user'],
]);

function systemFault(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return FAULTS.get(code) ?? `cannot be read (${String(code ?? error)})`;
}
