/** Which image layouts are which repositories: a repository's name has no capitals, a folder's may, as that of an app's ID has. */
import { isRepositoryName } from '../reference.ts';

export interface NamedLayouts {
  /** The paths of layouts, by the name of their repository. */
  readonly paths: ReadonlyMap<string, string>;
  /** Why each of the others is none. */
  readonly faults: readonly { readonly path: string; readonly fault: string }[];
}

/** `name` as a repository's may be, if nothing but capitals is in the way. */
export function lowerCased(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/**
 * Names layouts by their paths, in lower case where only one of them would have that name. Of several, one that is written so has it.
 * @param paths relative to a folder; `''` is the folder itself
 * @param folder its name
 */
export function nameLayouts(paths: readonly string[], folder: string): NamedLayouts {
  const written = (path: string): string => (path === '' ? folder : path);
  const named = new Map<string, string>();
  const faults: { path: string; fault: string }[] = [];
  for (const [name, alike] of Map.groupBy(paths, (path) => lowerCased(written(path)))) {
    if (!isRepositoryName(name)) {
      for (const path of alike) faults.push({ path, fault: 'cannot name a repository; rename it to letters, digits and single . _ - between them' });
      continue;
    }
    const chosen = alike.length === 1 ? alike[0] : alike.find((path) => written(path) === name);
    if (chosen !== undefined) named.set(name, chosen);
    for (const path of alike) if (path !== chosen) faults.push({ path, fault: `would be the repository ${name} like ${alike.filter((other) => other !== path).map(written).join(' and ')}, as names of repositories have no capitals; rename one of them` });
  }
  return { paths: named, faults };
}
