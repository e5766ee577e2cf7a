/** Publishes one index: renders the chunks that have changed, and publishes a new version. */
import { hash } from 'node:crypto';
import type { Digest } from '../registry/digest.ts';
import { type Blobs, putBlob } from '../store/blobs.ts';
import type { Catalog, DirtyRepositories, Image, KnownRegistry } from '../store/catalog.ts';
import type { Publication, Publications, StoredChunk } from '../store/publications.ts';
import { appChanges, type AppChanges } from './appdata/app-changes.ts';
import { appRecords, appRecordsOf } from './appdata/app-list.ts';
import { runtimeNeeds } from './appdata/runtime-needs.ts';
import { Chunk, encodeChunk, type ReadSegment } from './chunk/chunk.ts';
import { cutRepository, hashOfName, IndexCutter, type Cut, type SizedRepository } from './chunk/cuts.ts';
import { FORMAT, joinParts, type JoinedDocument } from './chunk/part.ts';
import { readChunks } from './chunk/read-chunks.ts';
import { renderChunk } from './chunk/render-chunk.ts';
import { IndexDeltas } from './deltas/index-deltas.ts';
import { decideRepositories, type DecidedRepository, imageCountOf, inputOf } from './select/decide.ts';
import type { Wanted } from './select/wanted.ts';
import type { IconFiles } from './icons/icon-files.ts';
import { iconPath } from './icons/icon-path.ts';
import { FactsCache, type ImageCache } from './select/image-facts.ts';
import type { IndexDefinition } from './index-definition.ts';
import { Rendering, showRepository } from './render/render-repositories.ts';
import { Warnings } from './warnings.ts';

/** Repositories that are decided together. */
const BATCH = 64;
/** Hashes of names in the cache. */
const MAX_HASHES = 100_000;
/** Chunks that are written together. */
const CHUNKS_AT_ONCE = 16;

/** Options of {@link Publisher.open}. */
export interface PublisherOptions {
  readonly definition: IndexDefinition;
  readonly wanted: Wanted;
  /** Names and globs of the registry's repositories that are read at all; none means all. */
  readonly patterns: readonly string[];
  readonly catalog: Catalog;
  readonly publications: Publications;
  readonly blobs: Blobs;
  readonly images: ImageCache;
  /** Base URI of icons in an index; ends with `/`. */
  readonly iconsUri: string;
  /** Icon files, which are written as well if this is given. */
  readonly iconFiles?: IconFiles | undefined;
}

/** A publication with its chunks. */
export interface LoadedPublication {
  readonly publication: Publication;
  readonly chunks: readonly Chunk[];
  /** The document of the whole index, without its bytes. */
  readonly whole: Pick<JoinedDocument, 'images' | 'length' | 'tag'>;
}

/** Result of {@link Publisher.publish}. */
export interface PublishResult {
  /** Whether there is a new publication, even if its content is the same. */
  readonly published: boolean;
  /** Whether the content of the index changed. */
  readonly changed: boolean;
  readonly apps: AppChanges;
  /** PNGs that the index does not name as files any more. */
  readonly iconsGone: readonly Digest[];
}

/** Origin of a publication, stored with it as JSON. */
interface Origin {
  /** The `id` of the catalog that it was rendered from: another one may not know (yet) all that it shows. */
  readonly catalog: string;
  /** The registry, and the selection of repositories and tags. */
  readonly source: string;
  /** Hash of the definition and the renderer's options. */
  readonly fingerprint: string;
}

/** A repository that may have to be rendered. */
interface Candidate extends SizedRepository {
  /** Content that it shows; `undefined` unless that was decided again. */
  readonly decided: DecidedRepository | undefined;
}

/** Publisher of one index. */
export class Publisher {
  readonly definition: IndexDefinition;
  readonly #options: PublisherOptions;
  /** Facts about images, as this index sees them. */
  readonly facts: FactsCache;
  /** Absent if the index has no deltas. */
  readonly #deltas: IndexDeltas | undefined;
  /** Hash of all that decides what the index holds and how it shows it. */
  readonly #fingerprint: string;
  /** Hash of only what decides how an image is shown. */
  readonly #renderingFingerprint: string;
  readonly #hashes = new Map<string, number>();
  #published: LoadedPublication | undefined;
  /** The highest version of the index in the store, in whichever format. */
  #newest: number;
  /**
   * Whether a version of the program with another format has published the index since: what changed meanwhile is not
   * marked for this one.
   */
  #isOvertaken: boolean;
  /** Chunks of a publication by their first repository; see {@link #chunksByFirst}. */
  #byFirst: { readonly of: LoadedPublication | undefined; readonly chunks: Map<string, Chunk[]> } | undefined;

  /** See {@link #publishedManifests}. */
  #manifests: { readonly of: LoadedPublication | undefined; readonly names: ReadonlySet<Digest> } | undefined;

  private constructor(options: PublisherOptions, published: LoadedPublication | undefined, newest: number) {
    const { definition, patterns, iconsUri } = options;
    this.definition = definition;
    this.#options = options;
    this.facts = new FactsCache(options.images, definition);
    const { registry: from, deltas } = definition;
    this.#deltas =
      deltas &&
      new IndexDeltas({ deltas: options.catalog.deltas, registry: from, definition: deltas, facts: this.facts });
    this.#fingerprint = hash('sha256', JSON.stringify([definition, patterns, iconsUri]));
    // A key that does not change how an image is rendered belongs into this list: all others render every chunk again.
    const {
      registry: _registry,
      registryPublic: _public,
      output: _output,
      tags: _tags,
      repositoryInclude: _include,
      repositoryExclude: _exclude,
      architectures: _architectures,
      requiredAnnotations: _annotations,
      requiredLabels: _labels,
      lists: _lists,
      screenshots: _screenshots,
      icon: _icon,
      ...manner
    } = definition;
    this.#renderingFingerprint = hash('sha256', JSON.stringify([FORMAT, manner, iconsUri]));
    this.#published = published;
    this.#newest = newest;
    this.#isOvertaken = published !== undefined && newest > published.publication.version;
  }

  /**
   * Opens a publisher that continues from the index's last publication.
   * @throws StoreError
   */
  static async open(options: PublisherOptions): Promise<Publisher> {
    const { publications, definition } = options;
    const published = await loadPublication(publications, definition.name);
    return new Publisher(options, published, await publications.newestVersion(definition.name));
  }

  /** The current publication; `undefined` before the first one. */
  get published(): LoadedPublication | undefined {
    return this.#published;
  }

  /** Warnings about the current publication, for the administrator. */
  get warnings(): readonly string[] {
    const warnings = new Warnings();
    for (const chunk of this.#published?.chunks ?? []) for (const warning of chunk.warnings) warnings.add(warning);
    return warnings.toArray();
  }

  /** Returns the number of images that the index shows of each repository. */
  imagesByRepository(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { repositories } of this.#published?.chunks ?? [])
      for (const { name, images } of repositories) counts.set(name, (counts.get(name) ?? 0) + images);
    return counts;
  }

  /** Origin of the current publication. */
  get #origin(): Origin | undefined {
    return this.#published && (JSON.parse(this.#published.publication.origin) as Origin);
  }

  /**
   * Says whether the current publication is from another catalog, or from another registry or selection of repositories
   * and tags.
   */
  get inherited(): 'catalog' | 'source' | undefined {
    const origin = this.#origin;
    if (origin === undefined) return undefined;
    if (origin.catalog !== this.#options.catalog.id) return 'catalog';
    return origin.source === sourceOf(this.definition) ? undefined : 'source';
  }

  /** Whether all of the index has to be rendered again. */
  get #outdated(): boolean {
    const origin = this.#origin;
    return (
      this.#isOvertaken ||
      origin?.fingerprint !== this.#fingerprint ||
      origin.catalog !== this.#options.catalog.id ||
      this.#published?.publication.format !== FORMAT
    );
  }

  /**
   * Reads the whole publication; if some of it is missing, everything is rendered again.
   * @throws StoreError if something is damaged
   */
  async verify(): Promise<void> {
    const { publications, definition } = this.#options;
    const { chunks = [] } = (await loadPublication(publications, definition.name)) ?? {};
    if (chunks.length < (this.#published?.chunks.length ?? 0)) this.#published = undefined;
    for (const chunk of chunks) {
      try {
        for (const { entries, lists } of chunk.parts) for (const segment of [entries, lists]) await segment?.bytes();
      } catch (error) {
        if (!(error instanceof ChunkMissing)) throw error;
        this.#published = undefined;
      }
    }
  }

  /**
   * Returns the repositories to render; `undefined` if nothing has to be.
   * @throws StoreError
   */
  async stale(): Promise<DirtyRepositories | undefined> {
    const dirty = await this.#options.catalog.dirty(this.definition.name);
    return this.#outdated || dirty.repositories.length > 0 ? dirty : undefined;
  }

  /**
   * Brings the index up to date with the catalog, and publishes it if it has changed.
   * @param stale as {@link stale} returned it; read unless given
   * @throws StoreError; Error if icons are missing or cannot be written
   */
  async publish(stale?: DirtyRepositories): Promise<PublishResult> {
    const { catalog, publications } = this.#options;
    const { name, registry, registryPublic } = this.definition;
    const dirty = stale ?? (await catalog.dirty(name));
    const before = this.#published;
    const known = this.#outdated ? await catalog.known(registry) : undefined;
    const writer = new ChunkWriter(publications);
    const chunks = await this.#render(known, dirty.repositories, writer);
    if (this.definition.extractIcons)
      await this.#options.iconFiles?.settled(chunks.flatMap(({ icons }) => icons.map(iconPath)));

    const whole = wholeOf(registryPublic, chunks);
    const changed = whole.tag !== before?.whole.tag;
    const origin: Origin = { catalog: catalog.id, source: sourceOf(this.definition), fingerprint: this.#fingerprint };
    const publication: Publication = {
      index: name,
      // Higher than all earlier ones, even if these are lost, and whatever the clocks of other replicas say.
      version: Math.max(this.#newest + 1, Date.now()),
      format: FORMAT,
      registry: registryPublic,
      modified: changed ? Math.floor(Date.now() / 1000) * 1000 : (before?.publication.modified ?? 0),
      chunks: chunks.map((chunk) => chunk.name),
      origin: JSON.stringify(origin),
    };
    const published = before === undefined || !isSame(before.publication, publication);
    if (published) {
      await publications.publish(publication, writer.take());
      this.#published = { publication, chunks, whole };
      this.#newest = publication.version;
    }
    this.#isOvertaken = false;
    if (this.#deltas !== undefined || known !== undefined)
      await catalog.deltas.want(
        name,
        registry,
        this.#deltas?.take() ?? new Map(),
        known === undefined ? 'keep' : 'remove',
      );
    await catalog.clearDirty(name, dirty.upTo);
    return {
      published,
      changed,
      apps: await changesBetween(before?.chunks ?? [], chunks),
      iconsGone: this.#options.iconFiles === undefined ? [] : iconsGone(before?.chunks ?? [], chunks),
    };
  }

  /**
   * Returns the chunks of the new version; new ones go to `writer`.
   * @param known the whole registry, if everything has to be rendered
   */
  async #render(
    known: KnownRegistry | undefined,
    dirty: readonly string[],
    writer: ChunkWriter,
  ): Promise<readonly Chunk[]> {
    const reusable = new Map((this.#published?.chunks ?? []).map((chunk) => [chunk.input, chunk]));
    const chunks: Chunk[] = [];
    const cutter = new IndexCutter<Candidate>(({ name }) => this.#hashOf(name));
    const add = async (cuts: Iterable<Cut<Candidate>>): Promise<void> => {
      for (const { repositories, large } of cuts) {
        for (const run of await this.#planChunks(repositories, large, known))
          chunks.push(reusable.get(run.input) ?? (await this.#renderPlan(run, writer)));
      }
    };
    for await (const candidates of this.#candidates(known, dirty))
      await add(candidates.values().flatMap((candidate) => cutter.add(candidate)));
    await add(cutter.end());
    return chunks;
  }

  #hashOf(name: string): number {
    let hashed = this.#hashes.get(name);
    if (hashed === undefined) {
      hashed = hashOfName(name);
      if (this.#hashes.size >= MAX_HASHES) this.#hashes.clear();
      this.#hashes.set(name, hashed);
    }
    return hashed;
  }

  /** Yields all repositories that the index shows, by name, in batches. */
  async *#candidates(known: KnownRegistry | undefined, dirty: readonly string[]): AsyncGenerator<readonly Candidate[]> {
    const { wanted } = this.#options;
    if (known !== undefined) {
      const names = [...known.repositories.keys()].filter(wanted.repository);
      for (let start = 0; start < names.length; start += BATCH)
        yield this.#decide(names.slice(start, start + BATCH), known);
      return;
    }
    const shown = new Map<string, number>();
    for (const { slice, repositories } of this.#published?.chunks ?? [])
      for (const { name } of repositories) shown.set(name, slice === undefined ? 0 : Infinity);
    const decided = new Map((await this.#decide(dirty)).map((candidate) => [candidate.name, candidate]));
    for (const name of dirty) shown.delete(name);
    const names = [...shown.keys(), ...decided.keys()].toSorted();
    yield names.map((name) => decided.get(name) ?? { name, images: shown.get(name) ?? 0, decided: undefined });
  }

  /** Decides what the index shows of repositories; leaves out those of which it shows nothing. */
  async #decide(names: readonly string[], known?: KnownRegistry): Promise<Candidate[]> {
    if (names.length === 0) return [];
    const { catalog, definition, wanted } = this.#options;
    const decided = await decideRepositories(names, known ?? (await catalog.known(definition.registry, names)), {
      catalog,
      definition,
      wanted,
      facts: this.facts,
    });
    const shown = (await this.#deltas?.addTo(decided)) ?? decided;
    return shown
      .map((repository) => ({ name: repository.name, images: imageCountOf(repository), decided: repository }))
      .filter(({ images }) => images > 0);
  }

  /** Plans the chunk of a cut, or the chunks of one large repository. */
  async #planChunks(
    candidates: readonly Candidate[],
    large: boolean,
    known: KnownRegistry | undefined,
  ): Promise<readonly ChunkPlan[]> {
    // Unchanged repositories are decided again only if others in their chunk have changed.
    const unchanged = candidates.every(({ decided }) => decided === undefined)
      ? this.#reusedPlans(candidates, large)
      : undefined;
    if (unchanged !== undefined) return unchanged;
    const names = candidates.flatMap(({ name, decided }) => (decided === undefined ? [name] : []));
    const others = new Map((await this.#decide(names, known)).map(({ name, decided }) => [name, decided]));
    const all = candidates
      .map(({ name, decided }) => decided ?? others.get(name))
      .filter((decided) => decided !== undefined);
    if (!large)
      return [
        this.#plan(
          all,
          false,
          all.flatMap(({ contests }) => contests),
        ),
      ];
    const [repository] = all;
    if (repository === undefined) return [];
    const slices = cutRepository<DecidedRepository['images'][number], DecidedRepository['lists'][number]>(repository);
    // Its contests are reported once, by the first slice.
    return slices.map((slice, place) =>
      this.#plan([{ ...slice, contests: [] }], true, place === 0 ? repository.contests : []),
    );
  }

  #plan(repositories: readonly DecidedRepository[], isSlice: boolean, contests: readonly string[]): ChunkPlan {
    return {
      repositories,
      isSlice,
      contests,
      input: hash(
        'sha256',
        JSON.stringify([this.#renderingFingerprint, isSlice, contests, ...repositories.map(inputOf)]),
      ),
    };
  }

  /**
   * Returns the plans of the chunks that show exactly these unchanged repositories; `undefined` if the cuts have moved.
   */
  #reusedPlans(candidates: readonly Candidate[], large: boolean): readonly ChunkPlan[] | undefined {
    const first = candidates[0]?.name ?? '';
    const its = this.#chunksByFirst().get(first) ?? [];
    const [chunk] = its;
    if (chunk === undefined || (chunk.slice !== undefined) !== large) return undefined;
    if (
      !large &&
      (chunk.repositories.length !== candidates.length ||
        !candidates.every(({ name }, place) => chunk.repositories[place]?.name === name))
    )
      return undefined;
    return its.map(({ input }) => ({ input, repositories: [], isSlice: large, contests: [] }));
  }

  /** Returns the current chunks by their first repository. */
  #chunksByFirst(): ReadonlyMap<string, readonly Chunk[]> {
    if (this.#byFirst?.of !== this.#published || this.#byFirst === undefined) {
      const chunks = Map.groupBy(this.#published?.chunks ?? [], ({ repositories }) => repositories[0]?.name ?? '');
      this.#byFirst = { of: this.#published, chunks };
    }
    return this.#byFirst.chunks;
  }

  async #renderPlan({ input, repositories, isSlice, contests }: ChunkPlan, writer: ChunkWriter): Promise<Chunk> {
    const { definition, images, iconFiles } = this.#options;
    const texts = await images.get(definition.registry, [
      ...new Set(
        repositories.flatMap((repository) =>
          [...repository.images, ...repository.lists.flatMap((list) => list.images)].map(({ digest }) => digest),
        ),
      ),
    ]);
    const rendering = new Rendering(this.#options, await this.#pngsOf(texts.values()));
    const shown = repositories.map((repository) =>
      showRepository(repository, (placed) => rendering.show(repository.name, placed, texts)),
    );
    const icons = [...rendering.icons].toSorted();
    await writer.putPngs(rendering.unusualPngs);
    // Each takes a transaction, and those that are published already are stored.
    const stored = rendering.deltaManifests.size === 0 ? undefined : this.#publishedManifests();
    for (const [digest, manifest] of rendering.deltaManifests)
      if (stored?.has(digest) !== true)
        await putBlob(this.#options.blobs, { kind: 'delta-manifest', digest }, [manifest]);
    for (const png of icons)
      if (iconFiles?.lacks([iconPath(png)]) === true) iconFiles.store(png, await this.#reader(png));
    const content = await renderChunk(shown, isSlice, {
      input,
      refFields: definition.flatpakAnnotations ? ['label', 'annotation'] : ['label'],
      apps: appRecords(definition.name, definition.repositoryPriority, shown),
      icons,
      deltaManifests: [...rendering.deltaManifests.keys()].toSorted(),
      warnings: [...new Set([...contests, ...rendering.warnings])],
      needs: runtimeNeeds(shown),
    });
    const encoded = await encodeChunk(content);
    await writer.add(encoded);
    return new Chunk(encoded.name, encoded.head, segmentsOf(this.#options.publications), 'publishing');
  }

  /** Returns the manifests of deltas that the current publication names. */
  #publishedManifests(): ReadonlySet<Digest> {
    if (this.#manifests?.of !== this.#published || this.#manifests === undefined) {
      const names = new Set((this.#published?.chunks ?? []).flatMap(({ deltaManifests }) => deltaManifests));
      this.#manifests = { of: this.#published, names };
    }
    return this.#manifests.names;
  }

  /** Reads the PNGs of images whose icons are shown in the index itself. */
  async #pngsOf(images: Iterable<Image>): Promise<ReadonlyMap<Digest, Buffer>> {
    const { definition, publications } = this.#options;
    const pngs = new Map<Digest, Buffer>();
    if (definition.extractIcons) return pngs;
    for (const digest of new Set([...images].flatMap(({ icons }) => icons.map(({ png }) => png)))) {
      const png = await publications.png(digest);
      if (png !== undefined) pngs.set(digest, png);
    }
    return pngs;
  }

  async #reader(png: Digest): Promise<() => Buffer> {
    const bytes = await this.#options.publications.png(png);
    return () => {
      if (bytes === undefined) throw new Error(`the icon ${png} is missing; the next full rebuild reads it again`);
      return bytes;
    };
  }
}

/** Plan of one chunk. */
interface ChunkPlan {
  /** Hash of everything that the chunk is rendered from. */
  readonly input: string;
  readonly repositories: readonly DecidedRepository[];
  /** Whether it holds a slice of one repository. */
  readonly isSlice: boolean;
  readonly contests: readonly string[];
}

/** Writes chunks in batches; the last batch is left for the publication. */
class ChunkWriter {
  readonly #publications: Publications;
  #chunks: StoredChunk[] = [];

  constructor(publications: Publications) {
    this.#publications = publications;
  }

  async add(chunk: StoredChunk): Promise<void> {
    this.#chunks.push(chunk);
    if (this.#chunks.length >= CHUNKS_AT_ONCE) await this.#publications.putChunks(this.take());
  }

  putPngs(pngs: ReadonlyMap<Digest, Uint8Array>): Promise<void> {
    return this.#publications.putPngs(pngs);
  }

  /** Removes and returns the chunks of the last batch. */
  take(): readonly StoredChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }
}

/**
 * Loads an index's publication; `undefined` if there is none, or some of its chunks are missing.
 * @throws StoreError
 */
export async function loadPublication(
  publications: Publications,
  index: string,
): Promise<LoadedPublication | undefined> {
  const publication = await publications.publication(index);
  if (publication === undefined || publication.format !== FORMAT) return undefined;
  const chunks = await readChunks(publications, publication.chunks, {
    readSegment: segmentsOf(publications),
    use: 'publishing',
  });
  return chunks && { publication, chunks, whole: wholeOf(publication.registry, chunks) };
}

/** Returns the document of the whole index, without its bytes. */
function wholeOf(registry: string, chunks: readonly Chunk[]): LoadedPublication['whole'] {
  const { images, length, tag } = joinParts(
    registry,
    chunks.map(({ whole, slice }) => ({ part: whole, slice })),
  );
  return { images, length, tag };
}

function isSame(before: Publication, now: Publication): boolean {
  return (
    before.registry === now.registry &&
    before.format === now.format &&
    before.origin === now.origin &&
    before.chunks.length === now.chunks.length &&
    before.chunks.every((name, place) => name === now.chunks[place])
  );
}

function iconsGone(before: readonly Chunk[], after: readonly Chunk[]): readonly Digest[] {
  const names = new Set(after.map(({ name }) => name));
  const candidates = new Set(before.filter(({ name }) => !names.has(name)).flatMap(({ icons }) => icons));
  if (candidates.size === 0) return [];
  for (const { icons } of after) for (const icon of icons) candidates.delete(icon);
  return [...candidates];
}

/** Compares the apps of two versions. */
async function changesBetween(before: readonly Chunk[], after: readonly Chunk[]): Promise<AppChanges> {
  const [namesBefore, namesAfter] = [new Set(before.map(({ name }) => name)), new Set(after.map(({ name }) => name))];
  const [gone, added] = [
    before.filter(({ name }) => !namesAfter.has(name)),
    after.filter(({ name }) => !namesBefore.has(name)),
  ];
  const concerned = new Set([...gone, ...added].flatMap(({ appIds }) => appIds));
  const keptIds = new Set(
    concerned.size === 0
      ? []
      : before.flatMap(({ name, appIds }) => (namesAfter.has(name) ? appIds.filter((id) => concerned.has(id)) : [])),
  );
  return appChanges(await linesOf(gone), await linesOf(added), keptIds);
}

/** Describes the images of each app, by id. */
async function linesOf(chunks: readonly Chunk[]): Promise<ReadonlyMap<string, string>> {
  const lines = new Map<string, string>();
  for (const chunk of chunks)
    for (const [id, { images }] of Object.entries(await appRecordsOf(chunk)))
      lines.set(id, `${lines.get(id) ?? ''}${images.join('\n')}\n`);
  return lines;
}

/** Returns the `source` of an {@link Origin}. */
function sourceOf(definition: IndexDefinition): string {
  return `${definition.registry} ${selectionOf(definition)}`;
}

/** Returns the selection of repositories and tags that a full scan for this index reads, as a text to compare. */
export function selectionOf({ tags, repositoryInclude, repositoryExclude }: IndexDefinition): string {
  return JSON.stringify([tags, repositoryInclude, repositoryExclude]);
}

/** Thrown when a chunk that a publication names is missing. */
class ChunkMissing extends Error {
  override readonly name = 'ChunkMissing';

  constructor(chunk: string) {
    super(`the chunk ${chunk} is missing`);
  }
}

/** Returns a function that reads segments of chunks from the store. */
function segmentsOf(publications: Publications): ReadSegment {
  return async (chunk, segment) => {
    const bytes = await publications.chunkSegment(chunk, segment);
    if (bytes === undefined) throw new ChunkMissing(chunk);
    return bytes;
  };
}
