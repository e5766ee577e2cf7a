/** Finds runtimes that the apps of an index need and that clients may not find. */
import { amount } from '../../system/amount.ts';
import { DEFAULT_TAG } from '../../registry/reference.ts';
import type { ShownRepository } from '../render/document.ts';
import { labelOf } from './app-list.ts';
import { FLATPAK_REF, isWebUrl, parseFlatpakRef } from './flatpak-image.ts';
import { parseKeyFile } from './key-file.ts';

/** Flatpaks among some images, and the runtimes that they are or need. */
export interface RuntimeNeeds {
  /** Number of Flatpaks. */
  readonly flatpaks: number;
  /** Number of Flatpaks with the tag {@link DEFAULT_TAG}. */
  readonly offered: number;
  /** `ID/ARCHITECTURE/BRANCH` of the runtimes among them. */
  readonly runtimes: readonly string[];
  /** Runtimes that apps need, with the ids of these apps. */
  readonly needed: readonly (readonly [runtime: string, apps: readonly string[]])[];
}

/** Collects the needs of all images of `repositories`. */
export function runtimeNeeds(repositories: readonly ShownRepository[]): RuntimeNeeds {
  let flatpaks = 0;
  let offered = 0;
  const runtimes = new Set<string>();
  const needed = new Map<string, Set<string>>();
  const images = repositories.flatMap(({ images: own, lists }) => [
    ...own.map(({ tags, image }) => ({ tags, image })),
    ...lists.flatMap((list) => list.images.map(({ image }) => ({ tags: list.tags, image }))),
  ]);
  for (const { tags, image } of images) {
    const label = labelOf(image);
    const ref = parseFlatpakRef(label(FLATPAK_REF));
    if (ref === undefined) continue;
    flatpaks++;
    if (tags.includes(DEFAULT_TAG)) offered++;
    if (ref.type === 'runtime') {
      runtimes.add(`${ref.id}/${ref.architecture}/${ref.branch}`);
      continue;
    }
    // The image says where its runtime is.
    if (isWebUrl(label('org.flatpak.runtime-repo'))) continue;
    const runtime = parseKeyFile(label('org.flatpak.metadata') ?? '')
      .get('Application')
      ?.get('runtime');
    if (runtime === undefined || parseFlatpakRef(`runtime/${runtime}`) === undefined) continue;
    needed.set(runtime, (needed.get(runtime) ?? new Set()).add(ref.id));
  }
  return {
    flatpaks,
    offered,
    runtimes: [...runtimes].toSorted(),
    needed: [...needed].map(([runtime, apps]) => [runtime, [...apps]] as const),
  };
}

/** Joins the needs of all chunks of an index. */
export function joinNeeds(parts: readonly RuntimeNeeds[]): RuntimeNeeds {
  const needed = new Map<string, Set<string>>();
  for (const part of parts)
    for (const [runtime, apps] of part.needed) needed.set(runtime, new Set([...(needed.get(runtime) ?? []), ...apps]));
  return {
    flatpaks: parts.reduce((sum, { flatpaks }) => sum + flatpaks, 0),
    offered: parts.reduce((sum, { offered }) => sum + offered, 0),
    runtimes: [...new Set(parts.flatMap(({ runtimes }) => runtimes))].toSorted(),
    needed: [...needed]
      .map(([runtime, apps]) => [runtime, [...apps]] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  };
}

/** Returns a message for each needed runtime that is not in `available`. */
export function missingRuntimes({ needed }: RuntimeNeeds, available: ReadonlySet<string>): readonly string[] {
  return needed
    .filter(([runtime]) => !available.has(runtime))
    .map(([runtime, apps]) => {
      const [app = ''] = apps;
      const needing = apps.length === 1 ? `${app} needs` : `${app} and ${amount(apps.length - 1, 'more app')} need`;
      return `${needing} the runtime ${runtime}, which is not in any index here: push it, or set runtime_repo to the .flatpakrepo that has it`;
    });
}
