/** Follows what is published in a store that other replicas write, too. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PublishedDocument } from '../indexing/indexer.ts';
import type { ServedIndex } from '../server/documents/served-index.ts';
import type { PublishedVersion } from '../store/postgres/postgres-publications.ts';

/** Least time between two comparisons with the store for clients, and the longest wait for one, in milliseconds. */
const CATCH_UP_INTERVAL = 100;
const CATCH_UP_WAIT = 2_000;

/** Served indexes that are kept up to date with the store. */
export interface FollowedIndexes {
  readonly indexes: ReadonlyMap<string, ServedIndex>;
  /** Serves the newest publication of an index. */
  load(index: string, document: PublishedDocument | 'all'): Promise<void>;
}

/** Options of {@link PublicationFollower}. */
export interface PublicationFollowerOptions {
  /** Returns the versions of everything that is published. */
  readonly versions: () => Promise<ReadonlyMap<string, PublishedVersion>>;
  /** Called with the versions that are served, by index, when they have changed. */
  readonly onShown: (shown: Readonly<Record<string, number>>) => Promise<void>;
}

type Newer = readonly [index: string, document: PublishedDocument | 'all'];

/** Keeps served indexes up to date with the store, and knows how far behind they are. */
export class PublicationFollower {
  readonly #options: PublicationFollowerOptions;
  #followed: FollowedIndexes | undefined;
  /** Time since which the store has a newer publication, of `performance.now()`. */
  #behindSince: number | undefined;
  #caughtUp = false;
  #nextCheck: Promise<void> | undefined;
  #lastCheck = -Infinity;

  constructor(options: PublicationFollowerOptions) {
    this.#options = options;
  }

  /** Whether everything that the store had was served at some time. */
  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  /** For how long the store has had something that is not served yet, in seconds. */
  get lag(): number {
    return this.#behindSince === undefined ? 0 : (performance.now() - this.#behindSince) / 1000;
  }

  /** Versions of the publications that are served, by index. */
  get shown(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...(this.#followed?.indexes ?? [])].flatMap(([name, { shown }]) =>
        shown === undefined ? [] : [[name, shown.publication.version]],
      ),
    );
  }

  /** Keeps these indexes up to date from now on. */
  follow(followed: FollowedIndexes): void {
    this.#followed = followed;
  }

  /** Loads a document of which the store tells that there is a new version. */
  async load(index: string, document: PublishedDocument): Promise<void> {
    if (this.#followed?.indexes.has(index) === true) await this.#load(index, document);
  }

  /**
   * Loads what the store has and is not served.
   * @throws StoreError
   */
  async loadNewer(): Promise<void> {
    const followed = this.#followed;
    if (followed === undefined) return;
    const versions = await this.#options.versions();
    if (isBehind(followed, versions)) this.#behindSince ??= performance.now();
    for (const [name, document] of newerThanShown(followed, versions)) await this.#load(name, document);
    if (isBehind(followed, versions)) return;
    this.#behindSince = undefined;
    this.#caughtUp = true;
  }

  /** Loads what the store has and is not served; asks the store at most once in 100 ms. Never rejects. */
  catchUp(): Promise<void> {
    // One that has begun may have read before the client got its version from another replica.
    this.#nextCheck ??= this.#checkSoon();
    return Promise.race([this.#nextCheck, sleep(CATCH_UP_WAIT, undefined, { ref: false })]);
  }

  async #checkSoon(): Promise<void> {
    await sleep(Math.max(0, this.#lastCheck + CATCH_UP_INTERVAL - performance.now()));
    this.#nextCheck = undefined;
    this.#lastCheck = performance.now();
    // Whoever polls the store tells that it is away.
    await this.loadNewer().catch(() => undefined);
  }

  async #load(name: string, document: PublishedDocument | 'all'): Promise<void> {
    await this.#followed?.load(name, document);
    if (document !== 'apps') await this.#options.onShown(this.shown);
  }
}

/** Documents that the store has in another version; one that could not be loaded is tried again each time. */
function newerThanShown(
  { indexes }: FollowedIndexes,
  versions: ReadonlyMap<string, PublishedVersion>,
): readonly Newer[] {
  return [...indexes].flatMap(([name, { shown, appsVersion }]): readonly Newer[] => {
    const { version, apps } = versions.get(name) ?? {};
    if (version !== undefined && version > (shown?.publication.version ?? 0)) return [[name, 'all']];
    return apps !== undefined && apps !== appsVersion ? [[name, 'apps']] : [];
  });
}

/** Says whether a publication is not served yet. A list of apps that is late, or damaged, makes no replica unready. */
function isBehind(followed: FollowedIndexes, versions: ReadonlyMap<string, PublishedVersion>): boolean {
  return newerThanShown(followed, versions).some(([, document]) => document === 'all');
}
