/** Content of a catalog that shows at a glance whether it is whole: every repository has one tag, all the same. */
import assert from 'node:assert/strict';
import type { Catalog, Image } from '../../src/catalog/catalog.ts';
import { digestOf } from '../../src/registry/digest.ts';

const REPOSITORIES = 20;
const LABEL_LENGTH = 20_000;
const PNG_LENGTH = 5_000;

/** The icon of all images of a generation. */
export function pngOf(generation: number): Buffer {
  return Buffer.alloc(PNG_LENGTH, generation % 256);
}

function imageOf(generation: number, repository: number): Image {
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

/** Makes `generation` the content of all repositories, in one transaction. */
export function writeGeneration(catalog: Catalog, generation: number): void {
  catalog.transaction(() => {
    for (let repository = 0; repository < REPOSITORIES; repository++) {
      const image = imageOf(generation, repository);
      catalog.putImage('registry', image, new Map([[digestOf(pngOf(generation)), pngOf(generation)]]));
      catalog.replaceTags('registry', `repository-${repository}`, [{ tag: String(generation), digest: image.digest }]);
    }
  });
}

/** The generation that the catalog holds, seen to be whole; 0 if it is empty. */
export function readGeneration(catalog: Catalog): number {
  const generations = new Set<number>();
  const repositories = catalog.repositories('registry');
  for (const { name } of repositories) {
    const tags = catalog.tags('registry', name);
    assert.equal(tags.length, 1);
    for (const { tag, digest } of tags) {
      generations.add(Number(tag));
      assert.deepEqual(catalog.image('registry', digest), imageOf(Number(tag), Number(name.replace('repository-', ''))));
      assert.deepEqual(catalog.png(digestOf(pngOf(Number(tag)))), pngOf(Number(tag)));
    }
  }
  if (repositories.length === 0) return 0;
  assert.equal(repositories.length, REPOSITORIES);
  assert.equal(generations.size, 1);
  return [...generations][0] ?? 0;
}
