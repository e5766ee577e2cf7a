/** An index as it is served: its current snapshot, and the headers and bodies of what clients ask for, ready to send. */
import type { Readable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import { parseQuery } from '../indexing/query/parse-query.ts';
import type { Query } from '../indexing/query/query.ts';
import type { Encoding } from '../indexing/snapshot/encodings.ts';
import { ENCODINGS } from '../indexing/snapshot/encodings.ts';
import type { StoredDocument } from '../indexing/snapshot/format.ts';
import type { Snapshot } from '../indexing/snapshot/snapshot.ts';
import { NOT_SNIFFED } from './plugins/security-headers.ts';
import { NotFound } from './server-error.ts';

/** Characters of query strings that are remembered, and how many of them: a few are asked again and again. */
const MAX_SPELLED = 1024 * 1024;
const MAX_SPELLINGS = 1024;

export type Headers = Readonly<Record<string, string>>;

/** One encoding of a document with all that is sent with it. */
export interface Served {
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  /** Of a 200. */
  readonly headers: Headers;
  /** Of a 304: all of the above but what tells about the body. */
  readonly freshHeaders: Headers;
  readonly body: Buffer | StoredBody;
}

/** A body that is not in memory. */
export interface StoredBody {
  /** Bytes. */
  readonly length: number;
  read(): Promise<Buffer>;
  stream(): Readable;
}

/** The encodings of a document that there are. */
export type ServedDocument = ReadonlyMap<Encoding, Served>;

/** What a query string asks for. */
export interface AskedFor {
  readonly query: Query;
  /** Its document, if the snapshot keeps one. */
  readonly document: ServedDocument | undefined;
}

/** @throws NotFound if there is no such index. */
export function indexNamed(indexes: ReadonlyMap<string, PublishedIndex>, name: string): PublishedIndex {
  const index = indexes.get(name);
  if (index === undefined) throw new NotFound(`There is no index "${name}" here. There is ${[...indexes.keys()].join(', ')}.`);
  return index;
}

export class PublishedIndex {
  readonly name: string;
  /** Its whole document is at `/index/FILE.json`. */
  readonly fileName: string;
  /** How long clients may keep an answer, in seconds. */
  readonly maxAge: number;
  #snapshot: Snapshot | undefined;
  #lastModified = '';
  readonly #onReplaced: (() => void)[] = [];
  readonly #documents = new Map<StoredDocument, ServedDocument>();
  /** By query string as it was spelled. */
  readonly #questions = new LRUCache<string, AskedFor>({ max: MAX_SPELLINGS, maxSize: MAX_SPELLED, sizeCalculation: (_, text) => text.length + 1 });

  constructor(name: string, fileName: string, maxAge: number) {
    this.name = name;
    this.fileName = fileName;
    this.maxAge = maxAge;
  }

  /** `undefined` before the first rebuild. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Serves `snapshot` from now on. What is being sent from the one before is sent to its end. */
  async use(snapshot: Snapshot): Promise<void> {
    const before = this.#snapshot;
    this.#snapshot = snapshot;
    this.#lastModified = new Date(snapshot.footer.modified).toUTCString();
    this.#documents.clear();
    this.#questions.clear();
    for (const replaced of this.#onReplaced) replaced();
    await before?.close();
  }

  /** Has `replaced` called whenever another snapshot is served. */
  whenReplaced(replaced: () => void): void {
    this.#onReplaced.push(replaced);
  }

  /**
   * What the part of a URL behind its `?` asks for.
   * @throws QueryError
   */
  question(text: string): AskedFor {
    let question = this.#questions.get(text);
    if (question === undefined) {
      const query = parseQuery(text);
      question = { query, document: this.document(query.canonical) };
      this.#questions.set(text, question);
    }
    return question;
  }

  /** A document that the snapshot keeps; the empty query is the whole index. */
  document(canonical: string): ServedDocument | undefined {
    const snapshot = this.#snapshot;
    const stored = snapshot?.document(canonical);
    return snapshot && stored && this.#served(snapshot, stored);
  }

  /** The list of its apps. */
  apps(): ServedDocument | undefined {
    const snapshot = this.#snapshot;
    return snapshot && this.#served(snapshot, snapshot.footer.apps);
  }

  #served(snapshot: Snapshot, stored: StoredDocument): ServedDocument {
    let document = this.#documents.get(stored);
    if (document === undefined) {
      document = new Map(
        ENCODINGS.flatMap((encoding) => {
          const representation = stored.representations[encoding];
          if (representation === undefined) return [];
          const body = snapshot.held(representation) ?? {
            length: representation.length,
            read: () => snapshot.read(representation),
            stream: () => snapshot.stream(representation),
          };
          return [[encoding, this.serve(encoding, representation.etag, body)] as const];
        }),
      );
      this.#documents.set(stored, document);
    }
    return document;
  }

  /** What is sent for a body of the current snapshot. */
  serve(encoding: Encoding, etag: string, body: Buffer | StoredBody): Served {
    const freshHeaders = {
      etag,
      'cache-control': `public, max-age=${this.maxAge}`,
      'last-modified': this.#lastModified,
      vary: 'accept-encoding',
    };
    return {
      etag,
      modified: this.#snapshot?.footer.modified ?? 0,
      freshHeaders,
      headers: {
        ...freshHeaders,
        ...NOT_SNIFFED,
        'content-type': 'application/json; charset=utf-8',
        'content-length': String(body.length),
        ...(encoding !== 'identity' && { 'content-encoding': encoding }),
      },
      body,
    };
  }
}
