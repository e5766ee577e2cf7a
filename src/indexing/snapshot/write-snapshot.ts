/** Makes an index's snapshot from its images. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { gzip } from 'node:zlib';
import { promisify } from 'node:util';
import { pipeline } from 'node:stream/promises';
import { pMapIterable } from 'p-map';
import type { Digest } from '../../registry/digest.ts';
import { AppListBuilder } from '../appdata/app-list.ts';
import { flatpakQuery } from '../query/query.ts';
import type { Query } from '../query/query.ts';
import type { ImageTable, ReadRange } from '../query/image-table.ts';
import { DOCUMENT_END, documentHead, ImageTableBuilder, LIST_END, LISTS_HEAD, REPOSITORY_END, repositoryHead } from '../query/image-table.ts';
import type { Pairs } from '../render-image.ts';
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
const COMPRESSED_AT_ONCE = 2;
/** Other documents up to so many bytes are compressed in memory, larger ones as a stream from the file. */
const COMPRESSED_IN_MEMORY = 4 * 1024 * 1024;
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
export interface SnapshotSource extends Pick<SnapshotFooter, 'index' | 'fingerprint' | 'catalog' | 'registry'> {
  /** Where Flatpak clients look for the ref: their questions are answered beforehand. */
  readonly refFields: readonly ('label' | 'annotation')[];
  /** In the order of the document; read once, so that not all images are in memory at the same time. */
  readonly repositories: AsyncIterable<ShownRepository>;
  /** Called when all repositories were read: the icons that they name, all of them on disk. */
  readonly icons: () => Promise<Iterable<string>>;
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

/** A document in memory, and what the thread pool makes of it. */
interface Begun {
  readonly document: Buffer;
  readonly gzipped: Promise<Buffer>;
}

function begin(document: Buffer): Begun {
  return { document, gzipped: compress(document, 'gzip') };
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
    const { index, fingerprint, catalog, registry, repositories, previous, now } = this.#source;
    const builder = new ImageTableBuilder();
    const appList = new AppListBuilder(index);
    await this.#writeDocument(repositories, builder, appList);
    const whole = this.#writer.endRegion();
    await this.#writer.flush();

    const document = whole.length <= IN_MEMORY ? await readRegion(this.#file, whole) : undefined;
    // It takes long, so it is begun before the rest is made.
    const begun = document && begin(document);
    const read: ReadRange = ({ start, end }) => (document ? Promise.resolve(document.subarray(start, end)) : readRegion(this.#file, { offset: start, length: end - start }));
    const table = builder.build();
    // Equal answers are kept once.
    const byContent = new Map<string, { images: number; identity: Representation }>();
    const answers = new Map<string, string>();
    const keep = (canonical: string, images: number, identity: Representation): void => {
      if (!byContent.has(identity.etag)) byContent.set(identity.etag, { images, identity });
      answers.set(canonical, identity.etag);
    };
    keep('', table.size, whole);
    for (const query of this.#questions(table)) {
      const images = await table.select(query, read);
      if (images.length === table.size) keep(query.canonical, images.length, whole);
      else {
        for (const part of table.compose(registry, images)) {
          if (typeof part === 'string') await this.#writer.appendText(part);
          else await this.#writer.append(await read(part));
        }
        keep(query.canonical, images.length, this.#writer.endRegion());
      }
    }
    const entries = appList.entries();
    await this.#writer.appendText(JSON.stringify({ index, apps: entries }));
    const apps = this.#writer.endRegion();
    byContent.set(apps.etag, { images: entries.length, identity: apps });
    const stored = await this.#encode(byContent, begun && new Map([[whole, begun]]));
    const documents = Object.fromEntries([...answers].map(([canonical, etag]) => [canonical, stored.get(etag) as StoredDocument]));

    await this.#writer.append(await promisify(gzip)(table.serialize(), { level: 1 }));
    const { offset, length } = this.#writer.endRegion();
    await this.#writer.append(await promisify(gzip)(JSON.stringify(appList.versions()), { level: 1 }));
    const versions = this.#writer.endRegion();
    const same = previous?.documents['']?.representations.identity.etag === whole.etag;
    const footer: SnapshotFooter = {
      index,
      fingerprint,
      catalog,
      registry,
      modified: same ? previous.modified : Math.floor(now.getTime() / 1000) * 1000,
      icons: [...(await this.#source.icons())].toSorted(),
      documents,
      table: { offset, length },
      apps: stored.get(apps.etag) as StoredDocument,
      appVersions: { offset: versions.offset, length: versions.length },
    };
    await this.#writeFooter(footer);
    return footer;
  }

  /** What Flatpak clients ask for, as far as it will be asked often. */
  #questions(table: ImageTable): readonly Query[] {
    const combinations = table.tagsAndArchitectures().slice(0, MAX_COMBINATIONS);
    return combinations.flatMap(({ tag, architecture }) => this.#source.refFields.map((field) => flatpakQuery(tag, architecture, field)));
  }

  async #writeDocument(repositories: AsyncIterable<ShownRepository>, table: ImageTableBuilder, appList: AppListBuilder): Promise<void> {
    const write = (text: string): Promise<number> => this.#writer.appendText(text);
    const writeImage = async (repository: string, tags: readonly string[] | undefined, list: readonly string[], image: ShownImage, comma: boolean): Promise<void> => {
      if (comma) await write(',');
      const start = this.#writer.position;
      const length = await write(imageJson(tags, image));
      table.add(repository, tags, image, { start, end: start + length });
      appList.add(repository, tags ?? list, image);
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

  /**
   * Adds all encodings to the file, in a fixed order. Of what fits in memory, gzip is made by the thread pool and the others
   * meanwhile here: each thread that they are made in keeps tens of megabytes.
   * @param begun those that are being made already
   */
  async #encode(
    documents: ReadonlyMap<string, { images: number; identity: Representation }>,
    begun: ReadonlyMap<Representation, Begun> | undefined,
  ): Promise<ReadonlyMap<string, StoredDocument>> {
    await this.#writer.flush();
    const compressed = pMapIterable(
      documents.values(),
      async ({ identity }): Promise<Readonly<Record<Compression, Buffer>> | undefined> => {
        let made = begun?.get(identity);
        if (made === undefined) {
          if (identity.length > COMPRESSED_IN_MEMORY) return undefined;
          made = begin(await readRegion(this.#file, identity));
        }
        const br = compressSync(made.document, 'br');
        const zstd = compressSync(made.document, 'zstd');
        return { gzip: await made.gzipped, br, zstd };
      },
      { concurrency: COMPRESSED_AT_ONCE },
    );
    const stored = new Map<string, StoredDocument>();
    const entries = documents.entries();
    for await (const bytes of compressed) {
      const [etag, { images, identity }] = entries.next().value as [string, { images: number; identity: Representation }];
      const representations: Record<string, Representation> & { identity: Representation } = { identity };
      for (const encoding of COMPRESSIONS) {
        if (bytes === undefined) await this.#appendCompressed(identity, encoding);
        else await this.#writer.append(bytes[encoding]);
        const representation = this.#writer.endRegion();
        if (representation.length < identity.length) representations[encoding] = representation;
      }
      stored.set(etag, { images, representations });
    }
    return stored;
  }

  /** Compresses a body that is too large for memory. */
  async #appendCompressed(document: Representation, encoding: Compression): Promise<void> {
    await pipeline(regionChunks(this.#file, document), compressor(document.length, encoding), async (compressed: AsyncIterable<Buffer>) => {
      for await (const chunk of compressed) await this.#writer.append(chunk);
    });
  }

  async #writeFooter(footer: SnapshotFooter): Promise<void> {
    const json = Buffer.from(JSON.stringify(footer));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(json.length);
    await this.#writer.append(Buffer.concat([json, createHash('sha256').update(json).digest(), length, MAGIC]));
    await this.#writer.flush();
  }
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
