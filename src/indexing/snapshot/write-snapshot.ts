/** Makes an index's snapshot from its images. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { gzip } from 'node:zlib';
import { promisify } from 'node:util';
import { pipeline } from 'node:stream/promises';
import { pMapIterable } from 'p-map';
import { digestOf, type Digest } from '../../registry/digest.ts';
import { AppListBuilder } from '../appdata/app-list.ts';
import { RuntimeNeedsBuilder } from '../appdata/runtime-needs.ts';
import { flatpakQuery } from '../query/query.ts';
import type { ImageTable, Range, ReadRange } from '../query/image-table.ts';
import { DOCUMENT_END, documentHead, ImageTableBuilder, LIST_END, LISTS_HEAD, REPOSITORY_END, repositoryHead } from '../query/image-table.ts';
import type { Pairs } from '../render-image.ts';
import { Warnings } from '../warnings.ts';
import { writeFileWhole } from '../write-file.ts';
import type { Compression } from './encodings.ts';
import { compress, compressor, compressSync } from './encodings.ts';
import type { Representation, SnapshotFooter, StoredDocument } from './format.ts';
import { MAGIC } from './format.ts';
import { readRegion, regionChunks } from './read-region.ts';
import { RegionWriter } from './region-writer.ts';

/** A whole document up to so many bytes is kept in memory until all is made from it. */
const IN_MEMORY = 16 * 1024 * 1024;
/** Of tags and architectures whose images are kept ready: an index may have a tag for each version of each app. */
const MAX_COMBINATIONS = 500;
/** So many documents are compressed at the same time. */
const ENCODED_AT_ONCE = 3;
/** Other documents up to so many bytes are encoded in memory, larger ones as a stream from the file. */
const ENCODED_IN_MEMORY = 4 * 1024 * 1024;
const COMPRESSIONS: readonly Compression[] = ['gzip', 'br', 'zstd'];

/** An image with all that its JSON shows, tags aside. */
export interface ShownImage {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly os: string;
  readonly architecture: string;
  readonly annotations: Pairs;
  readonly labels: Pairs;
}

/** A repository as it is shown; never empty. */
export interface ShownRepository {
  readonly name: string;
  readonly images: readonly { readonly tags: readonly string[]; readonly image: ShownImage }[];
  readonly lists: readonly { readonly tags: readonly string[]; readonly digest: Digest; readonly mediaType: string; readonly images: readonly ShownImage[] }[];
}

/** What a snapshot is made from. */
export interface SnapshotSource extends Pick<SnapshotFooter, 'index' | 'fingerprint' | 'catalog' | 'source' | 'registry' | 'repositoryPriority'> {
  /** Where Flatpak clients look for the ref: their questions are answered beforehand. */
  readonly refFields: readonly ('label' | 'annotation')[];
  /** In the order of the document; read once, so that not all images are in memory at the same time. */
  readonly repositories: AsyncIterable<ShownRepository>;
  /** Called when all repositories were read: the icons that they name, all of them on disk. */
  readonly icons: () => Promise<Iterable<string>>;
  /** Called when all repositories were read. */
  readonly warnings: () => readonly string[];
  /** The index's previous snapshot: what has the same content keeps its time. */
  readonly previous: SnapshotFooter | undefined;
  readonly now: Date;
}

/** Writes the snapshot of an index to `path`, in one step, and returns its footer. */
export async function writeSnapshot(path: string, source: SnapshotSource): Promise<SnapshotFooter> {
  let footer: SnapshotFooter | undefined;
  await writeFileWhole(path, async (file) => {
    footer = await new SnapshotWriter(file, source).write();
  });
  if (footer === undefined) throw new Error(`${path} was not written`);
  return footer;
}

/** A document that the snapshot is to hold. */
interface Body {
  /** The canonical question that it answers first; `undefined` if it answers none. */
  readonly question: string | undefined;
  readonly images: number;
  /** Texts, and parts of the whole document. */
  readonly parts: readonly (string | Range)[];
  /** Where it stands, if it was written already. */
  readonly identity?: Representation;
  /** Its bytes, unless they are too many to be in memory at once. */
  readonly document: Buffer | undefined;
}

/** Is told of each image in the order of the document. */
interface ImageCollector {
  add(repository: string, tags: readonly string[], image: ShownImage): void;
}

/** A body, and what was made of it in memory. */
interface EncodedBody {
  readonly body: Body;
  readonly compressed: Readonly<Record<Compression, Buffer>> | undefined;
}

class SnapshotWriter {
  readonly #file: FileHandle;
  readonly #writer: RegionWriter;
  readonly #source: SnapshotSource;

  constructor(file: FileHandle, source: SnapshotSource) {
    this.#file = file;
    this.#writer = new RegionWriter(file);
    this.#source = source;
  }

  async write(): Promise<SnapshotFooter> {
    const { index, fingerprint, catalog, source, registry, repositories, repositoryPriority, warnings, previous, now } = this.#source;
    const builder = new ImageTableBuilder();
    const appList = new AppListBuilder(index, repositoryPriority);
    const needs = new RuntimeNeedsBuilder();
    await this.#writeDocument(repositories, builder, [appList, needs]);
    const whole = this.#writer.endRegion();
    await this.#writer.flush();

    const document = whole.length <= IN_MEMORY ? await readRegion(this.#file, whole) : undefined;
    const read: ReadRange = ({ start, end }) => (document ? Promise.resolve(document.subarray(start, end)) : readRegion(this.#file, { offset: start, length: end - start }));
    const table = builder.build();
    const entries = appList.entries();
    const tables = Promise.all([gzipTable(table.serialize()), gzipTable(JSON.stringify(appList.versions()))]);
    // It is awaited last; until then, an error of it is nobody's.
    tables.catch(() => undefined);
    const apps = await gathered({ question: undefined, images: entries.length, parts: [JSON.stringify({ index, apps: entries })] }, read);
    /** By question, the one whose document answers it too. */
    const answers = new Map<string, string>();
    const bodies = this.#bodies({ question: '', images: table.size, parts: [], identity: whole, document }, apps, table, read, answers);
    const stored = new Map<string | undefined, StoredDocument>();
    for await (const encoded of pMapIterable(bodies, encode, { concurrency: ENCODED_AT_ONCE })) {
      stored.set(encoded.body.question, await this.#store(encoded, read));
    }
    const documents = Object.fromEntries([...answers].map(([question, answered]) => [question, stored.get(answered) as StoredDocument]));

    const contests = new Warnings();
    for (const contest of builder.contests()) contests.add(contest);
    const [forQuestions, forChanges] = await tables;
    const tableRegion = await this.#appendTable(forQuestions);
    const appVersions = await this.#appendTable(forChanges);
    const same = previous?.documents['']?.representations.identity.etag === whole.etag;
    const footer: SnapshotFooter = {
      index,
      fingerprint,
      catalog,
      source,
      registry,
      repositoryPriority,
      warnings: [...contests.toArray(), ...warnings()],
      needs: needs.build(),
      modified: same ? previous.modified : Math.floor(now.getTime() / 1000) * 1000,
      icons: [...(await this.#source.icons())].toSorted(),
      documents,
      table: tableRegion,
      apps: stored.get(undefined) as StoredDocument,
      appVersions,
    };
    await this.#writeFooter(footer);
    return footer;
  }

  /**
   * All that is to be kept: the whole index, the answers to what Flatpak clients ask for, as far as it will be asked often, and the
   * apps. Equal answers are made once, and told in `answers`.
   */
  async *#bodies(whole: Body, apps: Body, table: ImageTable, read: ReadRange, answers: Map<string, string>): AsyncGenerator<Body> {
    yield whole;
    answers.set('', '');
    yield apps;
    const bySelection = new Map<string, string>();
    const combinations = table.tagsAndArchitectures().slice(0, MAX_COMBINATIONS);
    const questions = combinations.flatMap(({ tag, architecture }) => this.#source.refFields.map((field) => flatpakQuery(tag, architecture, field)));
    for (const question of questions) {
      const images = await table.select(question, read);
      const selection = digestOf(images.join(' '));
      const answered = images.length === table.size ? '' : bySelection.get(selection);
      answers.set(question.canonical, answered ?? question.canonical);
      if (answered !== undefined) continue;
      bySelection.set(selection, question.canonical);
      yield gathered({ question: question.canonical, images: images.length, parts: table.compose(this.#source.registry, images) }, read);
    }
  }

  async #writeDocument(repositories: AsyncIterable<ShownRepository>, table: ImageTableBuilder, others: readonly ImageCollector[]): Promise<void> {
    const write = (text: string): Promise<number> => this.#writer.appendText(text);
    const writeImage = async (repository: string, tags: readonly string[] | undefined, list: readonly string[], image: ShownImage, comma: boolean): Promise<void> => {
      if (comma) await write(',');
      const start = this.#writer.position;
      const length = await write(imageJson(tags, image));
      table.add(repository, tags, image, { start, end: start + length });
      for (const collector of others) collector.add(repository, tags ?? list, image);
    };

    await write(documentHead(this.#source.registry));
    let firstRepository = true;
    for await (const { name, images, lists } of repositories) {
      await write((firstRepository ? '' : ',') + repositoryHead(name));
      firstRepository = false;
      for (const [index, { tags, image }] of images.entries()) await writeImage(name, tags, [], image, index > 0);
      await write(LISTS_HEAD);
      for (const [index, list] of lists.entries()) {
        const head = listHead(list.tags, list.digest, list.mediaType);
        table.beginList(list.tags, head);
        await write((index > 0 ? ',' : '') + head);
        for (const [place, image] of list.images.entries()) await writeImage(name, undefined, list.tags, image, place > 0);
        await write(LIST_END);
      }
      await write(REPOSITORY_END);
    }
    await write(DOCUMENT_END);
  }

  /** Adds a document in all encodings to the file, in a fixed order. */
  async #store({ body, compressed }: EncodedBody, read: ReadRange): Promise<StoredDocument> {
    const { images, parts, document } = body;
    let { identity } = body;
    if (identity === undefined) {
      if (document === undefined) for (const part of parts) await (typeof part === 'string' ? this.#writer.appendText(part) : this.#writer.append(await read(part)));
      else await this.#writer.append(document);
      identity = this.#writer.endRegion();
    }
    const representations: Record<string, Representation> & { identity: Representation } = { identity };
    for (const encoding of COMPRESSIONS) {
      if (compressed === undefined) await this.#appendCompressed(identity, encoding);
      else await this.#writer.append(compressed[encoding]);
      const representation = this.#writer.endRegion();
      if (representation.length < identity.length) representations[encoding] = representation;
    }
    return { images, representations };
  }

  /** Compresses a document that is too large for memory. */
  async #appendCompressed(document: Representation, encoding: Compression): Promise<void> {
    await this.#writer.flush();
    await pipeline(regionChunks(this.#file, document), compressor(document.length, encoding), async (compressed: AsyncIterable<Buffer>) => {
      for await (const chunk of compressed) await this.#writer.append(chunk);
    });
  }

  async #appendTable(gzipped: Buffer): Promise<Representation> {
    await this.#writer.append(gzipped);
    return this.#writer.endRegion();
  }

  async #writeFooter(footer: SnapshotFooter): Promise<void> {
    const json = Buffer.from(JSON.stringify(footer));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(json.length);
    await this.#writer.append(Buffer.concat([json, createHash('sha256').update(json).digest(), length, MAGIC]));
    await this.#writer.flush();
  }
}

/**
 * Compresses what is in memory: gzip in the thread pool, the others meanwhile here, since each thread that they are made in keeps
 * tens of megabytes.
 */
async function encode(body: Body): Promise<EncodedBody> {
  const { document } = body;
  if (document === undefined) return { body, compressed: undefined };
  const gzipped = compress(document, 'gzip');
  const br = compressSync(document, 'br');
  const zstd = compressSync(document, 'zstd');
  return { body, compressed: { gzip: await gzipped, br, zstd } };
}

/** In the thread pool, and quickly: only this program reads it. */
function gzipTable(json: string): Promise<Buffer> {
  return promisify(gzip)(json, { level: 1 });
}

/** Puts the parts of a body together, unless it is too large for memory. */
async function gathered(body: Omit<Body, 'document'>, read: ReadRange): Promise<Body> {
  const length = body.parts.reduce((sum, part) => sum + (typeof part === 'string' ? Buffer.byteLength(part) : part.end - part.start), 0);
  if (length > ENCODED_IN_MEMORY) return { ...body, document: undefined };
  const document = Buffer.allocUnsafe(length);
  let filled = 0;
  for (const part of body.parts) filled += typeof part === 'string' ? document.write(part, filled) : (await read(part)).copy(document, filled);
  return { ...body, document };
}

function imageJson(tags: readonly string[] | undefined, image: ShownImage): string {
  const head = tags === undefined ? '{' : `{"Tags":${JSON.stringify(tags)},`;
  const { digest, mediaType, os, architecture } = image;
  const fixed = JSON.stringify({ Digest: digest, MediaType: mediaType, OS: os, Architecture: architecture }).slice(1, -1);
  return `${head}${fixed},"Annotations":${pairsJson(image.annotations)},"Labels":${pairsJson(image.labels)}}`;
}

function listHead(tags: readonly string[], digest: Digest, mediaType: string): string {
  return `{"Tags":${JSON.stringify(tags)},"Digest":${JSON.stringify(digest)},"MediaType":${JSON.stringify(mediaType)},"Images":[`;
}

/** Written pair by pair: as a property of an object, `__proto__` would be lost and numbers would change their place. */
function pairsJson(pairs: Pairs): string {
  return `{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}
