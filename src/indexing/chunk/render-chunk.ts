/** Renders chunks. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import pMap from 'p-map';
import type { HiddenTags, PlacedImage, ShownImage, ShownRepository } from '../render/document.ts';
import { imageJson, LIST_END, listHead, LISTS_HEAD, REPOSITORY_END, repositoryHead } from '../render/document.ts';
import { FLATPAK_REF } from '../appdata/flatpak-image.ts';
import type { RefField } from '../query/query.ts';
import type { ChunkContent, ReadyQuestion } from './chunk.ts';
import { ColumnsBuilder } from './columns.ts';
import type { ChunkPart, Entry, Segment } from './part.ts';
import { entryOf, hashOfRepository, segmentOf } from './part.ts';

/** Combinations of tag and architecture up to which all are made ready. */
const MAX_COMBINATIONS = 64;
/** In a chunk with more combinations, share of repositories from which a combination is made ready. */
const LEAST_SHARE = 1 / 4;
/** Parts that are compressed at once, besides the whole: the same few threads compress what clients wait for. */
const PARTS_AT_ONCE = 2;

/** Options of {@link renderChunk}. */
export interface ChunkOptions extends Pick<ChunkContent, 'input' | 'icons' | 'deltaManifests' | 'warnings' | 'needs'> {
  /** Where Flatpak clients look for the ref, to make their questions ready. */
  readonly refFields: readonly RefField[];
  /** Records of the chunk's apps, by id. */
  readonly apps: Readonly<Record<string, unknown>>;
}

/** An image with its JSON, which is written once for all answers. */
interface Written {
  readonly image: ShownImage;
  readonly tags: readonly string[];
  readonly hidden: HiddenTags;
  readonly json: string;
  readonly entry: Entry;
}

interface WrittenRepository {
  readonly name: string;
  readonly images: readonly Written[];
  readonly lists: readonly { readonly head: string; readonly images: readonly Written[] }[];
}

/**
 * Renders a chunk of `repositories`, none of which is empty.
 * @param slice whether these are a slice of one repository
 */
export async function renderChunk(
  repositories: readonly ShownRepository[],
  slice: boolean,
  options: ChunkOptions,
): Promise<ChunkContent> {
  const written = repositories.map(write);
  const parts = new PartCache(written, slice);
  const { questions, complete } = readyQuestions(written, slice, options.refFields);
  const [whole, ready] = await Promise.all([
    parts.part(() => true),
    pMap(
      questions,
      async (question) => ({ ...question, part: await parts.part((image) => answersQuestion(image, question)) }),
      { concurrency: PARTS_AT_ONCE },
    ),
  ]);
  const { input, icons, deltaManifests, apps, warnings, needs } = options;
  return {
    input,
    slice: slice ? repositories[0]?.name : undefined,
    repositories: repositories.map(({ name, images, lists }) => ({
      name,
      images: lists.reduce((sum, list) => sum + list.images.length, images.length),
    })),
    whole,
    ready,
    complete: complete ? options.refFields : [],
    columns: columnsOf(written, slice),
    icons,
    deltaManifests,
    apps: await promisify(gzip)(JSON.stringify(apps)),
    appIds: Object.keys(apps).toSorted(),
    warnings,
    needs,
  };
}

function write({ name, images, lists }: ShownRepository): WrittenRepository {
  return {
    name,
    images: images.map((placed) => writeImage(placed, placed.tags, true)),
    lists: lists.map((list) => ({
      head: listHead(list),
      images: list.images.map((placed) => writeImage(placed, list.tags, false)),
    })),
  };
}

function writeImage({ image, hidden }: PlacedImage, tags: readonly string[], own: boolean): Written {
  const json = imageJson(own ? tags : undefined, image);
  return { image, tags, hidden, json, entry: entryOf(json) };
}

/** Says whether an image belongs in the answer to a question of Flatpak. */
function answersQuestion({ image, tags, hidden }: Written, { field, tag, architecture }: ReadyQuestion): boolean {
  return (
    image.architecture === architecture &&
    image.os === 'linux' &&
    tags.includes(tag) &&
    !hidden[field].includes(tag) &&
    hasRef(image, field)
  );
}

function hasRef({ labels, annotations }: ShownImage, field: RefField): boolean {
  return (field === 'label' ? labels : annotations).some(([key]) => key === FLATPAK_REF);
}

/** Makes the parts of one chunk; equal selections share one part. */
class PartCache {
  readonly #repositories: readonly WrittenRepository[];
  readonly #slice: boolean;
  readonly #parts = new Map<string, Promise<ChunkPart>>();

  constructor(repositories: readonly WrittenRepository[], slice: boolean) {
    this.#repositories = repositories;
    this.#slice = slice;
  }

  async part(shows: (image: Written) => boolean): Promise<ChunkPart> {
    const selected = this.#repositories.map(({ name, images, lists }) => ({
      name,
      images: images.filter(shows),
      lists: lists
        .map((list) => ({ head: list.head, images: list.images.filter(shows) }))
        .filter((list) => list.images.length > 0),
    }));
    const key = JSON.stringify(
      selected.map(({ images, lists }) =>
        [images, ...lists.map((list) => list.images)].map((some) =>
          some.map(({ entry }) => entry.hash.toString('base64')),
        ),
      ),
    );
    let part = this.#parts.get(key);
    if (part === undefined) {
      part = partOf(selected, this.#slice);
      this.#parts.set(key, part);
    }
    return part;
  }
}

/** Selected images of a repository, as JSON. */
export interface SelectedEntries {
  readonly name: string;
  readonly images: readonly { readonly entry: Entry }[];
  readonly lists: readonly { readonly head: string; readonly images: readonly { readonly entry: Entry }[] }[];
}

/** Makes the part that shows these images; skips repositories without any. */
export async function partOf(repositories: readonly SelectedEntries[], slice: boolean): Promise<ChunkPart> {
  const images = repositories.reduce(
    (sum, repository) =>
      sum + repository.images.length + repository.lists.reduce((inLists, list) => inLists + list.images.length, 0),
    0,
  );
  const entries: Entry[] = [];
  const listEntries: Entry[] = [];
  for (const repository of repositories) {
    const own = repository.images.map(({ entry }) => entry);
    const lists = repository.lists.map((list) =>
      entryOf(list.head + list.images.map(({ entry }) => entry.json).join(',') + LIST_END),
    );
    if (own.length === 0 && lists.length === 0) continue;
    if (slice) {
      entries.push(...own);
      listEntries.push(...lists);
    } else {
      const json =
        repositoryHead(repository.name) +
        own.map((entry) => entry.json).join(',') +
        LISTS_HEAD +
        lists.map((entry) => entry.json).join(',') +
        REPOSITORY_END;
      entries.push({ json, hash: hashOfRepository(repository.name, own.map(hashOf), lists.map(hashOf)) });
    }
  }
  const [entrySegment, listSegment]: [Segment, Segment | undefined] = [
    await segmentOf(entries),
    slice ? await segmentOf(listEntries) : undefined,
  ];
  return { images, entries: entrySegment, lists: listSegment };
}

function hashOf(entry: Entry): Buffer {
  return entry.hash;
}

/** Chooses the combinations of tag and architecture to make ready. */
function readyQuestions(
  repositories: readonly WrittenRepository[],
  slice: boolean,
  fields: readonly RefField[],
): { questions: readonly ReadyQuestion[]; complete: boolean } {
  /** Combinations with the number of repositories (in a slice: of images) that have them. */
  const occurring = new Map<string, { tag: string; architecture: string; holders: number }>();
  let all = 0;
  for (const { images, lists } of repositories) {
    const inIt = [...images, ...lists.flatMap((list) => list.images)];
    for (const holder of slice ? inIt.map((image) => [image]) : [inIt]) {
      all++;
      const keys = new Map(
        holder.flatMap(({ image: { architecture }, tags }) =>
          tags.map((tag) => [JSON.stringify([tag, architecture]), { tag, architecture }] as const),
        ),
      );
      for (const [key, combination] of keys) {
        const known = occurring.get(key);
        if (known === undefined) occurring.set(key, { ...combination, holders: 1 });
        else known.holders++;
      }
    }
  }
  const complete = occurring.size <= MAX_COMBINATIONS;
  const chosen = [...occurring]
    .filter(([, { holders }]) => complete || holders >= all * LEAST_SHARE)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    questions: chosen.flatMap(([, { tag, architecture }]) => fields.map((field) => ({ field, tag, architecture }))),
    complete,
  };
}

/** Builds the columns, with places in the JSON of the part that shows everything. */
function columnsOf(repositories: readonly WrittenRepository[], slice: boolean): Buffer {
  const columns = new ColumnsBuilder();
  let place = 0;
  const skip = (text: string): { start: number; end: number } => {
    const start = place;
    place += Buffer.byteLength(text);
    return { start, end: place };
  };
  const add = (repository: string, { image, tags, hidden, json }: Written): void => {
    columns.add({
      repository,
      tags,
      hidden,
      os: image.os,
      architecture: image.architecture,
      pairs: pairsOf(image),
      json: skip(json),
    });
  };
  for (const [number, { name, images, lists }] of repositories.entries()) {
    if (!slice) skip((number > 0 ? ',' : '') + repositoryHead(name));
    columns.endLists();
    for (const [imageNumber, image] of images.entries()) {
      if (imageNumber > 0) skip(',');
      add(name, image);
    }
    if (slice) place = 0;
    else skip(LISTS_HEAD);
    for (const [listNumber, { head, images: inList }] of lists.entries()) {
      if (listNumber > 0) skip(',');
      columns.beginList(skip(head));
      for (const [imageNumber, image] of inList.entries()) {
        if (imageNumber > 0) skip(',');
        add(name, image);
      }
      skip(LIST_END);
    }
    if (!slice) skip(REPOSITORY_END);
  }
  return columns.build();
}

function* pairsOf({ labels, annotations }: ShownImage): Generator<readonly [string, string]> {
  for (const [key, value] of labels) yield [`label:${key}`, value];
  for (const [key, value] of annotations) yield [`annotation:${key}`, value];
}
