/** Detects changes of files. */
import { stat } from 'node:fs/promises';

/**
 * A text that changes whenever the file may have changed; `undefined` if there is no file.
 * @throws the system's error
 */
export async function fileStamp(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Says whether the system's `error` means that the file is missing. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
