/** Renders chunks and documents of made-up repositories. */
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { Chunk, encodeChunk } from '../../../src/indexing/chunk/chunk.ts';
import { cutRepository, IndexCutter } from '../../../src/indexing/chunk/cuts.ts';
import { gzipMember, inflate } from '../../../src/indexing/chunk/gzip-member.ts';
import type { JoinedDocument } from '../../../src/indexing/chunk/part.ts';
import { type ChunkOptions, renderChunk } from '../../../src/indexing/chunk/render-chunk.ts';
import type { ShownRepository } from '../../../src/indexing/render/document.ts';

/** Renders the chunks of `repositories`, which are sorted by name and not empty. */
export async function chunksOf(
  repositories: readonly ShownRepository[],
  options: Partial<ChunkOptions> = {},
): Promise<Chunk[]> {
  const sized = repositories.map((repository) => ({
    name: repository.name,
    images: repository.images.length + repository.lists.reduce((sum, list) => sum + list.images.length, 0),
    repository,
  }));
  const chunks: Chunk[] = [];
  const cutter = new IndexCutter<(typeof sized)[number]>();
  for (const { repositories: run, large } of [
    ...sized.flatMap((repository) => [...cutter.add(repository)]),
    ...cutter.end(),
  ]) {
    const whole = run.map(({ repository }) => repository);
    for (const some of large ? slicesOf(whole[0] as ShownRepository).map((slice) => [slice]) : [whole]) {
      const needs = { flatpaks: 0, offered: 0, runtimes: [], needed: [] };
      const { name, head, body } = await encodeChunk(
        await renderChunk(some, large, {
          input: '',
          refFields: ['label'],
          apps: {},
          icons: [],
          deltaManifests: [],
          warnings: [],
          needs,
          ...options,
        }),
      );
      chunks.push(new Chunk(name, head, (_, { offset, length }) => body.subarray(offset, offset + length), 'answers'));
    }
  }
  return chunks;
}

/** Cuts a large repository as the publisher does. */
function slicesOf({ name, images, lists }: ShownRepository): ShownRepository[] {
  return cutRepository({ name, images: images.map((image) => ({ digest: image.image.digest, image })), lists }).map(
    (slice) => ({ name, images: slice.images.map(({ image }) => image), lists: slice.lists }),
  );
}

/** Returns a document as text, and checks that both encodings are the same. */
export async function textOf({ pieces, length }: JoinedDocument): Promise<string> {
  const identity = Buffer.concat(await Promise.all(pieces.map(inflate)));
  assert.equal(identity.length, length);
  assert.deepEqual(
    gunzipSync(Buffer.concat(await Promise.all(gzipMember(pieces).map(async ({ bytes }) => bytes())))),
    identity,
  );
  return identity.toString();
}
