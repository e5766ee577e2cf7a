/** Says whether a file is still the one that was read. */
import { stat } from 'node:fs/promises';

/** Another text whenever the file may be another; `undefined` if there is none. */
export async function fileStamp(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Says whether a file system's `error` means that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
