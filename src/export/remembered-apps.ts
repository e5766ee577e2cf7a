/** Remembers what an export wrote of each app, so that the next one asks only for apps that have changed since. */
import type { AppEntry, SeenApp } from '../indexing/appdata/app-list.ts';
import { APPS, isInside, type ExportFolder } from './export-folder.ts';

/** Record of the files that an export wrote of one app. */
export interface RememberedApp {
  /** Identifies all that its files were made from. */
  readonly source: string;
  /** Sizes of its files by path, in bytes. */
  readonly files: Readonly<Record<string, number>>;
  /** Whether each app that its page names was in the index, by id. */
  readonly others: Readonly<Record<string, boolean>>;
  /** Digests of its pictures that were served, by their URLs; empty for those that were not. */
  readonly pictures: Readonly<Record<string, string>>;
  /** Its entry in the list of apps, but for the times of the list; absent if it is not shown. */
  readonly entry?: Omit<AppEntry, 'added' | 'changed'> | undefined;
  /** Its images with the exported tag, and the times of the list when these last changed. */
  readonly seen?: SeenApp | undefined;
}

/** Everything that the files of an app depend on beside its images. */
export interface Surroundings {
  /** Says whether the index has an app. */
  readonly has: (id: string) => boolean;
  /** Returns the digest of a picture that is served; empty if it is not. */
  readonly pictureAt: (url: string) => string;
}

/** Apps by index and id. */
type Remembered = Readonly<Record<string, Readonly<Record<string, RememberedApp>>>>;

/** The apps of one folder, as the exports into it remember them. */
export class RememberedApps {
  readonly #folder: ExportFolder;
  readonly #before: Remembered;
  readonly #now = new Map<string, Map<string, RememberedApp>>();

  private constructor(folder: ExportFolder, before: Remembered) {
    this.#folder = folder;
    this.#before = before;
  }

  /** Reads what the last export remembered; nothing if somebody changed it. */
  static async load(folder: ExportFolder): Promise<RememberedApps> {
    return new RememberedApps(folder, parse((await folder.read(APPS))?.toString()));
  }

  /**
   * Returns an app that was made from the same `source`, and names its files; `undefined` if it must be asked for.
   * @param now is where its page looks things up
   */
  async recall(index: string, id: string, source: string, now: Surroundings): Promise<RememberedApp | undefined> {
    const app = own(own(this.#before, index) ?? {}, id);
    if (app?.source !== source) return undefined;
    if (Object.entries(app.others).some(([other, wasThere]) => now.has(other) !== wasThere)) return undefined;
    if (Object.entries(app.pictures).some(([url, digest]) => now.pictureAt(url) !== digest)) return undefined;
    const files = Object.entries(app.files);
    for (const [path, size] of files)
      if (this.#folder.leftBehind.has(path) || (await this.#folder.sizeOf(path)) !== size) return undefined;
    for (const [path] of files) this.#folder.keep(path);
    this.remember(index, id, app);
    return app;
  }

  /** Returns what the last export had seen of an app; `undefined` if it did not have it. */
  seen(index: string, id: string): SeenApp | undefined {
    return own(own(this.#before, index) ?? {}, id)?.seen;
  }

  /** Remembers an app whose files are written. */
  remember(index: string, id: string, app: RememberedApp): void {
    const apps = this.#now.get(index);
    if (apps === undefined) this.#now.set(index, new Map([[id, app]]));
    else apps.set(id, app);
  }

  /** Writes what this export remembers, once all that it names is written. */
  async save(): Promise<void> {
    const indexes = [...this.#now].map(([index, apps]) => [index, Object.fromEntries([...apps].toSorted(byId))]);
    await this.#folder.writeOwn(APPS, `${JSON.stringify(Object.fromEntries(indexes))}\n`);
  }
}

/** Parses {@link APPS}; nothing is remembered if it is missing, or not as it was written. */
function parse(text: string | undefined): Remembered {
  try {
    const remembered = JSON.parse(text ?? '{}') as Remembered;
    const apps = Object.values(remembered).flatMap((index) => Object.values(index));
    return apps.every(({ files }) => Object.keys(files).every(isInside)) ? remembered : {};
  } catch {
    return {};
  }
}

function byId([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
