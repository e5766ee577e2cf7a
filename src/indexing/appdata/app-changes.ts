/** What a rebuild changed, app by app. */

/** So many ids are named; the others are counted. */
const MAX_NAMED = 20;

interface ChangedApps {
  readonly count: number;
  /** The first of them, sorted. */
  readonly ids: readonly string[];
}

export interface AppChanges {
  readonly added: ChangedApps;
  /** Apps of which an image or its tags are others than before. */
  readonly updated: ChangedApps;
  readonly removed: ChangedApps;
}

/**
 * @param gone what the images of apps were in what was replaced, by app
 * @param added what they are in what has replaced it
 * @param kept the apps of which something stays as it was
 */
export function appChanges(gone: ReadonlyMap<string, string>, added: ReadonlyMap<string, string>, kept: ReadonlySet<string>): AppChanges {
  const changed = [...new Set([...gone.keys(), ...added.keys()])].filter((id) => gone.get(id) !== added.get(id)).toSorted();
  const isNew = (id: string): boolean => !gone.has(id) && !kept.has(id);
  const isGone = (id: string): boolean => !added.has(id) && !kept.has(id);
  return { added: named(changed.filter(isNew)), updated: named(changed.filter((id) => !isNew(id) && !isGone(id))), removed: named(changed.filter(isGone)) };
}

function named(ids: readonly string[]): ChangedApps {
  return { count: ids.length, ids: ids.slice(0, MAX_NAMED) };
}
