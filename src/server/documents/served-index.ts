/** An index as it is served: its newest publication, with headers and bodies that are ready to send. */
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import {
  type AppUpdate,
  describeApp,
  type DescribedApp,
  type IndexDocument,
} from '../../indexing/appdata/app-details.ts';
import type { AppListSummary, AppPages } from '../../indexing/appdata/app-pages.ts';
import type { Chunk, ReadyQuestion } from '../../indexing/chunk/chunk.ts';
import { deflate, inflate } from '../../indexing/chunk/gzip-member.ts';
import { joinParts, type JoinedDocument, type PlacedPart } from '../../indexing/chunk/part.ts';
import { parseQuery } from '../../indexing/query/parse-query.ts';
import { flatpakQuestion, type Query } from '../../indexing/query/query.ts';
import { picturePath } from '../../indexing/screenshots/picture.ts';
import {
  type KeptPictures,
  SCREENSHOTS,
  type ScreenshotMode,
  shownScreenshots,
  urlsOf,
} from '../../indexing/screenshots/screenshots.ts';
import type { Digest } from '../../registry/digest.ts';
import type { Publication } from '../../store/publications.ts';
import { isAway } from '../../store/store-error.ts';
import { type Encoding, ENCODINGS } from '../http/accept-encoding.ts';
import { NotBuiltYet, NotFound, retryUnreadable } from '../server-error.ts';
import { NOSNIFF } from '../plugins/security-headers.ts';
import { gzipBody, identityBody, JoinedBodies, type StoredBody } from './body.ts';

/** Characters of cached query strings, and how many of them. */
const MAX_SPELLED = 1024 * 1024;
const MAX_SPELLINGS = 1024;
/** Cached documents of questions whose parts are all ready. */
const MAX_DOCUMENTS = 64;
/** Apps whose details are cached. */
const MAX_APPS = 64;
/** Characters of JSON whose parsed form is cached: apps of one chunk are often asked for one after another. */
const MAX_PARSED = 1024 * 1024;
/** Compression level of a document that is made while a client waits. */
const QUICK_LEVEL = 2;

/** Response headers, by lower-case name. */
export type Headers = Readonly<Record<string, string>>;

/** One encoding of a document, with its headers. */
export interface EncodedDocument {
  /** A weak tag where the bytes may differ from one server to another. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  /** Headers of a 200. */
  readonly headers: Headers;
  /** Headers of a 304: those above without the ones that describe the body. */
  readonly freshHeaders: Headers;
  readonly body: StoredBody;
}

/** A document in both encodings. */
export type ServedDocument = ReadonlyMap<Encoding, EncodedDocument>;

/** The current publication of an index, with its chunks. */
export interface Shown {
  /** Increases with each publication that is shown while the service runs. */
  readonly number: number;
  readonly publication: Publication;
  readonly chunks: readonly Chunk[];
  /** The {@link number} since which each chunk has been shown, by its name. */
  readonly since: ReadonlyMap<string, number>;
  readonly whole: JoinedDocument;
  readonly warnings: readonly string[];
}

/** A parsed query string. */
export interface AskedFor {
  readonly query: Query;
  /** The answer, if all parts of it are ready. */
  readonly document: ServedDocument | undefined;
}

/** An app as it is served. Its documents are made when they are first asked for. */
export interface ServedApp extends DescribedApp {
  /** URLs of its pictures, whether they are served from here or not. */
  readonly pictureUrls: readonly string[];
  /** Returns the details as a document. */
  readonly document: () => Promise<ServedDocument>;
  /** Returns the translations as a document. */
  readonly translationsDocument: () => Promise<ServedDocument>;
}

/** Options of {@link ServedIndex}. */
export interface ServedIndexOptions {
  readonly name: string;
  /** The whole index is served at `/index/FILE.json`. */
  readonly fileName: string;
  /** How long clients may keep an answer, in seconds. */
  readonly maxAge: number;
  /** Globs of repositories, the most wanted first. */
  readonly repositoryPriority: readonly string[];
  /** Cache that indexes share; a new one unless given. */
  readonly joined?: JoinedBodies;
  /** How the screenshots of apps are shown; `off` unless given. */
  readonly screenshots?: ScreenshotMode;
  /** URL of its own picture. */
  readonly icon?: string | undefined;
  /** Reads the list of its pictures, by the digest of the list. */
  readonly readPictures?: (list: Digest | undefined) => Promise<KeptPictures>;
  /** Reads the deltas that a manifest of them names; none if it is missing. */
  readonly readUpdates?: (deltaManifest: Digest) => Promise<readonly AppUpdate[]>;
}

/**
 * Returns the index of this name.
 * @throws NotFound
 */
export function indexNamed(indexes: ReadonlyMap<string, ServedIndex>, name: string): ServedIndex {
  const index = indexes.get(name);
  if (index === undefined)
    throw new NotFound(`There is no index "${name}" here. There is ${[...indexes.keys()].join(', ')}.`);
  return index;
}

/** Serves the newest publication of an index. */
export class ServedIndex {
  readonly name: string;
  readonly fileName: string;
  /** How long clients may keep an answer, in seconds. */
  readonly maxAge: number;
  readonly #options: ServedIndexOptions;
  #shown: Shown | undefined;
  /** The list of its apps, the publication that it was made from, and when its content last changed. */
  #listed: { readonly apps: AppPages; readonly version: number; readonly modified: number } | undefined;
  readonly #onReplaced: (() => void)[] = [];
  /** By query string as spelled. */
  readonly #questions = new LRUCache<string, Query>({
    max: MAX_SPELLINGS,
    maxSize: MAX_SPELLED,
    sizeCalculation: (_, text) => text.length + 1,
  });
  /** By canonical question. */
  readonly #documents = new LRUCache<string, ServedDocument>({ max: MAX_DOCUMENTS });
  readonly #joined: JoinedBodies;
  #whole: ServedDocument | undefined;
  #apps: ServedDocument | undefined;
  #pictures: { readonly list: Digest | undefined; readonly pictures: Promise<KeptPictures> } | undefined;
  /** By app id. */
  readonly #details = new LRUCache<string, Promise<ServedApp | undefined>>({ max: MAX_APPS });

  /** Parsed parts of chunks, by their names. */
  readonly #parsed = new LRUCache<string, { readonly length: number; readonly document: Promise<IndexDocument> }>({
    maxSize: MAX_PARSED,
    sizeCalculation: ({ length }) => length,
  });

  constructor(options: ServedIndexOptions) {
    this.#options = options;
    this.name = options.name;
    this.fileName = options.fileName;
    this.maxAge = options.maxAge;
    this.#joined = options.joined ?? new JoinedBodies();
  }

  /** The current publication; `undefined` before the first. */
  get shown(): Shown | undefined {
    return this.#shown;
  }

  /** Version of the publication that the list of its apps was made from; `undefined` before they are listed. */
  get appsVersion(): number | undefined {
    return this.#listed?.version;
  }

  /** How the screenshots of apps are shown. */
  get screenshots(): ScreenshotMode {
    return this.#options.screenshots ?? 'off';
  }

  /** Digest of the list of its pictures; `undefined` if there are none. */
  get pictureList(): Digest | undefined {
    return this.screenshots === 'proxy' ? this.#listed?.apps.pictures : undefined;
  }

  /**
   * Returns the pictures that are served from here.
   * @throws StoreError
   */
  async pictures(): Promise<KeptPictures> {
    const { readPictures } = this.#options;
    if (this.screenshots !== 'proxy' || readPictures === undefined) return {};
    const list = this.pictureList;
    if (this.#pictures?.list !== list || this.#pictures === undefined) {
      const pictures = readPictures(list);
      pictures.catch(() => (this.#pictures = undefined));
      this.#pictures = { list, pictures };
    }
    return this.#pictures.pictures;
  }

  /**
   * Returns the path of the index's own picture, below the root of the site; `undefined` if it has none here.
   * @throws StoreError
   */
  async logo(): Promise<string | undefined> {
    const { icon } = this.#options;
    const pictures = icon === undefined ? {} : await this.pictures();
    const picture = icon !== undefined && Object.hasOwn(pictures, icon) ? pictures[icon] : undefined;
    return picture && `${SCREENSHOTS}/${picturePath(picture.digest, picture.type)}`;
  }

  /** Replaces the publication. Answers of the previous one that are being sent continue. */
  use(publication: Publication, chunks: readonly Chunk[]): void {
    const whole = joinParts(
      publication.registry,
      chunks.map(({ whole: part, slice }) => ({ part, slice })),
    );
    const before = this.#shown;
    const number = (before?.number ?? 0) + 1;
    // By identity: a chunk of the same name from another file counts as new, since parts of the old one refer to the
    // old file.
    const known = new Set(before?.chunks);
    const since = new Map(
      chunks.map((chunk) => [chunk.name, (known.has(chunk) ? before?.since.get(chunk.name) : undefined) ?? number]),
    );
    this.#shown = {
      number,
      publication,
      chunks,
      since,
      whole,
      warnings: [...new Set(chunks.flatMap(({ warnings }) => warnings))],
    };
    this.#whole = undefined;
    this.#documents.clear();
    this.#details.clear();
    this.#parsed.clear();
    for (const replaced of this.#onReplaced) replaced();
  }

  /**
   * Replaces the list of apps.
   * @param version the publication that the list was made from
   */
  useApps(apps: AppPages, version: number): void {
    const shown = this.#shown?.publication;
    const modified = shown?.version === version ? shown.modified : (this.#listed?.modified ?? 0);
    if (apps.pictures !== this.#listed?.apps.pictures) this.#details.clear();
    this.#listed = { apps, version, modified };
    this.#apps = undefined;
  }

  /** Calls `replaced` whenever the publication is replaced. */
  whenReplaced(replaced: () => void): void {
    this.#onReplaced.push(replaced);
  }

  /**
   * Parses the query string of a URL, without its `?`.
   * @throws QueryError
   */
  question(text: string): AskedFor {
    let query = this.#questions.get(text);
    if (query === undefined) {
      query = parseQuery(text);
      this.#questions.set(text, query);
    }
    return { query, document: this.#ready(query) };
  }

  /** Returns the whole index; `undefined` before its first publication. */
  whole(): ServedDocument | undefined {
    if (this.#shown !== undefined) this.#whole ??= this.serve(this.#shown.whole);
    return this.#whole;
  }

  /** Returns the list of apps; `undefined` before there is one. */
  apps(): ServedDocument | undefined {
    if (this.#listed !== undefined) this.#apps ??= this.serve(this.#listed.apps.document(), this.#listed.modified);
    return this.#apps;
  }

  /** Returns what the list of apps says as a whole; `undefined` before there is a list. */
  async appSummary(): Promise<AppListSummary | undefined> {
    return this.#listed?.apps.summary();
  }

  /** The list of apps; `undefined` before there is one. */
  get appPages(): AppPages | undefined {
    return this.#listed?.apps;
  }

  /**
   * Returns the details of an app; `undefined` if the index does not have it.
   * @throws NotBuiltYet
   */
  app(id: string): Promise<ServedApp | undefined> {
    let details = this.#details.get(id);
    if (details === undefined) {
      details = retryUnreadable(() => this.#readApp(id));
      details.catch(() => this.#details.delete(id));
      this.#details.set(id, details);
    }
    return details;
  }

  async #readApp(id: string): Promise<ServedApp | undefined> {
    const shown = this.#shown;
    if (shown === undefined) throw new NotBuiltYet(this.name);
    const chunks = shown.chunks.filter(({ appIds }) => appIds.includes(id));
    if (chunks.length === 0) return undefined;
    const { repositoryPriority, readUpdates } = this.#options;
    // Best effort: without the store, everything else is known.
    const withoutStore = (error: unknown): undefined => {
      if (!isAway(error)) throw error;
      this.#details.delete(id);
    };
    const pictures = (await this.pictures().catch(withoutStore)) ?? {};
    let pictureUrls: readonly string[] = [];
    const described = await describeApp(await this.#parse(chunks), id, {
      repositoryPriority,
      updatesIn: async (manifest) => (await readUpdates?.(manifest).catch(withoutStore)) ?? [],
      show: (named) => {
        pictureUrls = urlsOf(named);
        return shownScreenshots(named, this.screenshots, pictures);
      },
    });
    if (described === undefined) return undefined;
    const documentOnce = (content: object): (() => Promise<ServedDocument>) => {
      let document: Promise<ServedDocument> | undefined;
      return () =>
        (document ??= documentOf(JSON.stringify(content)).then((made) => this.serve(made, shown.publication.modified)));
    };
    const { details, translations } = described;
    return {
      ...described,
      pictureUrls,
      document: documentOnce(details),
      translationsDocument: documentOnce(translations),
    };
  }

  /** Parses the document that these chunks make. */
  #parse(chunks: readonly Chunk[]): Promise<IndexDocument> {
    const key = chunks.map(({ name }) => name).join(' ');
    let parsed = this.#parsed.get(key);
    if (parsed === undefined) {
      const { pieces, length } = joinParts(
        '',
        chunks.map(({ whole: part, slice }) => ({ part, slice })),
      );
      const document = Promise.all(pieces.map(inflate)).then(
        (buffers) => JSON.parse(Buffer.concat(buffers).toString()) as IndexDocument,
      );
      document.catch(() => this.#parsed.delete(key));
      parsed = { length, document };
      this.#parsed.set(key, parsed);
    }
    return parsed.document;
  }

  /** Returns the answer to `query` if all chunks have their parts ready. */
  #ready(query: Query): ServedDocument | undefined {
    const shown = this.#shown;
    if (shown === undefined) return undefined;
    if (query.conditions.length === 0) return this.whole();
    const known = this.#documents.get(query.canonical);
    if (known !== undefined) return known;
    const question = flatpakQuestion(query);
    const parts = question && readyParts(shown.chunks, question);
    if (parts === undefined) return undefined;
    const document = this.serve(joinParts(shown.publication.registry, parts));
    this.#documents.set(query.canonical, document);
    return document;
  }

  /**
   * Encodes a document for sending.
   * @param modified when its content last changed, in milliseconds since the epoch
   */
  serve(document: JoinedDocument, modified = this.#shown?.publication.modified ?? 0): ServedDocument {
    return new Map(ENCODINGS.map((encoding) => [encoding, this.#encoded(encoding, document, modified)]));
  }

  #encoded(encoding: Encoding, { tag, length, pieces }: JoinedDocument, modified: number): EncodedDocument {
    const body = encoding === 'gzip' ? gzipBody(pieces, this.#joined) : identityBody(pieces, length, this.#joined);
    const etag = encoding === 'gzip' ? `W/"${tag}"` : `"${tag}"`;
    const freshHeaders = {
      etag,
      'cache-control': `public, max-age=${this.maxAge}`,
      'last-modified': new Date(modified).toUTCString(),
      vary: 'accept-encoding',
    };
    return {
      etag,
      modified,
      freshHeaders,
      headers: {
        ...freshHeaders,
        ...NOSNIFF,
        'content-type': 'application/json; charset=utf-8',
        'content-length': String(body.length),
        ...(encoding === 'gzip' && { 'content-encoding': encoding }),
      },
      body,
    };
  }
}

/** Returns the parts of `chunks` in the answer to `question`; `undefined` if one of them is not ready. */
function readyParts(chunks: readonly Chunk[], question: ReadyQuestion): PlacedPart[] | undefined {
  const parts: PlacedPart[] = [];
  for (const chunk of chunks) {
    const part = chunk.readyPart(question);
    if (part === undefined) return undefined;
    parts.push({ part, slice: chunk.slice });
  }
  return parts;
}

/** Makes a document from JSON. */
async function documentOf(json: string): Promise<JoinedDocument> {
  const bytes = Buffer.from(json);
  return {
    images: 0,
    length: bytes.length,
    pieces: [await deflate(bytes, QUICK_LEVEL)],
    tag: hash('sha256', bytes, 'base64url'),
  };
}
