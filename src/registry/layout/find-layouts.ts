/** Finds image layouts in a folder (OCI image-spec, image-layout.md). */
import { stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { isAbsent, type ContainedFolder } from './contained-folder.ts';
import { lowerCased } from './name-layouts.ts';

/** The files that make a folder an image layout. */
const LAYOUT_FILE = 'oci-layout';
/** The file that names a layout's manifests (OCI image-spec, image-layout.md, "index.json file"). */
export const INDEX_FILE = 'index.json';
const BLOBS = 'blobs';

/**
 * The sorted paths, relative to `folder`, of all image layouts in it at any depth; `''` is the folder itself.
 * A symbolic link to a layout is one more path of it; links to other folders are not followed, so that each is searched
 * once.
 * @param onUnreadable is called for each folder below that cannot be read, which is skipped
 * @throws RegistryError `unavailable` if the folder itself is missing.
 */
export async function findLayouts(
  folder: ContainedFolder,
  onUnreadable: (path: string, error: unknown) => void,
): Promise<string[]> {
  const found: string[] = [];

  async function search(path: string, real: string): Promise<void> {
    let entries;
    try {
      entries = await folder.entries(real);
    } catch (error) {
      if (!isAbsent(error)) onUnreadable(real, error);
      return;
    }
    const names = new Set(entries.map(({ name }) => name));
    const isLayout = names.has(LAYOUT_FILE) && names.has(INDEX_FILE);
    if (isLayout) found.push(path);
    for (const entry of entries) {
      if (isLayout && entry.name === BLOBS) continue;
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) await search(below, join(real, entry.name));
      else if (entry.isSymbolicLink()) {
        const target = await folder.find(below);
        // A link to a folder above would lead in circles.
        if (target !== undefined && target !== real && !real.startsWith(target + sep) && (await isLayoutAt(target)))
          found.push(below);
      }
    }
  }

  await search('', await folder.root());
  return found.toSorted();
}

/** The sorted paths of the layouts whose path is `name` if case is ignored. */
export async function findLayoutsAlike(folder: ContainedFolder, name: string): Promise<string[]> {
  let paths = [''];
  for (const part of name.split('/')) {
    const below = await Promise.all(
      paths.map(async (path) =>
        (await namesIn(folder, path))
          .filter((entry) => lowerCased(entry) === part)
          .map((entry) => (path === '' ? entry : `${path}/${entry}`)),
      ),
    );
    paths = below.flat();
  }
  const layouts = await Promise.all(paths.map(async (path) => ((await hasLayout(folder, path)) ? [path] : [])));
  return layouts.flat().toSorted();
}

/** Says whether there is an image layout at `path`, relative to `folder`. */
export async function hasLayout(folder: ContainedFolder, path: string): Promise<boolean> {
  const files = await Promise.all([LAYOUT_FILE, INDEX_FILE].map((file) => folder.find(`${path}/${file}`)));
  return files.every((file) => file !== undefined);
}

/** The names in a folder; none if it cannot be read. */
async function namesIn(folder: ContainedFolder, path: string): Promise<readonly string[]> {
  const real = await folder.find(path);
  if (real === undefined) return [];
  try {
    return (await folder.entries(real)).map((entry) => entry.name);
  } catch {
    return [];
  }
}

async function isLayoutAt(path: string): Promise<boolean> {
  try {
    const files = await Promise.all([LAYOUT_FILE, INDEX_FILE].map((file) => stat(join(path, file))));
    return files.every((file) => file.isFile());
  } catch {
    return false;
  }
}
