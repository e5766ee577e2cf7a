/**
 * Content of a store by which it is easy to check that it is consistent: all repositories have the same tag, and the
 * index shows it.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { digestOf, type Digest } from '../../../src/registry/digest.ts';
import type { Catalog, CatalogChange, Image } from '../../../src/store/catalog.ts';
import type { Publication, PublicationReader, Publications, StoredChunk } from '../../../src/store/publications.ts';
import type { Store } from '../../../src/store/store.ts';
import { wholeOf } from '../publications-contract.ts';

export const REGISTRY = 'http://registry.example.org';
export const INDEX = 'apps';
const REPOSITORIES = 20;
const CHUNKS = 20;
const LABEL_LENGTH = 20_000;
const PNG_LENGTH = 5_000;

export function pngOf(generation: number): Buffer {
  return Buffer.alloc(PNG_LENGTH, generation % 256);
}

export function imageOf(generation: number, repository: number): Image {
  const name = `${generation}/${repository}`;
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(name),
    size: 1234,
    os: 'linux',
    architecture: 'amd64',
    annotations: {},
    icons: [{ place: 'label', key: 'icon', png: digestOf(pngOf(generation)) }],
    labels: { name, filler: String(generation % 10).repeat(LABEL_LENGTH) },
  };
}

/** The last chunk is the same in all generations. */
export function chunkOf(generation: number, place: number): StoredChunk {
  const head = Buffer.from(place === CHUNKS - 1 ? 'the same in all' : `${generation}/${place}`);
  return { name: hash('sha256', head), head, body: bodyOf(head) };
}

function bodyOf(head: Buffer): Buffer {
  return Buffer.alloc(LABEL_LENGTH, head);
}

function appsOf(generation: number): Buffer {
  return Buffer.from(`the apps of ${generation}`);
}

export function publicationOf(generation: number): Publication {
  const chunks = Array.from({ length: CHUNKS }, (_, place) => chunkOf(generation, place).name);
  return {
    index: INDEX,
    version: generation,
    format: '1',
    registry: REGISTRY,
    modified: generation * 1000,
    chunks,
    origin: JSON.stringify({ generation }),
  };
}

/** Writes `generation` to all repositories, in one transaction. */
export async function writeCatalog(catalog: Catalog, generation: number): Promise<void> {
  const changes = Array.from({ length: REPOSITORIES }, (_, repository): readonly CatalogChange[] => {
    const image = imageOf(generation, repository);
    return [
      { kind: 'image', image, refs: [], bytes: LABEL_LENGTH },
      {
        kind: 'tags',
        repository: `repository-${repository}`,
        tags: [{ tag: String(generation), digest: image.digest }],
      },
    ];
  });
  await catalog.commit(REGISTRY, changes.flat(), () => [INDEX]);
}

/** Publishes `generation` in one transaction, and stores its icon and list of apps. */
export async function writePublications(publications: Publications, generation: number): Promise<void> {
  await publications.putPngs(new Map([[digestOf(pngOf(generation)), pngOf(generation)]]));
  const chunks = Array.from({ length: CHUNKS }, (_, place) => chunkOf(generation, place));
  await publications.putChunks(chunks.slice(0, CHUNKS / 2));
  await publications.publish(publicationOf(generation), chunks.slice(CHUNKS / 2));
  await publications.putApps(INDEX, { version: generation, body: appsOf(generation) });
}

/** Does all steps of a push: stores the icon before the image, and clears the marks once it is published. */
export async function writeGeneration({ catalog, publications }: Store, generation: number): Promise<void> {
  await publications.putPngs(new Map([[digestOf(pngOf(generation)), pngOf(generation)]]));
  await writeCatalog(catalog, generation);
  const { upTo } = await catalog.dirty(INDEX);
  await writePublications(publications, generation);
  await catalog.clearDirty(INDEX, upTo);
  if (generation % 5 !== 0) return;
  await catalog.prune();
  const now = Date.now();
  await publications.clean({
    named: (png) => png === digestOf(pngOf(generation)),
    chunksBefore: now - 50,
    pngsBefore: now - 50,
    now,
  });
}

/** Returns the generation in the catalog, and checks that it is consistent; 0 if it is empty. */
export async function readCatalog(catalog: Catalog): Promise<number> {
  const { repositories } = await catalog.known(REGISTRY);
  const generations = new Set<number>();
  for (const [name, { tags }] of repositories) {
    assert.equal(tags.size, 1);
    for (const { tag, digest } of tags.values()) {
      generations.add(Number(tag));
      const images = await catalog.images(REGISTRY, [digest]);
      assert.deepEqual(images.get(digest), imageOf(Number(tag), Number(name.replace('repository-', ''))));
    }
  }
  if (repositories.size === 0) return 0;
  assert.equal(repositories.size, REPOSITORIES);
  assert.equal(generations.size, 1);
  return [...generations][0] ?? 0;
}

/** Returns the published generation, and checks that it is consistent; 0 if nothing is published. */
export async function readPublications(publications: PublicationReader): Promise<number> {
  const publication = await publications.publication(INDEX);
  if (publication === undefined) return 0;
  const { version } = publication;
  assert.deepEqual(publication, publicationOf(version));
  const heads = await publications.chunkHeads(publication.chunks);
  for (const [place, name] of publication.chunks.entries()) {
    const { head, body } = chunkOf(version, place);
    assert.deepEqual(heads.get(name), head);
    assert.deepEqual(await publications.chunkSegment(name, wholeOf(body)), body);
  }
  assert.deepEqual(await publications.png(digestOf(pngOf(version))), pngOf(version));
  return version;
}

/** Returns the generation of the list of apps; 0 if there is none. */
export async function readApps(publications: PublicationReader): Promise<number> {
  const apps = await publications.apps(INDEX);
  if (apps === undefined) return 0;
  assert.deepEqual(apps.body, appsOf(apps.version));
  return apps.version;
}

/** Returns the generations of the catalog and the publications, and checks that no change between them is lost. */
export async function readGeneration({
  catalog,
  publications,
}: Store): Promise<{ readonly catalog: number; readonly published: number }> {
  const [known, published, apps] = [
    await readCatalog(catalog),
    await readPublications(publications),
    await readApps(publications),
  ];
  const { repositories } = await catalog.dirty(INDEX);
  assert.ok(published === known || published === known - 1, `the catalog has ${known}, the index shows ${published}`);
  assert.ok(
    apps === published || apps === published - 1,
    `the index shows ${published}, its apps are those of ${apps}`,
  );
  // Unpublished changes are marked; an extra mark does no harm.
  if (published < known) assert.equal(repositories.length, REPOSITORIES);
  else assert.ok(repositories.length === 0 || repositories.length === REPOSITORIES);
  const icons = [...(await catalog.icons(REGISTRY)).keys()];
  if (known > 0)
    assert.deepEqual(await publications.missingPngs(icons.filter((png: Digest) => png === digestOf(pngOf(known)))), []);
  return { catalog: known, published };
}
