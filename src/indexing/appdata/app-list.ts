/** The list of an index's apps: one entry for all images of an app. */
import { createHash, hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LRUCache } from 'lru-cache';
import { compareTexts } from '../../system/compare-texts.ts';
import { DEFAULT_TAG } from '../../registry/reference.ts';
import { rankingOf } from '../select/wanted.ts';
import { isPngUri } from '../icons/png-uri.ts';
import type { PlacedImage, ShownImage, ShownRepository } from '../render/document.ts';
import type { Appdata } from './appdata.ts';
import { mainCategories } from './categories.ts';
import type { AppKind, EndOfLife, FlatpakRef, LabelReader } from './flatpak-image.ts';
import { builtAt, endOfLifeOf, FLATPAK_REF, isoSeconds, kindOf, parseFlatpakRef } from './flatpak-image.ts';
import { parseKeyFile } from './key-file.ts';
import { parseAppdata } from './parse-appdata.ts';
import { urlsOf } from '../screenshots/screenshots.ts';

/** Characters of a summary, and number of keywords, in the list. */
export const MAX_SUMMARY = 300;
export const MAX_KEYWORDS = 20;
/** Longer values are not taken for URIs. */
const MAX_ICON_URI = 1024;

/** The largest elements of appdata, of which the list shows nothing. */
const LONG_ELEMENTS = ['description', 'releases'];
/**
 * Recently parsed appdata, by app and hash: other indexes, tags and architectures often share it, and a chunk is
 * rendered with all its apps.
 */
const recentAppdata = new LRUCache<string, ListedAppdata>({ max: 4096 });

/** Part of the app data that the list takes. */
interface ListedAppdata extends Pick<Appdata, 'name' | 'summary' | 'developer' | 'keywords' | 'categories'> {
  readonly pictures: readonly string[];
}

/** One app, runtime or extension in the list. Unknown texts are empty. */
export interface AppEntry extends EndOfLife {
  readonly id: string;
  readonly kind: AppKind;
  /** The id if there is no name. */
  readonly name: string;
  readonly summary: string;
  readonly developer: string;
  readonly keywords: readonly string[];
  /** See {@link mainCategories}. */
  readonly categories: readonly string[];
  /**
   * A URI relative to the index's document; empty if there is no icon. An icon inside the index is served by the API.
   */
  readonly icon: string;
  /** GOARCH names, sorted. */
  readonly architectures: readonly string[];
  /** Sorted. */
  readonly tags: readonly string[];
  /** When the newest of its images was built, in ISO 8601; empty if unknown. */
  readonly updated: string;
  /** When the index first had the app, in ISO 8601; empty if it did from its first list of apps on. */
  readonly added: string;
  /** When its images or their tags last changed in the index, in ISO 8601; empty if they have not since its first list. */
  readonly changed: string;
}

/** Facts about an app in one chunk of an index. */
export interface AppRecord {
  /** Repository, tags and digest of each of its images, in one text. */
  readonly images: readonly string[];
  readonly architectures: readonly string[];
  readonly tags: readonly string[];
  /** When the newest of its images was built, in seconds since the epoch; 0 if unknown. */
  readonly updated: number;
  /** Repository and rank of the image that represents the app in this chunk; see {@link rankOf}. */
  readonly repository: string;
  readonly rank: Rank;
  readonly shown: Pick<
    AppEntry,
    'kind' | 'name' | 'summary' | 'developer' | 'keywords' | 'categories' | 'icon' | keyof EndOfLife
  >;
  /** URLs of the screenshots that are shown. */
  readonly pictures: readonly string[];
}

/** Records by app id. */
export type AppRecords = Readonly<Record<string, AppRecord>>;

/**
 * Collects the records of the apps in `repositories`, which are in the order of the document.
 * @param index the index's name
 * @param priority the index's `repositoryPriority`
 */
export function appRecords(
  index: string,
  priority: readonly string[],
  repositories: readonly ShownRepository[],
): AppRecords {
  const collector = new Collector(index, priority);
  for (const { name, images, lists } of repositories) {
    for (const { tags, ...image } of images) collector.add(name, tags, image);
    for (const list of lists) for (const image of list.images) collector.add(name, list.tags, image);
  }
  return collector.records();
}

/** The apps of a chunk. */
export interface ChunkOfApps {
  /** Ids of the apps. */
  readonly appIds: readonly string[];
  /** Gzipped JSON of their {@link AppRecords}. */
  readonly apps: Buffer;
}

/**
 * Decodes the records of a chunk's apps.
 * @throws Error with zlib's `code` if they are damaged
 */
export async function appRecordsOf({ apps }: ChunkOfApps): Promise<AppRecords> {
  return JSON.parse((await promisify(gunzip)(apps)).toString()) as AppRecords;
}

/** The images of one app, and when they changed, to tell that they have changed again. */
export interface SeenApp extends Pick<AppEntry, 'added' | 'changed'> {
  /** Hash of its images and their tags. */
  readonly images: string;
}

/** Apps that a list has shown, by id. */
export type SeenApps = Readonly<Record<string, SeenApp>>;

/** An app of the list with its sort key. */
interface ListedApp {
  readonly entry: AppEntry;
  readonly key: string;
  readonly images: string;
  readonly pictures: readonly string[];
}

/** Sorts entries by name (without case and accents), then by id. */
export function sortEntries(entries: readonly AppEntry[]): readonly AppEntry[] {
  return sorted(entries.map((entry) => ({ entry, key: sortKey(entry.name) }))).map(({ entry }) => entry);
}

function sorted<App extends Pick<ListedApp, 'entry' | 'key'>>(apps: readonly App[]): readonly App[] {
  return apps.toSorted((a, b) => compareTexts(a.key, b.key) || compareTexts(a.entry.id, b.entry.id));
}

/** The list of an index's apps, updated incrementally: unchanged entries stay the same objects. */
export class AppList {
  readonly #ranking: (repository: string) => number;
  /** Apps of the list that this one continues; none after the first update. */
  #continued: ReadonlyMap<string, SeenApp> | undefined;
  #chunks: ReadonlySet<ChunkOfApps> = new Set();
  /** Sorted. */
  #apps: readonly ListedApp[] = [];
  readonly #byId = new Map<string, ListedApp>();

  /**
   * @param priority the index's `repositoryPriority`
   * @param seen apps of the list that this one continues; `undefined` if it is the first
   */
  constructor(priority: readonly string[], seen: SeenApps | undefined) {
    this.#ranking = rankingOf(priority);
    this.#continued = seen && new Map(Object.entries(seen));
  }

  /** All entries, sorted as {@link sortEntries} does. */
  get entries(): readonly AppEntry[] {
    return this.#apps.map(({ entry }) => entry);
  }

  /** URLs of the screenshots of all apps. */
  get pictures(): ReadonlySet<string> {
    return new Set(this.#apps.flatMap(({ pictures }) => pictures));
  }

  /** Returns an app as it was last listed, for the list that continues this one; `undefined` if it was not. */
  readonly seen = (id: string): SeenApp | undefined => {
    const app = this.#byId.get(id);
    return app && { added: app.entry.added, changed: app.entry.changed, images: app.images };
  };

  /**
   * Updates the list, and returns its {@link entries}. One call at a time.
   * @param chunks in the order of the document; unchanged chunks must be the same objects
   * @param modified when the chunks last changed, in milliseconds since the epoch
   */
  async update(chunks: readonly ChunkOfApps[], modified: number): Promise<readonly AppEntry[]> {
    const [before, now] = [this.#chunks, new Set(chunks)];
    const concerned = new Set(
      [...chunks.filter((chunk) => !before.has(chunk)), ...[...before].filter((chunk) => !now.has(chunk))].flatMap(
        ({ appIds }) => appIds,
      ),
    );
    const records = new Map<string, AppRecord[]>();
    for (const chunk of chunks) {
      if (!chunk.appIds.some((id) => concerned.has(id))) continue;
      for (const [id, record] of Object.entries(await appRecordsOf(chunk)))
        if (concerned.has(id)) records.set(id, [...(records.get(id) ?? []), record]);
    }
    const kept = this.#apps.filter(({ entry }) => !concerned.has(entry.id));
    const at = isoSeconds(modified / 1000);
    const listed = Array.from(records, ([id, its]) => this.#listed(id, its, at));
    for (const id of concerned) this.#byId.delete(id);
    for (const app of listed) this.#byId.set(app.entry.id, app);
    this.#apps = sorted([...kept, ...listed]);
    this.#chunks = now;
    this.#continued = new Map();
    return this.entries;
  }

  #listed(id: string, records: readonly AppRecord[], at: string): ListedApp {
    const before = this.#byId.get(id);
    const { shown, pictures } = this.#best(records);
    const images = hash('sha256', records.flatMap((record) => record.images).join('\n'), 'base64url').slice(0, 16);
    const architectures = new Set(records.flatMap((record) => record.architectures));
    const tags = new Set(records.flatMap((record) => record.tags));
    const updated = Math.max(...records.map((record) => record.updated));
    const entry = {
      id,
      ...shown,
      architectures: [...architectures].toSorted(),
      tags: [...tags].toSorted(),
      updated: isoSeconds(updated),
      ...this.#timesOf(id, images, at),
    };
    return before !== undefined && before.images === images && JSON.stringify(before.entry) === JSON.stringify(entry)
      ? before
      : { entry, images, pictures, key: sortKey(shown.name) };
  }

  #timesOf(id: string, images: string, at: string): Pick<AppEntry, 'added' | 'changed'> {
    const seen = this.seen(id) ?? this.#continued?.get(id);
    if (seen !== undefined) return { added: seen.added, changed: seen.images === images ? seen.changed : at };
    return this.#continued === undefined ? { added: '', changed: '' } : { added: at, changed: at };
  }

  /** Returns the record that represents the app. */
  #best(records: readonly AppRecord[]): AppRecord {
    const placeOf = placesBy([], this.#ranking);
    let [best, rank]: [AppRecord | undefined, readonly number[]] = [undefined, []];
    for (const record of records) {
      const its = comparableRank(record.rank, placeOf(record.repository));
      if (best === undefined || outranks(its, rank)) [best, rank] = [record, its];
    }
    return best as AppRecord;
  }
}

/** Collects the records of apps image by image. */
class Collector {
  readonly #index: string;
  readonly #placeOf: PlaceOf;
  readonly #apps = new Map<
    string,
    {
      images: string[];
      architectures: Set<string>;
      tags: Set<string>;
      best: Pick<AppRecord, 'repository' | 'rank' | 'shown' | 'pictures'>;
      updated: number;
    }
  >();

  constructor(index: string, priority: readonly string[]) {
    this.#index = index;
    this.#placeOf = placesBy(priority);
  }

  /** Skips images that are not Flatpaks, or that another image hides from clients. */
  add(repository: string, allTags: readonly string[], { image, hidden: { either } }: PlacedImage): void {
    const label = labelOf(image);
    const ref = parseFlatpakRef(label(FLATPAK_REF));
    if (ref === undefined || either === undefined) return;
    const tags = allTags.filter((tag) => !either.includes(tag));
    if (tags.length === 0) return;
    const line = `${repository} ${tags.join(' ')} ${image.digest}`;
    const rank = rankOf(ref, tags, image.architecture, label);
    const app = this.#apps.get(ref.id);
    if (app === undefined) {
      this.#apps.set(ref.id, {
        images: [line],
        architectures: new Set([image.architecture]),
        tags: new Set(tags),
        updated: builtAt(label),
        best: { repository, rank, ...this.#shown(ref, label) },
      });
      return;
    }
    app.images.push(line);
    app.architectures.add(image.architecture);
    for (const tag of tags) app.tags.add(tag);
    app.updated = Math.max(app.updated, builtAt(label));
    const [before, now] = [
      comparableRank(app.best.rank, this.#placeOf(app.best.repository)),
      comparableRank(rank, this.#placeOf(repository)),
    ];
    if (outranks(now, before)) app.best = { repository, rank, ...this.#shown(ref, label) };
  }

  records(): AppRecords {
    return Object.fromEntries(
      [...this.#apps].map(([id, { images, architectures, tags, updated, best }]) => [
        id,
        { images, architectures: [...architectures], tags: [...tags], updated, ...best },
      ]),
    );
  }

  #shown(ref: FlatpakRef, label: LabelReader): Pick<AppRecord, 'shown' | 'pictures'> {
    const xml = label('org.freedesktop.appstream.appdata') ?? '';
    const { name, summary, developer, keywords, categories, pictures } = appdataOf(ref.id, xml);
    const shown = {
      kind: kindOf(ref, parseKeyFile(label('org.flatpak.metadata') ?? '')),
      name: name || ref.id,
      summary,
      developer,
      keywords,
      categories,
      icon: listedIcon(
        iconOf(label),
        (version) => `../../api/apps/${ref.id}/icon?index=${encodeURIComponent(this.#index)}&version=${version}`,
      ),
      ...endOfLifeOf(label),
    };
    return { shown, pictures };
  }
}

/**
 * Returns the URI of an icon in the list; empty if there is none.
 * @param icon as {@link iconOf} returns it
 * @param servedAt returns the URI of an icon that is inside the index
 */
export function listedIcon(icon: string, servedAt: (version: string) => string): string {
  if (isPngUri(icon)) return servedAt(versionOfIcon(icon));
  return icon.length > MAX_ICON_URI || /^\s*data:/i.test(icon) ? '' : icon;
}

/** Rank of an image apart from its repository's place, which counts after `stable` and before the other numbers. */
export type Rank = readonly [stable: number, built: number, latest: number, amd64: number];

/** Returns the place of a repository; the lowest is the most wanted. */
export type PlaceOf = (repository: string) => readonly [rank: number, order: number];

/** Places repositories by `priority`, then in the order in which they are first asked for. */
export function placesBy(
  priority: readonly string[],
  ranking: (repository: string) => number = rankingOf(priority),
): PlaceOf {
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
 * Ranks an image among those of its app: stable before others, then by repository, then the newest, `latest`, amd64.
 * The time, which the image itself claims, counts only within a repository: otherwise whoever may push anywhere could
 * take over any app.
 */
export function rankOf(
  { branch }: FlatpakRef,
  tags: readonly string[],
  architecture: string,
  label: LabelReader,
): Rank {
  const latest = tags.includes(DEFAULT_TAG);
  return [Number(branch === 'stable' || latest), builtAt(label), Number(latest), Number(architecture === 'amd64')];
}

/** Combines a rank with the place of its repository, for {@link outranks}. */
export function comparableRank([stable, ...others]: Rank, [rank, order]: ReturnType<PlaceOf>): readonly number[] {
  return [stable, -rank, -order, ...others];
}

/** Says whether `rank` is higher than `other`. */
export function outranks(rank: readonly number[], other: readonly number[]): boolean {
  const difference = rank.findIndex((value, index) => value !== other[index]);
  return difference !== -1 && (rank[difference] ?? 0) > (other[difference] ?? 0);
}

/** Returns the larger icon: a URI, which may be a `data:` URI; empty if there is none. */
export function iconOf(label: LabelReader): string {
  return label('org.freedesktop.appstream.icon-128') ?? label('org.freedesktop.appstream.icon-64') ?? '';
}

/**
 * Returns a hash of an icon, for its URL.
 * @param icon as {@link iconOf} returns it
 */
export function versionOfIcon(icon: string): string {
  return createHash('sha256').update(icon).digest('base64url').slice(0, 22);
}

/** Returns a reader of an image's labels, then its annotations. */
export function labelOf({ labels, annotations }: ShownImage): LabelReader {
  return (key) => (labels.find(([name]) => name === key) ?? annotations.find(([name]) => name === key))?.[1];
}

function sortKey(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/[\u0300-\u036F]/g, '')
    .toLowerCase();
}

function appdataOf(id: string, xml: string): ListedAppdata {
  const key = `${id} ${hash('sha256', xml, 'base64')}`;
  let listed = recentAppdata.get(key);
  if (listed === undefined) {
    const appdata = parseAppdata(xml, { id, passedOver: LONG_ELEMENTS });
    const { name, summary, developer, keywords, categories, screenshots } = appdata;
    listed = {
      name,
      developer,
      summary: summary.slice(0, MAX_SUMMARY),
      keywords: keywords.slice(0, MAX_KEYWORDS),
      categories: mainCategories(categories),
      pictures: urlsOf(screenshots),
    };
    recentAppdata.set(key, listed);
  }
  return listed;
}
