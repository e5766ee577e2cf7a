/** What the Flatpaks of an index need that clients may not find. */
import { amount } from '../../amount.ts';
import type { ShownImage } from '../snapshot/write-snapshot.ts';
import { labelOf } from './app-list.ts';
import { isWebUrl, parseFlatpakRef } from './flatpak-image.ts';
import { parseKeyFile } from './key-file.ts';

/** What `flatpak remote-add` asks for if its URL names no tag. */
export const DEFAULT_TAG = 'latest';

export interface RuntimeNeeds {
  /** Says whether clients that name no tag get any of its Flatpaks; so if it has none. */
  readonly offersDefaultTag: boolean;
  /** `ID/ARCHITECTURE/BRANCH` of the runtimes that are in it. */
  readonly runtimes: readonly string[];
  /** Those that its apps need. */
  readonly needed: readonly NeededRuntime[];
}

interface NeededRuntime {
  readonly runtime: string;
  /** How many apps need it, and the first of them. */
  readonly apps: number;
  readonly app: string;
}

/** Collects the needs image by image. */
export class RuntimeNeedsBuilder {
  #flatpaks = 0;
  #offered = 0;
  readonly #runtimes = new Set<string>();
  readonly #apps = new Map<string, Set<string>>();

  /** Passes over images that are not Flatpaks. */
  add(_repository: string, tags: readonly string[], image: ShownImage): void {
    const label = labelOf(image);
    const ref = parseFlatpakRef(label('org.flatpak.ref'));
    if (ref === undefined) return;
    this.#flatpaks++;
    if (tags.includes(DEFAULT_TAG)) this.#offered++;
    if (ref.type === 'runtime') {
      this.#runtimes.add(`${ref.id}/${ref.architecture}/${ref.branch}`);
      return;
    }
    // Its image says where the runtime is.
    if (isWebUrl(label('org.flatpak.runtime-repo'))) return;
    const runtime = parseKeyFile(label('org.flatpak.metadata') ?? '').get('Application')?.get('runtime');
    if (runtime === undefined || parseFlatpakRef(`runtime/${runtime}`) === undefined) return;
    const apps = this.#apps.get(runtime);
    if (apps === undefined) this.#apps.set(runtime, new Set([ref.id]));
    else apps.add(ref.id);
  }

  build(): RuntimeNeeds {
    return {
      offersDefaultTag: this.#flatpaks === 0 || this.#offered > 0,
      runtimes: [...this.#runtimes].toSorted(),
      needed: [...this.#apps].map(([runtime, apps]) => ({ runtime, apps: apps.size, app: [...apps][0] ?? '' })).toSorted((a, b) => (a.runtime < b.runtime ? -1 : 1)),
    };
  }
}

/** A line for each runtime that apps need and that is none of `available`. */
export function missingRuntimes({ needed }: RuntimeNeeds, available: ReadonlySet<string>): readonly string[] {
  return needed
    .filter(({ runtime }) => !available.has(runtime))
    .map(({ runtime, apps, app }) => {
      const needing = apps === 1 ? `${app} needs` : `${app} and ${amount(apps - 1, 'more app')} need`;
      return `${needing} the runtime ${runtime}, which is in no index here; set runtime_repo to the .flatpakrepo that has it, or push it`;
    });
}
