/**
 * Maps image layouts to repositories, whose names are lower case, while folders often have the capitals of an app ID.
 */
import { isRepositoryName } from '../reference.ts';

/** The layouts that have a repository's name, and why the others have none. */
export interface NamedLayouts {
  /** The paths of layouts, by the name of their repository. */
  readonly paths: ReadonlyMap<string, string>;
  /** Why a layout is not shown as a repository. */
  readonly faults: readonly { readonly path: string; readonly fault: string }[];
}

/** `name` with ASCII letters in lower case. */
export function lowerCased(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/**
 * Names layouts by their paths in lower case. Of several paths that differ in case alone, only the one in lower case
 * gets the name.
 * @param paths relative to the folder; `''` is the folder itself
 * @param folder the folder's name
 */
export function nameLayouts(paths: readonly string[], folder: string): NamedLayouts {
  const written = (path: string): string => (path === '' ? folder : path);
  const named = new Map<string, string>();
  const faults: { path: string; fault: string }[] = [];
  for (const [name, alike] of Map.groupBy(paths, (path) => lowerCased(written(path)))) {
    if (!isRepositoryName(name)) {
      for (const path of alike)
        faults.push({
          path,
          fault: 'cannot name a repository; rename it to letters, digits and single . _ - between them',
        });
      continue;
    }
    const chosen = alike.length === 1 ? alike[0] : alike.find((path) => written(path) === name);
    if (chosen !== undefined) named.set(name, chosen);
    for (const path of alike)
      if (path !== chosen)
        faults.push({
          path,
          fault: `would be the repository ${name}, as would ${alike
            .filter((other) => other !== path)
            .map(written)
            .join(' and ')}: names of repositories are lower case; rename one of them`,
        });
  }
  return { paths: named, faults };
}
