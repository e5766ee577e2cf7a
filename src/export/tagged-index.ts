/** Part of an index that Flatpak clients get for one tag: the answers for all architectures, as an index of its own. */
import pMap from 'p-map';
import type { IndexDocument } from '../indexing/appdata/app-details.ts';
import { FLATPAK_REF, parseFlatpakRef } from '../indexing/appdata/flatpak-image.ts';
import { Chunk, encodeChunk } from '../indexing/chunk/chunk.ts';
import { inflate } from '../indexing/chunk/gzip-member.ts';
import { joinParts, type ChunkPart } from '../indexing/chunk/part.ts';
import { iconPath } from '../indexing/icons/icon-path.ts';
import { DELTA_URL, deltaManifestAt } from '../indexing/deltas/delta-manifest.ts';
import { prepareQuery } from '../indexing/query/ask-chunk.ts';
import { Effort } from '../indexing/query/effort.ts';
import { canonicalQuery, flatpakQuery, type Query } from '../indexing/query/query.ts';
import type { Digest } from '../registry/digest.ts';
import { ServedIndex, type ServedIndexOptions, type Shown } from '../server/documents/served-index.ts';

/** Chunks that are asked at the same time: while zlib works on one, another one is looked through. */
const CHUNKS_AT_ONCE = 4;
/** Paths that {@link iconPath} may have returned, without their ends. */
const ICONS = /[0-9a-f]{2}\/[0-9a-f]{62}(?=\.png)/g;

/** An image that clients get. */
export interface TaggedImage {
  readonly repository: string;
  readonly digest: Digest;
}

/** An index for one tag. */
export interface TaggedIndex {
  /** Its whole document is the answer for all architectures. */
  readonly index: ServedIndex;
  /** In the order of the document. */
  readonly images: readonly TaggedImage[];
  /** Ids of its apps, with the names of the chunks that each was made from. */
  readonly apps: ReadonlyMap<string, readonly string[]>;
  /** PNGs that it names as files. */
  readonly icons: readonly Digest[];
  /** Manifests of deltas that it names. */
  readonly deltaManifests: readonly Digest[];
}

/** Content of one chunk for one tag. */
interface TaggedChunk extends Omit<TaggedIndex, 'index' | 'apps'> {
  readonly chunk: Chunk;
  readonly appIds: readonly string[];
}

/**
 * Narrows an index to one tag.
 * @param registry `Registry` of the document
 */
export async function tagIndex(
  { publication, chunks }: Shown,
  tag: string,
  { registry, signal, ...options }: ServedIndexOptions & { readonly registry: string; readonly signal: AbortSignal },
): Promise<TaggedIndex> {
  const ask = prepareQuery(anyArchitecture(tag), new Effort({ signal }));
  const tagged = (
    await pMap(chunks, async (chunk) => tagChunk(chunk, await ask(chunk)), { concurrency: CHUNKS_AT_ONCE })
  ).filter((one) => one !== undefined);
  const index = new ServedIndex(options);
  index.use(
    { ...publication, registry },
    tagged.map(({ chunk }) => chunk),
  );
  const apps = Map.groupBy(
    tagged.flatMap(({ chunk, appIds }) => appIds.map((id) => ({ id, chunk: chunk.name }))),
    ({ id }) => id,
  );
  return {
    index,
    images: tagged.flatMap(({ images }) => images),
    apps: new Map([...apps].map(([id, its]) => [id, its.map(({ chunk }) => chunk)])),
    icons: [...new Set(tagged.flatMap(({ icons }) => icons))],
    deltaManifests: [...new Set(tagged.flatMap(({ deltaManifests }) => deltaManifests))],
  };
}

/** Flatpak's question, for all architectures at once: a file server ignores which one a client asks for. */
function anyArchitecture(tag: string): Query {
  const conditions = flatpakQuery(tag, '').conditions.filter(({ field }) => field !== 'architecture');
  return { conditions, canonical: canonicalQuery(conditions) };
}

/** @param part of the answer; `undefined` is returned if it is empty */
async function tagChunk(chunk: Chunk, part: ChunkPart): Promise<TaggedChunk | undefined> {
  if (part.images === 0) return undefined;
  const { pieces } = joinParts('', [{ part, slice: chunk.slice }]);
  const json = Buffer.concat(await Promise.all(pieces.map(inflate))).toString();
  const { Results } = JSON.parse(json) as IndexDocument;
  const images = Results.flatMap(({ Name, Images, Lists }) =>
    [...Images, ...Lists.flatMap((list) => list.Images)].map((image) => ({ repository: Name, image })),
  );
  const appIds = [...new Set(images.flatMap(({ image }) => parseFlatpakRef(image.Labels[FLATPAK_REF])?.id ?? []))];
  const named = new Set(json.match(ICONS));
  const icons = chunk.icons.filter((icon) => named.has(iconPath(icon).replace(/\.png$/, '')));
  return {
    chunk: part === chunk.whole ? chunk : await narrowed(chunk, { whole: part, appIds, icons }),
    images: images.map(({ repository, image }) => ({ repository, digest: image.Digest as Digest })),
    appIds,
    icons,
    deltaManifests: images.flatMap(({ image }) => {
      const manifest = deltaManifestAt(image.Labels[DELTA_URL] ?? '');
      return manifest !== undefined && chunk.deltaManifests.includes(manifest) ? [manifest] : [];
    }),
  };
}

/** Returns a chunk in memory with only this content of `chunk`. What has another tag does not change its name. */
async function narrowed(
  chunk: Chunk,
  content: Pick<Parameters<typeof encodeChunk>[0], 'whole' | 'appIds' | 'icons'>,
): Promise<Chunk> {
  const { slice, needs } = chunk;
  const nothing = Buffer.alloc(0);
  const { name, head, body } = await encodeChunk({
    ...content,
    input: '',
    slice,
    repositories: [],
    deltaManifests: [],
    warnings: [],
    needs,
    ready: [],
    complete: [],
    columns: nothing,
    apps: nothing,
  });
  return new Chunk(name, head, (_, { offset, length }) => body.subarray(offset, offset + length), 'answers');
}
