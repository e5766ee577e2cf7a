/** The encoded list of an index's apps, in pages that are compressed one by one. */
import { createHash } from 'node:crypto';
import type { Digest } from '../../registry/digest.ts';
import { compareTexts } from '../../system/compare-texts.ts';
import { type Deflated, deflate, inflate, stored } from '../chunk/gzip-member.ts';
import type { JoinedDocument } from '../chunk/part.ts';
import type { AppEntry, AppList, SeenApps } from './app-list.ts';

/** Entries on a page. */
const PAGE_SIZE = 100;
/** Compression level of zlib. */
const LEVEL = 6;
/** Apps in a {@link AppListSummary}. */
const MAX_RECENT = 50;

/** Numbers of apps by listing; see {@link listingsOf}. */
export type ListingCounts = Readonly<Record<string, number>>;

/** Summary of the whole list. */
export interface AppListSummary {
  /** Number of apps, runtimes and extensions. */
  readonly kinds: Readonly<Record<AppEntry['kind'], number>>;
  /** Number of apps in each category; neither runtimes nor extensions. */
  readonly categories: Readonly<Record<string, number>>;
  /** The apps, and no runtimes or extensions, that changed last, and those that were added last; the newest first. */
  readonly changed: readonly AppEntry[];
  readonly added: readonly AppEntry[];
}

interface PieceHead {
  readonly size: number;
  readonly length: number;
  readonly crc: number;
}

interface Head {
  readonly index: string;
  readonly total: number;
  /** Hash of the content, in base64url. */
  readonly tag: string;
  readonly pages: readonly (PieceHead & { readonly counts: ListingCounts })[];
  /** {@link SeenApps} of each page. Lists of earlier versions have neither these nor a summary. */
  readonly seen?: readonly PieceHead[];
  readonly summary?: PieceHead;
  /** Digest of the list of pictures that are kept of the apps; absent if there are none. */
  readonly pictures?: Digest | undefined;
}

/** A page as it was last encoded. */
interface EncodedPage {
  readonly entries: readonly AppEntry[];
  readonly deflated: Deflated;
  readonly seen: Deflated;
  readonly hash: Buffer;
  readonly counts: ListingCounts;
}

/** Returns the names of the listings that an app is in: its kind and, if it is an app, its categories. */
export function listingsOf({ kind, categories }: AppEntry): readonly string[] {
  return kind === 'app' ? [kind, ...categories] : [kind];
}

/**
 * Encodes the list of an index's apps; encodes only those pages again on which an entry is another object than the last
 * time.
 */
export class AppPagesEncoder {
  readonly #index: string;
  #pages: readonly EncodedPage[] = [];

  /** @param index the index's name */
  constructor(index: string) {
    this.#index = index;
  }

  /**
   * Returns `length of the head (uint32, little endian) │ head (JSON) │ pages │ seen │ summary`.
   * @param seen {@link AppList.seen} of the list that has these entries
   * @param pictures digest of the list of pictures that are kept of these apps
   */
  async encode(entries: readonly AppEntry[], seen: AppList['seen'], pictures?: Digest): Promise<Buffer> {
    const pages: EncodedPage[] = [];
    for (let start = 0; start < entries.length; start += PAGE_SIZE) {
      const its = entries.slice(start, start + PAGE_SIZE);
      const before = this.#pages[pages.length];
      pages.push(before !== undefined && isSame(before.entries, its) ? before : await encodePage(its, seen));
    }
    this.#pages = pages;
    const hashed = createHash('sha256').update(JSON.stringify(this.#index));
    for (const page of pages) hashed.update(page.hash);
    const summary = await deflateJson(summaryOf(entries));
    const head: Head = {
      index: this.#index,
      total: entries.length,
      tag: hashed.digest('base64url'),
      pages: pages.map(({ deflated, counts }) => ({ ...headOf(deflated), counts })),
      seen: pages.map((page) => headOf(page.seen)),
      summary: headOf(summary),
      pictures,
    };
    const json = Buffer.from(JSON.stringify(head));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(json.length);
    const pieces = [...pages.map(({ deflated }) => deflated), ...pages.map((page) => page.seen), summary];
    return Buffer.concat([length, json, ...(await Promise.all(pieces.map(async (piece) => piece.bytes())))]);
  }
}

function headOf({ size, length, crc }: Deflated): PieceHead {
  return { size, length, crc };
}

function deflateJson(value: unknown): Promise<Deflated> {
  return deflate(Buffer.from(JSON.stringify(value)), LEVEL);
}

function summaryOf(entries: readonly AppEntry[]): AppListSummary {
  const count = (kind: AppEntry['kind']): number => entries.filter((entry) => entry.kind === kind).length;
  const apps = entries.filter(({ kind }) => kind === 'app');
  const categories: Record<string, number> = {};
  for (const category of apps.flatMap((app) => app.categories)) categories[category] = (categories[category] ?? 0) + 1;
  return {
    kinds: { app: apps.length, runtime: count('runtime'), extension: count('extension') },
    categories,
    changed: newest(apps, changedAt),
    added: newest(apps, ({ added }) => added),
  };
}

/** Returns when an app was last changed, in ISO 8601: in the index, or else when it was built; empty if unknown. */
export function changedAt({ changed, updated }: AppEntry): string {
  return changed || updated;
}

function newest(apps: readonly AppEntry[], timeOf: (app: AppEntry) => string): readonly AppEntry[] {
  return apps
    .filter((app) => timeOf(app) !== '')
    .toSorted((a, b) => compareTexts(timeOf(b), timeOf(a)))
    .slice(0, MAX_RECENT);
}

async function encodePage(entries: readonly AppEntry[], seen: AppList['seen']): Promise<EncodedPage> {
  const json = Buffer.from(entries.map((entry) => JSON.stringify(entry)).join(','));
  const counts: Record<string, number> = {};
  for (const listing of entries.flatMap(listingsOf)) counts[listing] = (counts[listing] ?? 0) + 1;
  return {
    entries,
    counts,
    deflated: await deflate(json, LEVEL),
    seen: await deflateJson(Object.fromEntries(entries.map(({ id }) => [id, seen(id)]))),
    hash: createHash('sha256').update(json).digest(),
  };
}

function isSame(before: readonly AppEntry[], now: readonly AppEntry[]): boolean {
  return before.length === now.length && before.every((entry, place) => entry === now[place]);
}

/** Reads an encoded list of apps. */
export class AppPages {
  readonly #head: Head;
  readonly #pages: readonly (Deflated & { readonly counts: ListingCounts })[];
  readonly #seen: readonly Deflated[];
  readonly #summary: Deflated;
  #summarized: Promise<AppListSummary> | undefined;

  private constructor(head: Head, body: Buffer) {
    let end = 0;
    const next = ({ size, ...page }: PieceHead): Deflated => {
      const bytes = body.subarray(end, (end += size));
      return { ...page, size, bytes: () => bytes };
    };
    this.#head = head;
    this.#pages = head.pages.map(({ counts, ...page }) => ({ ...next(page), counts }));
    this.#seen = (head.seen ?? []).map(next);
    this.#summary = next(head.summary ?? { size: 0, length: 0, crc: 0 });
  }

  /**
   * Reads a list; returns `undefined` if an earlier version wrote it, whose entries say less.
   * @param bytes as {@link AppPagesEncoder.encode} returns them
   */
  static read(bytes: Buffer): AppPages | undefined {
    const length = bytes.readUInt32LE(0);
    const head = JSON.parse(bytes.toString('utf8', 4, 4 + length)) as Head;
    return head.pages.some(({ counts }) => counts === undefined) || head.summary === undefined
      ? undefined
      : new AppPages(head, bytes.subarray(4 + length));
  }

  /** Number of apps on all pages. */
  get total(): number {
    return this.#head.total;
  }

  /** Digest of the list of pictures that are kept of the apps; `undefined` if there are none. */
  get pictures(): Digest | undefined {
    return this.#head.pictures;
  }

  /** Returns the number of apps in a listing. */
  count(listing: string): number {
    return this.#pages.reduce((sum, { counts }) => sum + (counts[listing] ?? 0), 0);
  }

  /** Returns the whole list as a JSON document: `{"index","apps":[AppEntry]}`. */
  document(): JoinedDocument {
    const { index, total, tag } = this.#head;
    const comma = stored(',');
    const pieces = [
      stored(`{"index":${JSON.stringify(index)},"apps":[`),
      ...this.#pages.flatMap((page, place) => (place === 0 ? [page] : [comma, page])),
      stored(']}'),
    ];
    return { images: total, length: pieces.reduce((sum, { length }) => sum + length, 0), pieces, tag };
  }

  /** Decodes the summary. */
  summary(): Promise<AppListSummary> {
    return (this.#summarized ??= parsed<AppListSummary>(this.#summary));
  }

  /** Decodes what the next list has to know of this one. */
  async seen(): Promise<SeenApps> {
    const pages = await Promise.all(this.#seen.map((page) => parsed<SeenApps>(page)));
    return Object.assign({}, ...pages) as SeenApps;
  }

  /** Decodes all apps, page by page. */
  async *entries(): AsyncGenerator<AppEntry> {
    for (const page of this.#pages) yield* await decoded(page);
  }

  /**
   * Decodes some apps of a listing, in the order of the list.
   * @param start counted from 0
   */
  async listing(listing: string, start: number, length: number): Promise<readonly AppEntry[]> {
    const apps: AppEntry[] = [];
    let place = 0;
    for (const page of this.#pages) {
      const first = place;
      place += page.counts[listing] ?? 0;
      if (place <= start) continue;
      const its = (await decoded(page)).filter((app) => listingsOf(app).includes(listing));
      apps.push(...its.slice(Math.max(0, start - first)));
      if (apps.length >= length) break;
    }
    return apps.slice(0, length);
  }
}

async function decoded(page: Deflated): Promise<readonly AppEntry[]> {
  return JSON.parse(`[${(await inflate(page)).toString()}]`) as AppEntry[];
}

async function parsed<T>(piece: Deflated): Promise<T> {
  return JSON.parse((await inflate(piece)).toString()) as T;
}
