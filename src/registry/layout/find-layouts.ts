/** Looks for image layouts (OCI image-spec, image-layout.md). */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbsent, type ContainedFolder } from './contained-folder.ts';

/** The files that make a folder an image layout. */
export const LAYOUT_FILE = 'oci-layout';
export const INDEX_FILE = 'index.json';
const BLOBS = 'blobs';

/**
 * The paths, relative to `folder` and with `/`, of all image layouts in it at any depth, sorted; `''` is the folder itself.
 * A folder below that cannot be read is told to `onUnreadable` and passed over.
 */
export async function findLayouts(folder: ContainedFolder, onUnreadable: (path: string, error: unknown) => void): Promise<string[]> {
  const found: string[] = [];

  async function search(path: string, real: string, above: ReadonlySet<string>): Promise<void> {
    // A link to a folder above it would lead in circles.
    if (above.has(real)) return;
    let entries;
    try {
      entries = await readdir(real, { withFileTypes: true });
    } catch (error) {
      if (!isAbsent(error)) onUnreadable(real, error);
      return;
    }
    const names = new Set(entries.map(({ name }) => name));
    const isLayout = names.has(LAYOUT_FILE) && names.has(INDEX_FILE);
    if (isLayout) found.push(path);
    const here = new Set(above).add(real);
    for (const entry of entries) {
      if (isLayout && entry.name === BLOBS) continue;
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) await search(below, join(real, entry.name), here);
      else if (entry.isSymbolicLink()) {
        const target = await folder.find(below);
        if (target !== undefined && (await isFolder(target))) await search(below, target, here);
      }
    }
  }

  await search('', await folder.root(), new Set());
  return found.toSorted();
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Gone since it was found.
    return false;
  }
}
