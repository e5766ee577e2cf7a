/** Which apps a rebuild added, updated and removed. */

/** Ids that are listed; the others are only counted. */
const MAX_NAMED = 20;

interface ChangedApps {
  readonly count: number;
  /** The first ids, sorted. */
  readonly ids: readonly string[];
}

/** Apps that a new publication added, updated and removed. */
export interface AppChanges {
  readonly added: ChangedApps;
  /** Apps with other images or tags than before. */
  readonly updated: ChangedApps;
  readonly removed: ChangedApps;
}

/**
 * Compares the apps of replaced chunks with those of the new ones.
 * @param gone descriptions of the images in replaced chunks, by app id
 * @param added descriptions of the images in new chunks, by app id
 * @param kept ids of apps that also have images in unchanged chunks
 */
export function appChanges(
  gone: ReadonlyMap<string, string>,
  added: ReadonlyMap<string, string>,
  kept: ReadonlySet<string>,
): AppChanges {
  const changed = [...new Set([...gone.keys(), ...added.keys()])]
    .filter((id) => gone.get(id) !== added.get(id))
    .toSorted();
  const isNew = (id: string): boolean => !gone.has(id) && !kept.has(id);
  const isGone = (id: string): boolean => !added.has(id) && !kept.has(id);
  return {
    added: named(changed.filter(isNew)),
    updated: named(changed.filter((id) => !isNew(id) && !isGone(id))),
    removed: named(changed.filter(isGone)),
  };
}

function named(ids: readonly string[]): ChangedApps {
  return { count: ids.length, ids: ids.slice(0, MAX_NAMED) };
}
