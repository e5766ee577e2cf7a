/** The apps of an index, as a list to choose from: one entry for all images of an app. */
import { createHash } from 'node:crypto';
import { rankingOf } from '../globs.ts';
import { isPngUri } from '../png-uri.ts';
import type { ShownImage } from '../snapshot/write-snapshot.ts';
import { Winners } from '../winners.ts';
import type { Appdata } from './appdata.ts';
import { NO_APPDATA } from './appdata.ts';
import type { AppKind, EndOfLife, FlatpakRef, Label } from './flatpak-image.ts';
import { builtAt, endOfLifeOf, isoSeconds, kindOf, parseFlatpakRef } from './flatpak-image.ts';
import { parseKeyFile } from './key-file.ts';
import { parseAppdata } from './parse-appdata.ts';

const MAX_SUMMARY = 300;
const MAX_KEYWORDS = 20;
/** Longer ones are no URIs of files. */
const MAX_ICON_URI = 1024;

/** Most of what appdata says, and nothing that a list shows. */
const LONG_ELEMENTS = ['description', 'releases', 'screenshots'];

/** One app, runtime or extension. Texts are empty where nothing is told. */
export interface AppEntry extends EndOfLife {
  readonly id: string;
  readonly kind: AppKind;
  /** The id where there is no name. */
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  readonly keywords: readonly string[];
  /** A URI, relative to the index's document; empty for none. Where the icon is in the index itself, this server gives it out there. */
  readonly icon: string;
  /** GOARCH names, sorted. */
  readonly architectures: readonly string[];
  /** Sorted. */
  readonly tags: readonly string[];
  /** ISO 8601: when the newest of its images was built. */
  readonly updated: string;
}

/** A hash of all that an app's images are, by id: an equal one means that nothing about the app changed. */
export type AppVersions = Readonly<Record<string, string>>;

interface Collected {
  readonly images: string[];
  readonly architectures: Set<string>;
  readonly tags: Set<string>;
  updated: number;
  /** Of the image that speaks for the app. */
  rank: readonly number[];
  shown: Pick<AppEntry, 'kind' | 'name' | 'summary' | 'developer' | 'keywords' | 'icon' | keyof EndOfLife>;
}

/** Collects the list image by image, in the order of the document. */
export class AppListBuilder {
  readonly #index: string;
  readonly #winners = new Winners();
  readonly #placeOf: PlaceOf;
  readonly #apps = new Map<string, Collected>();
  #lastAppdata: { readonly id: string; readonly xml: string; readonly appdata: Appdata } = { id: '', xml: '', appdata: NO_APPDATA };

  /** @param index its name, and which of its repositories are preferred */
  constructor(index: string, repositoryPriority: readonly string[]) {
    this.#index = index;
    this.#placeOf = placesBy(repositoryPriority);
  }

  /** Passes over images that are not Flatpaks, or of which clients get another one. */
  add(repository: string, allTags: readonly string[], image: ShownImage): void {
    const label = labelOf(image);
    const ref = parseFlatpakRef(label('org.flatpak.ref'));
    if (ref === undefined) return;
    const tags = this.#winners.add({ ...image, repository, tags: allTags }, label) ?? [];
    if (tags.length === 0) return;
    let app = this.#apps.get(ref.id);
    if (app === undefined) {
      app = { images: [], architectures: new Set(), tags: new Set(), updated: 0, rank: [], shown: { kind: 'app', name: '', summary: '', developer: '', keywords: [], icon: '', endOfLife: '', replacedBy: '' } };
      this.#apps.set(ref.id, app);
    }
    app.images.push(`${repository} ${tags.join(' ')} ${image.digest}`);
    app.architectures.add(image.architecture);
    for (const tag of tags) app.tags.add(tag);
    app.updated = Math.max(app.updated, builtAt(label));
    const rank = rankOf(ref, tags, image.architecture, label, this.#placeOf(repository));
    if (app.images.length > 1 && !outranks(rank, app.rank)) return;
    app.rank = rank;
    app.shown = this.#shown(ref, label);
  }

  /** Sorted by name, without regard to case and accents, then by id. */
  entries(): readonly AppEntry[] {
    return [...this.#apps]
      .map(([id, { shown, architectures, tags, updated }]) => ({ key: sortKey(shown.name), entry: { id, ...shown, architectures: [...architectures].toSorted(), tags: [...tags].toSorted(), updated: isoSeconds(updated) } }))
      .toSorted((a, b) => compare(a.key, b.key) || compare(a.entry.id, b.entry.id))
      .map(({ entry }) => entry);
  }

  /** Sorted by id. */
  versions(): AppVersions {
    const versions = [...this.#apps].map(([id, { images }]) => [id, createHash('sha256').update(images.join('\n')).digest('base64url').slice(0, 22)] as const);
    return Object.fromEntries(versions.toSorted(([a], [b]) => compare(a, b)));
  }

  #shown(ref: FlatpakRef, label: Label): Collected['shown'] {
    const xml = label('org.freedesktop.appstream.appdata') ?? '';
    // Often the same for every architecture and tag.
    const { id } = ref;
    if (xml !== this.#lastAppdata.xml || id !== this.#lastAppdata.id) this.#lastAppdata = { id, xml, appdata: parseAppdata(xml, { id, passedOver: LONG_ELEMENTS }) };
    const { name, summary, developer, keywords } = this.#lastAppdata.appdata;
    return {
      kind: kindOf(ref, parseKeyFile(label('org.flatpak.metadata') ?? '')),
      name: name || ref.id,
      summary: summary.slice(0, MAX_SUMMARY),
      developer,
      keywords: keywords.slice(0, MAX_KEYWORDS),
      icon: this.#iconUri(ref.id, label),
      ...endOfLifeOf(label),
    };
  }

  #iconUri(id: string, label: Label): string {
    const icon = iconOf(label);
    if (isPngUri(icon)) return `../../api/apps/${id}/icon?index=${encodeURIComponent(this.#index)}&version=${versionOfIcon(icon)}`;
    return icon.length > MAX_ICON_URI || /^\s*data:/i.test(icon) ? '' : icon;
  }
}

/** Where a repository comes among all, the most wanted first. */
export type PlaceOf = (repository: string) => readonly [rank: number, order: number];

/** Places by `priority`, else in the order in which repositories are first asked for. */
export function placesBy(priority: readonly string[]): PlaceOf {
  const ranking = rankingOf(priority);
  const places = new Map<string, readonly [rank: number, order: number]>();
  return (repository) => {
    let place = places.get(repository);
    if (place === undefined) {
      place = [ranking(repository), places.size];
      places.set(repository, place);
    }
    return place;
  };
}

/**
 * Which of an app's images speaks for it, the first difference decides: what is meant for everybody, then the repository, then the
 * newest, then the most common architecture. Only within a repository by a time that images claim: else whoever may push to any
 * could speak for the apps of all.
 */
export function rankOf({ branch }: FlatpakRef, tags: readonly string[], architecture: string, label: Label, [rank, order]: ReturnType<PlaceOf>): readonly number[] {
  const latest = tags.includes('latest');
  return [Number(branch === 'stable' || latest), -rank, -order, builtAt(label), Number(latest), Number(architecture === 'amd64')];
}

/** Says whether a rank is higher than another one. */
export function outranks(rank: readonly number[], other: readonly number[]): boolean {
  const difference = rank.findIndex((value, index) => value !== other[index]);
  return difference !== -1 && (rank[difference] ?? 0) > (other[difference] ?? 0);
}

/** The larger icon: a URI, or its bytes instead; empty if there is none. */
export function iconOf(label: Label): string {
  return label('org.freedesktop.appstream.icon-128') ?? label('org.freedesktop.appstream.icon-64') ?? '';
}

/** Differs wherever the bytes of an icon do. @param icon as {@link iconOf} gives it */
export function versionOfIcon(icon: string): string {
  return createHash('sha256').update(icon).digest('base64url').slice(0, 22);
}

/** Reads what an image shows, be it a label or an annotation. */
export function labelOf({ labels, annotations }: ShownImage): Label {
  return (key) => (labels.find(([name]) => name === key) ?? annotations.find(([name]) => name === key))?.[1];
}

function sortKey(name: string): string {
  return name.normalize('NFKD').replace(/[\u0300-\u036F]/g, '').toLowerCase();
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
