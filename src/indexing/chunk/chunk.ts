/**
 * A chunk: some repositories of an index, rendered once, ready to serve, named by the hash of its bytes and never
 * changed.
 */
import { hash } from 'node:crypto';
import type { Digest } from '../../registry/digest.ts';
import type { StoredChunk, StoredSegment } from '../../store/publications.ts';
import type { RuntimeNeeds } from '../appdata/runtime-needs.ts';
import type { RefField } from '../query/query.ts';
import { Columns } from './columns.ts';
import type { SizedRepository } from './cuts.ts';
import { copyOf } from './gzip-member.ts';
import { EMPTY_PART, HASH_BYTES, type ChunkPart, type Segment } from './part.ts';

/** Bytes of the head's length. */
const WORD = 4;
const NO_BYTES = Buffer.alloc(0);
/** Prefix of the digests of PNGs. */
const SHA256 = 'sha256:';

/** A question that Flatpak clients ask: all images with a ref for one tag and architecture. */
export interface ReadyQuestion {
  readonly field: RefField;
  readonly tag: string;
  readonly architecture: string;
}

/** Content of a chunk. Equal parts are the same object, and are stored once. */
export interface ChunkContent {
  /** Hash of everything that it was rendered from. */
  readonly input: string;
  /** Name of the repository, if the chunk is a slice of a large one. */
  readonly slice: string | undefined;
  /** Repositories that it shows, in order, with their numbers of images. */
  readonly repositories: readonly SizedRepository[];
  /** Part of the document of the whole index. */
  readonly whole: ChunkPart;
  /** Parts of the answers to questions of Flatpak clients. */
  readonly ready: readonly (ReadyQuestion & { readonly part: ChunkPart })[];
  /** Fields for which {@link ready} has every combination of tag and architecture that occurs. */
  readonly complete: readonly RefField[];
  /** {@link Columns} that answer all other questions. */
  readonly columns: Buffer;
  /** PNGs that it names as files, sorted. */
  readonly icons: readonly Digest[];
  /** Manifests of deltas that it names, sorted. */
  readonly deltaManifests: readonly Digest[];
  /** Gzipped JSON of the records of its apps, by id. */
  readonly apps: Buffer;
  /** Ids of these apps, sorted. */
  readonly appIds: readonly string[];
  /** Warnings about its images, for the administrator. */
  readonly warnings: readonly string[];
  /** Runtimes that its Flatpaks need. */
  readonly needs: RuntimeNeeds;
}

interface Place {
  readonly offset: number;
  readonly length: number;
}

/** Place of a segment in the body, and of its hashes behind the head's JSON. */
interface SegmentPlace extends StoredSegment {
  /** Length of its JSON, in bytes. */
  readonly bytes: number;
  readonly crc: number;
  readonly hashes: Place;
}

interface PartPlace {
  readonly images: number;
  readonly entries: SegmentPlace;
  readonly lists?: SegmentPlace | undefined;
}

interface Head extends Pick<ChunkContent, 'input' | 'repositories' | 'complete' | 'appIds' | 'warnings' | 'needs'> {
  readonly slice?: string | undefined;
  /** Absent if there are none. */
  readonly deltaManifests?: readonly Digest[] | undefined;
  readonly parts: readonly PartPlace[];
  /** Questions with the number of their part; part 0 is the whole. */
  readonly ready: readonly (readonly [field: RefField, tag: string, architecture: string, part: number])[];
  readonly icons: Place;
  readonly apps: Place;
  readonly columns: Place;
}

/** Concatenates buffers, and records the place of each. */
class Bodies {
  readonly #bodies: Buffer[] = [];
  #end = 0;

  place(body: Buffer): Place {
    const placed = { offset: this.#end, length: body.length };
    this.#bodies.push(body);
    this.#end += body.length;
    return placed;
  }

  concat(): Buffer {
    return Buffer.concat(this.#bodies);
  }
}

/**
 * Encodes a chunk. The head is `length of its JSON (uint32, little endian) │ JSON │ hashes │ icons │ apps │ columns`,
 * the body the segments.
 */
export async function encodeChunk({
  input,
  slice,
  repositories,
  whole,
  ready,
  complete,
  columns,
  icons,
  deltaManifests,
  apps,
  appIds,
  warnings,
  needs,
}: ChunkContent): Promise<StoredChunk> {
  const body = new Bodies();
  const behindHead = new Bodies();
  const placeSegment = async (segment: Segment): Promise<SegmentPlace> => {
    const bytes = await segment.bytes();
    return {
      ...body.place(bytes),
      sha256: hash('sha256', bytes),
      bytes: segment.length,
      crc: segment.crc,
      hashes: behindHead.place(segment.hashes),
    };
  };
  const parts: PartPlace[] = [];
  const numbers = new Map<ChunkPart, number>();
  const numberOf = async (part: ChunkPart): Promise<number> => {
    let number = numbers.get(part);
    if (number === undefined) {
      number =
        parts.push({
          images: part.images,
          entries: await placeSegment(part.entries),
          lists: part.lists && (await placeSegment(part.lists)),
        }) - 1;
      numbers.set(part, number);
    }
    return number;
  };
  await numberOf(whole);
  const readyNumbers: Head['ready'][number][] = [];
  for (const { field, tag, architecture, part } of ready)
    readyNumbers.push([field, tag, architecture, await numberOf(part)]);
  const head: Head = {
    input,
    slice,
    deltaManifests: deltaManifests.length === 0 ? undefined : deltaManifests,
    repositories,
    complete,
    appIds,
    warnings,
    needs,
    parts,
    ready: readyNumbers,
    icons: behindHead.place(bytesOf(icons)),
    apps: behindHead.place(apps),
    columns: behindHead.place(columns),
  };
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(WORD);
  length.writeUInt32LE(json.length);
  const headBytes = Buffer.concat([length, json, behindHead.concat()]);
  return { name: hash('sha256', headBytes), head: headBytes, body: body.concat() };
}

/** Encodes digests as their hashes alone, {@link HASH_BYTES} each. */
function bytesOf(pngs: readonly Digest[]): Buffer {
  return Buffer.from(pngs.map((png) => png.slice(SHA256.length)).join(''), 'hex');
}

function digestsOf(bytes: Buffer): readonly Digest[] {
  return Array.from(
    { length: bytes.length / HASH_BYTES },
    (_, place) => `${SHA256}${bytes.toString('hex', place * HASH_BYTES, (place + 1) * HASH_BYTES)}` as Digest,
  );
}

/** Reads a segment of the body of the chunk named `chunk`. */
export type ReadSegment = (chunk: string, segment: StoredSegment) => Buffer | Promise<Buffer>;

/** Purpose that a chunk is read for: to answer from it, or to publish it again. */
export type ChunkUse = 'answers' | 'publishing';

/** A decoded chunk. The segments of its body are read each time they are sent. */
export class Chunk {
  readonly name: string;
  /** See {@link ChunkContent}, also for the properties below. */
  readonly input: string;
  readonly slice: string | undefined;
  readonly deltaManifests: readonly Digest[];
  readonly repositories: readonly SizedRepository[];
  /** The part of the whole index, followed by those of the ready answers. */
  readonly parts: readonly ChunkPart[];
  readonly #complete: readonly RefField[];
  readonly appIds: readonly string[];
  readonly warnings: readonly string[];
  readonly needs: RuntimeNeeds;
  /** Questions whose parts are ready. */
  readonly ready: readonly ReadyQuestion[];
  readonly #ready = new Map<string, ChunkPart>();
  readonly #icons: Buffer;
  readonly #apps: Buffer | undefined;
  readonly #columns: Buffer | undefined;

  /**
   * @param headBytes as {@link encodeChunk} returns it; the caller has checked that `name` is its hash
   * @param use decides what is kept in memory
   */
  constructor(name: string, headBytes: Buffer, readSegment: ReadSegment, use: ChunkUse) {
    const length = headBytes.readUInt32LE(0);
    const head = JSON.parse(headBytes.toString('utf8', WORD, WORD + length)) as Head;
    const behindJson = headBytes.subarray(WORD + length);
    // A copy: closures that referred to the whole head would keep all of it in memory.
    const behindHead = copyOf(behindJson.subarray(0, head.apps.offset));
    const segment = (place: SegmentPlace): Segment => ({
      size: place.length,
      length: place.bytes,
      crc: place.crc,
      hashes: cutOut(behindHead, place.hashes),
      bytes: () => (place.length === 0 ? NO_BYTES : readSegment(name, place)),
    });
    this.parts = head.parts.map(({ images, entries, lists }): ChunkPart => ({
      images,
      entries: segment(entries),
      lists: lists && segment(lists),
    }));
    this.name = name;
    this.input = head.input;
    this.slice = head.slice;
    this.deltaManifests = head.deltaManifests ?? [];
    this.repositories = head.repositories;
    this.#complete = head.complete;
    this.appIds = head.appIds;
    this.warnings = head.warnings;
    this.needs = head.needs;
    this.#icons = cutOut(behindHead, head.icons);
    this.ready = head.ready.map(([field, tag, architecture]) => ({ field, tag, architecture }));
    for (const [field, tag, architecture, part] of head.ready)
      this.#ready.set(keyOf({ field, tag, architecture }), this.parts[part] as ChunkPart);
    this.#apps = use === 'publishing' ? copyOf(cutOut(behindJson, head.apps)) : undefined;
    this.#columns = use === 'answers' ? copyOf(cutOut(behindJson, head.columns)) : undefined;
  }

  /** The part of the document of the whole index. */
  get whole(): ChunkPart {
    return this.parts[0] as ChunkPart;
  }

  /** PNGs that it names as files, sorted. */
  get icons(): readonly Digest[] {
    return digestsOf(this.#icons);
  }

  /** Says whether the chunk names this PNG as a file. */
  hasIcon(png: Digest): boolean {
    // Clients ask for icons often: decoding all digests for each request would be slow.
    const wanted = bytesOf([png]);
    for (let place = this.#icons.indexOf(wanted); place !== -1; place = this.#icons.indexOf(wanted, place + 1))
      if (place % HASH_BYTES === 0) return true;
    return false;
  }

  /** Returns the part of the answer to `question`; `undefined` if it is not ready. */
  readyPart(question: ReadyQuestion): ChunkPart | undefined {
    return this.#ready.get(keyOf(question)) ?? (this.#complete.includes(question.field) ? EMPTY_PART : undefined);
  }

  /**
   * Returns the columns.
   * @throws TypeError unless the chunk was read for answers
   */
  columns(): Columns {
    if (this.#columns === undefined) throw new TypeError('the chunk was not read for answers');
    return new Columns(this.#columns);
  }

  /**
   * Gzipped JSON of the records of its apps.
   * @throws TypeError unless the chunk was read for publishing
   */
  get apps(): Buffer {
    if (this.#apps === undefined) throw new TypeError('the chunk was not read for publishing');
    return this.#apps;
  }
}

function cutOut(bytes: Buffer, { offset, length }: Place): Buffer {
  return bytes.subarray(offset, offset + length);
}

function keyOf({ field, tag, architecture }: ReadyQuestion): string {
  return `${field} ${tag} ${architecture}`;
}
