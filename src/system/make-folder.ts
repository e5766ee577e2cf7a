/** Makes folders where they are missing. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder with those above it, unless it is there. Node.js itself would say of a disk that is read-only that the folder is missing,
 * and would try for ever where the system lets nobody make one, as below `/proc`.
 * @throws the system's error
 */
export function makeFolder(path: string): void {
  if (isMade(path)) return;
  const above = dirname(path);
  if (above !== path) makeFolder(above);
  // The second time, it says why not.
  if (!isMade(path)) mkdirSync(path);
}

/** Says whether it is there now, which it cannot be where what is above it is missing. */
function isMade(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return true;
    throw error;
  }
}
