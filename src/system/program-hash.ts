/** Tells one build of the program from another, also if they have the same version. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { PACKAGE_FOLDER } from './package-folder.ts';

/** The folder of the code: `src` or `dist`. */
const [CODE = ''] = relative(PACKAGE_FOLDER, import.meta.filename).split(sep);

/** Returns a hash of the program's code and of the page. */
export async function programHash(): Promise<string> {
  const hashed = createHash('sha256');
  for (const folder of [CODE, 'public']) {
    const entries = await readdir(join(PACKAGE_FOLDER, folder), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    for (const file of files.toSorted()) hashed.update(await readFile(file));
  }
  return hashed.digest('base64url');
}
