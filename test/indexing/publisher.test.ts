import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { Chunk } from '../../src/indexing/chunk/chunk.ts';
import { gzipMember, inflate } from '../../src/indexing/chunk/gzip-member.ts';
import { EMPTY_PART, joinParts, type JoinedDocument } from '../../src/indexing/chunk/part.ts';
import { wantedBy } from '../../src/indexing/select/wanted.ts';
import { ImageCache, refsOf } from '../../src/indexing/select/image-facts.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { Publisher } from '../../src/indexing/publisher.ts';
import { prepareQuery } from '../../src/indexing/query/ask-chunk.ts';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { Effort } from '../../src/indexing/query/effort.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type { Descriptor, ImageIndexManifest } from '../../src/registry/manifest.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import type { CatalogChange, Image } from '../../src/store/catalog.ts';
import { SqliteBlobs } from '../../src/store/sqlite/sqlite-blobs.ts';
import { SqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts';
import { SqlitePublications } from '../../src/store/sqlite/sqlite-publications.ts';
import type { StoredSegment } from '../../src/store/publications.ts';
import { defineIndex } from './define-index.ts';

const REGISTRY = 'http://registry.example.org';
const TAGS = ['latest', 'beta', '1.0'];
const ARCHITECTURES = ['amd64', 'arm64'];

/** State of an index that tests can change and inspect. */
class State {
  readonly catalog = SqliteCatalog.open(':memory:', assert.fail);
  readonly publications = SqlitePublications.open(':memory:', assert.fail);
  readonly blobs = SqliteBlobs.open(':memory:', assert.fail);
  readonly definition: IndexDefinition;
  #publisher: Publisher | undefined;

  constructor(definition: Partial<IndexDefinition>) {
    this.definition = defineIndex(definition);
  }

  /**
   * Opens a publisher as after a restart.
   * @param publications empty ones, as if nothing was ever published
   */
  open(publications = this.publications, catalog = this.catalog): Promise<Publisher> {
    return Publisher.open({
      definition: this.definition,
      wanted: wantedBy(this.definition, () => true),
      patterns: [],
      catalog,
      publications,
      blobs: this.blobs,
      images: new ImageCache(catalog),
      iconsUri: '/icons/',
    });
  }

  /** @param writes transactions after which the process is killed; never if absent */
  async publish(writes?: number): Promise<void> {
    if (writes !== undefined) {
      const killing = new Killing(writes);
      const publisher = await this.open(killing.watch(this.publications), killing.watch(this.catalog));
      await publisher.publish().catch((error: unknown) => assert.equal(error, killing.killed));
      this.restart();
    }
    this.#publisher ??= await this.open();
    await this.#publisher.publish();
  }

  restart(): void {
    this.#publisher = undefined;
  }

  change(changes: readonly CatalogChange[]): Promise<void> {
    return this.catalog.commit(REGISTRY, changes, () => [this.definition.name]);
  }
}

/** Simulates that the process is killed after some transactions of the store. */
class Killing {
  readonly killed = new Error('killed');
  #left: number;

  constructor(writes: number) {
    this.#left = writes;
  }

  watch<T extends object>(store: T): T {
    return new Proxy(store, {
      get: (_target, name) => {
        const member: unknown = Reflect.get(store, name, store);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (WRITES.has(String(name)) && this.#left-- <= 0) throw this.killed;
          return Reflect.apply(member, store, args) as unknown;
        };
      },
    });
  }
}
const WRITES: ReadonlySet<string> = new Set(['putChunks', 'putPngs', 'publish', 'clearDirty']);

interface Build {
  readonly app: number;
  readonly architecture: string;
  readonly build: number;
  readonly flatpak: boolean;
}

function imageOf({ app, architecture, build, flatpak }: Build): Image {
  return {
    mediaType: OCI_IMAGE_MANIFEST,
    digest: digestOf(JSON.stringify([app, architecture, build, flatpak])),
    size: 1,
    os: 'linux',
    architecture,
    annotations: {},
    labels: flatpak
      ? {
          'org.flatpak.ref': `app/org.example.App${app}/${architecture}/stable`,
          'org.flatpak.metadata': '[Application]\n',
          build: String(build),
        }
      : { build: String(build) },
    icons: [],
  };
}

const image = fc
  .record({
    app: fc.nat({ max: 2 }),
    architecture: fc.constantFrom(...ARCHITECTURES),
    build: fc.nat({ max: 4 }),
    flatpak: fc.boolean(),
  })
  .map(imageOf);

function putImages(images: readonly Image[]): CatalogChange[] {
  return images.map((one) => ({ kind: 'image', image: one, refs: refsOf(one), bytes: 1 }));
}

function indexOf(manifests: readonly Descriptor[]): ImageIndexManifest {
  return {
    kind: 'index',
    mediaType: OCI_IMAGE_INDEX,
    digest: digestOf(manifests.map(({ digest }) => digest).join()),
    size: 1,
    manifests,
  };
}

const repository = fc.nat({ max: 60 }).map((number) => `apps/${number}`);
const images = fc.array(image, { minLength: 1, maxLength: 3 });
const place = fc.record({ repository, tag: fc.constantFrom(...TAGS) });

const changes: fc.Arbitrary<CatalogChange[]> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc
      .tuple(place, image)
      .map(([its, one]): CatalogChange[] => [...putImages([one]), tagged(its, one.digest)]),
  },
  {
    weight: 30,
    arbitrary: fc
      .tuple(place, images)
      .map(([its, some]): CatalogChange[] => [
        ...putImages(some),
        { kind: 'manifest', manifest: indexOf(some) },
        tagged(its, indexOf(some).digest),
      ]),
  },
  // A nested list.
  {
    weight: 15,
    arbitrary: fc.tuple(place, images, images).map(([its, inner, outer]): CatalogChange[] => {
      const nested = indexOf(inner);
      const list = indexOf([...outer, nested]);
      return [
        ...putImages([...inner, ...outer]),
        ...[nested, list].map((manifest) => ({ kind: 'manifest', manifest }) as const),
        tagged(its, list.digest),
      ];
    }),
  },
  // A list with an unreadable image, in whose place an earlier one is kept.
  {
    weight: 10,
    arbitrary: fc
      .tuple(place, images, images)
      .map(([its, some, kept]): CatalogChange[] => [
        ...putImages([...some, ...kept]),
        { kind: 'manifest', manifest: indexOf(some) },
        tagged(its, indexOf(some).digest, kept),
      ]),
  },
  { weight: 15, arbitrary: place.map((its): CatalogChange[] => [{ kind: 'tag-gone', ...its }]) },
  { weight: 10, arbitrary: repository.map((its): CatalogChange[] => [{ kind: 'gone', repository: its }]) },
  {
    weight: 5,
    arbitrary: repository.map((its): CatalogChange[] => [{ kind: 'failure', repository: its, error: 'it failed' }]),
  },
  // A repository with about as many images as make it large.
  {
    weight: 1,
    arbitrary: fc.tuple(repository, fc.integer({ min: 195, max: 230 })).map(([its, number]): CatalogChange[] => {
      const builds = Array.from({ length: number }, (_, build) =>
        imageOf({ app: build % 3, architecture: ARCHITECTURES[build % 2] ?? '', build, flatpak: build % 5 > 0 }),
      );
      return [
        ...putImages(builds),
        {
          kind: 'tags',
          repository: its,
          tags: builds
            .map(({ digest }, build) => ({ tag: TAGS[build] ?? `v${String(build).padStart(3, '0')}`, digest }))
            .toSorted((a, b) => (a.tag < b.tag ? -1 : 1)),
        },
      ];
    }),
  },
);

function tagged(
  { repository: its, tag: name }: { readonly repository: string; readonly tag: string },
  digest: Digest,
  kept: readonly Image[] = [],
): CatalogChange {
  const before = [...new Set(kept.map((one) => one.digest))];
  return { kind: 'tag', repository: its, tag: { tag: name, digest, ...(before.length > 0 && { kept: before }) } };
}

async function chunksOf(
  publications: SqlitePublications,
  index: string,
): Promise<{ registry: string; chunks: readonly Chunk[] }> {
  const publication = await publications.publication(index);
  assert.ok(publication);
  const heads = await publications.chunkHeads(publication.chunks);
  const read = async (name: string, segment: StoredSegment): Promise<Buffer> =>
    (await publications.chunkSegment(name, segment)) as Buffer;
  return {
    registry: publication.registry,
    chunks: publication.chunks.map((name) => new Chunk(name, heads.get(name) as Buffer, read, 'answers')),
  };
}

/**
 * Returns everything that is served: the whole index and the answers to Flatpak's questions, both ready and computed.
 */
async function servedBy(
  publications: SqlitePublications,
  index: string,
): Promise<Map<string, { tag: string; gzip: Buffer; identity: string }>> {
  const { registry, chunks } = await chunksOf(publications, index);
  const served = new Map([
    [
      '',
      await bytesOf(
        joinParts(
          registry,
          chunks.map(({ whole, slice }) => ({ part: whole, slice })),
        ),
      ),
    ],
  ]);
  for (const tag of TAGS) {
    for (const architecture of ARCHITECTURES) {
      const query = flatpakQuery(tag, architecture);
      const asked = await Promise.all(
        chunks.map(async (chunk) => ({ part: await prepareQuery(query, new Effort())(chunk), slice: chunk.slice })),
      );
      const ready = chunks.map((chunk, number) => ({
        part: chunk.readyPart({ field: 'label', tag, architecture }) ?? asked[number]?.part ?? EMPTY_PART,
        slice: chunk.slice,
      }));
      const answer = await bytesOf(joinParts(registry, ready));
      served.set(`${tag} ${architecture}`, answer);
      const worked = await bytesOf(joinParts(registry, asked));
      assert.deepEqual([worked.tag, worked.identity], [answer.tag, answer.identity]);
    }
  }
  return served;
}

async function bytesOf({ pieces, tag }: JoinedDocument): Promise<{ tag: string; gzip: Buffer; identity: string }> {
  const gzip = Buffer.concat(await Promise.all(gzipMember(pieces).map(async ({ bytes }) => bytes())));
  const identity = Buffer.concat(await Promise.all(pieces.map(inflate))).toString();
  assert.equal(gunzipSync(gzip).toString(), identity);
  return { tag, gzip, identity };
}

const steps = fc.array(
  fc.record({
    commits: fc.array(changes, { minLength: 1, maxLength: 30 }),
    restart: fc.boolean(),
    writes: fc.option(fc.nat({ max: 3 }), { nil: undefined, freq: 3 }),
  }),
  { minLength: 1, maxLength: 6 },
);

suite('an index that is published again and again', () => {
  for (const [name, definition] of Object.entries({
    'as it is': {},
    'with required labels': { requiredLabels: ['org.flatpak.ref'] },
    'with a priority of repositories': { repositoryPriority: ['apps/1*', 'apps/2*'] },
    'with flat lists': { lists: 'flatten' as const },
  })) {
    test(`is byte for byte the same as a fresh one from the same catalog, ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (all) => {
          const state = new State(definition);
          let before: Map<string, { tag: string; identity: string }> | undefined;
          for (const { commits, restart, writes } of all) {
            for (const commit of commits) await state.change(commit);
            if (restart) state.restart();
            await state.publish(writes);
            const fresh = SqlitePublications.open(':memory:', assert.fail);
            await (await state.open(fresh)).publish();
            const [served, expected] = [await servedBy(state.publications, 'apps'), await servedBy(fresh, 'apps')];
            assert.deepEqual(served, expected);
            assert.deepEqual(
              (await state.publications.publication('apps'))?.chunks,
              (await fresh.publication('apps'))?.chunks,
            );
            assert.deepEqual((await state.catalog.dirty('apps')).repositories, []);
            for (const [question, { tag, identity }] of served) {
              const earlier = before?.get(question);
              if (earlier !== undefined) assert.equal(tag === earlier.tag, identity === earlier.identity);
            }
            before = served;
            await fresh.close();
          }
          await state.catalog.close();
          await state.publications.close();
        }),
        { numRuns: 10 },
      );
    });
  }
});
