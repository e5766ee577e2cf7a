/** The encoded list of an index's apps, in pages that are compressed one by one. */
import { createHash } from 'node:crypto';
import { type Deflated, deflate, inflate, stored } from '../chunk/gzip-member.ts';
import type { JoinedDocument } from '../chunk/part.ts';
import type { AppEntry } from './app-list.ts';

/** Entries on a page. */
export const PAGE_SIZE = 100;
/** Compression level of zlib. */
const LEVEL = 6;

/** One page of the list of apps. */
export interface AppListPage {
  /** Number of apps on all pages. */
  readonly total: number;
  readonly apps: readonly AppEntry[];
}

interface Head {
  readonly index: string;
  readonly total: number;
  /** Hash of the content, in base64url. */
  readonly tag: string;
  readonly pages: readonly { readonly size: number; readonly length: number; readonly crc: number }[];
}

/** A page as it was last encoded. */
interface EncodedPage {
  readonly entries: readonly AppEntry[];
  readonly deflated: Deflated;
  readonly hash: Buffer;
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

  /** Returns `length of the head (uint32, little endian) │ head (JSON) │ pages`. */
  async encode(entries: readonly AppEntry[]): Promise<Buffer> {
    const pages: EncodedPage[] = [];
    for (let start = 0; start < entries.length; start += PAGE_SIZE) {
      const its = entries.slice(start, start + PAGE_SIZE);
      const before = this.#pages[pages.length];
      pages.push(before !== undefined && isSame(before.entries, its) ? before : await encodePage(its));
    }
    this.#pages = pages;
    const hashed = createHash('sha256').update(JSON.stringify(this.#index));
    for (const page of pages) hashed.update(page.hash);
    const head: Head = {
      index: this.#index,
      total: entries.length,
      tag: hashed.digest('base64url'),
      pages: pages.map(({ deflated: { size, length, crc } }) => ({ size, length, crc })),
    };
    const json = Buffer.from(JSON.stringify(head));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(json.length);
    return Buffer.concat([length, json, ...(await Promise.all(pages.map(async ({ deflated }) => deflated.bytes())))]);
  }
}

async function encodePage(entries: readonly AppEntry[]): Promise<EncodedPage> {
  const json = Buffer.from(entries.map((entry) => JSON.stringify(entry)).join(','));
  return { entries, deflated: await deflate(json, LEVEL), hash: createHash('sha256').update(json).digest() };
}

function isSame(before: readonly AppEntry[], now: readonly AppEntry[]): boolean {
  return before.length === now.length && before.every((entry, place) => entry === now[place]);
}

/** Reads an encoded list of apps. */
export class AppPages {
  readonly #head: Head;
  readonly #pages: readonly Deflated[];

  /** @param bytes as {@link AppPagesEncoder.encode} returns them */
  constructor(bytes: Buffer) {
    const length = bytes.readUInt32LE(0);
    this.#head = JSON.parse(bytes.toString('utf8', 4, 4 + length)) as Head;
    let end = 4 + length;
    this.#pages = this.#head.pages.map(({ size, ...page }) => {
      const body = bytes.subarray(end, (end += size));
      return { ...page, size, bytes: () => body };
    });
  }

  /** Number of apps on all pages. */
  get total(): number {
    return this.#head.total;
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

  /**
   * Decodes one page.
   * @param page counted from 0
   */
  async page(page: number): Promise<AppListPage> {
    const piece = this.#pages[page];
    const apps = piece === undefined ? [] : (JSON.parse(`[${(await inflate(piece)).toString()}]`) as AppEntry[]);
    return { total: this.#head.total, apps };
  }
}
