/** What a rebuild changed, app by app. */
import type { AppVersions } from './app-list.ts';

/** So many ids are named; the others are counted. */
const MAX_NAMED = 20;

export interface ChangedApps {
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

export function appChanges(before: AppVersions, after: AppVersions): AppChanges {
  const added = Object.keys(after).filter((id) => !Object.hasOwn(before, id));
  const removed = Object.keys(before).filter((id) => !Object.hasOwn(after, id));
  const updated = Object.keys(after).filter((id) => Object.hasOwn(before, id) && before[id] !== after[id]);
  return { added: named(added), updated: named(updated), removed: named(removed) };
}

function named(ids: readonly string[]): ChangedApps {
  return { count: ids.length, ids: ids.slice(0, MAX_NAMED) };
}
