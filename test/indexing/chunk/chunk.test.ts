import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import type { Chunk, ReadyQuestion } from '../../../src/indexing/chunk/chunk.ts';
import { joinParts, type JoinedDocument, type PlacedPart } from '../../../src/indexing/chunk/part.ts';
import type { ShownRepository } from '../../../src/indexing/render/document.ts';
import { type Digest, digestOf } from '../../../src/registry/digest.ts';
import { chunksOf, textOf } from './chunks-of.ts';
import { documentOf, NONE_HIDDEN, shownRepositories } from './shown-repositories.ts';

const REGISTRY = 'https://registry.example.org';

function answer(chunks: readonly Chunk[], question: ReadyQuestion): JoinedDocument | undefined {
  const parts: PlacedPart[] = [];
  for (const chunk of chunks) {
    const part = chunk.readyPart(question);
    if (part === undefined) return undefined;
    parts.push({ part, slice: chunk.slice });
  }
  return joinParts(REGISTRY, parts);
}

const whole = (chunks: readonly Chunk[]): JoinedDocument =>
  joinParts(
    REGISTRY,
    chunks.map(({ whole: part, slice }) => ({ part, slice })),
  );

suite('an index in chunks', () => {
  test('its document is the one of all its repositories', async () => {
    await fc.assert(
      fc.asyncProperty(shownRepositories, async (repositories) => {
        const document = whole(await chunksOf(repositories));
        assert.deepEqual(JSON.parse(await textOf(document)), documentOf(REGISTRY, repositories));
      }),
      { numRuns: 30 },
    );
  });

  test('what Flatpak asks for is what it would select from that document', async () => {
    await fc.assert(
      fc.asyncProperty(
        shownRepositories,
        fc.constantFrom('latest', 'beta', 'none'),
        fc.constantFrom('amd64', 'arm64'),
        async (repositories, tag, architecture) => {
          const document = answer(await chunksOf(repositories), { field: 'label', tag, architecture });
          assert.ok(document);
          const selected = documentOf(
            REGISTRY,
            repositories,
            (image, tags) =>
              tags.includes(tag) &&
              image.architecture === architecture &&
              image.os === 'linux' &&
              image.labels.some(([key]) => key === 'org.flatpak.ref'),
          );
          assert.deepEqual(JSON.parse(await textOf(document)), selected);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('its entity tags are of content: neither cuts nor what is not in an answer change one', async () => {
    const question = { field: 'label', tag: 'latest', architecture: 'amd64' } as const;
    await fc.assert(
      fc.asyncProperty(shownRepositories, shownRepositories, async (one, other) => {
        const names = new Set(one.map(({ name }) => name));
        const merged = [...one, ...other.filter(({ name }) => !names.has(name))].toSorted((a, b) =>
          a.name < b.name ? -1 : 1,
        );
        const [before, after] = [await chunksOf(one), await chunksOf(merged)];
        for (const [a, b] of [
          [whole(before), whole(after)],
          [answer(before, question), answer(after, question)],
        ] as const) {
          assert.ok(a && b);
          assert.equal(a.tag === b.tag, (await textOf(a)) === (await textOf(b)));
        }
      }),
      { numRuns: 30 },
    );
  });

  test('a chunk names its icons, and no others', async () => {
    const icons = ['a', 'b', 'c'].map((text) => digestOf(text)).toSorted();
    const [chunk] = await chunksOf([{ name: 'app', images: [], lists: [] }], { icons });
    assert.ok(chunk);
    assert.deepEqual(chunk.icons, icons);
    for (const icon of icons) assert.ok(chunk.hasIcon(icon));
    // Half of one digest and half of the next, as they are stored one after the other.
    const [first = '', second = ''] = icons.map((icon) => icon.slice('sha256:'.length));
    for (const other of [digestOf('d'), `sha256:${first.slice(32)}${second.slice(0, 32)}` as Digest])
      assert.equal(chunk.hasIcon(other), false);
  });

  test('a change makes few new chunks', async () => {
    const repositories = Array.from({ length: 2000 }, (_, number): ShownRepository => ({
      name: `apps/${String(number).padStart(4, '0')}`,
      images: [
        {
          tags: ['latest'],
          image: {
            digest: `sha256:${String(number).padStart(64, '0')}` as never,
            mediaType: 'm',
            os: 'linux',
            architecture: 'amd64',
            annotations: [],
            labels: [['org.flatpak.ref', 'app/a.b/x86_64/stable']],
          },
          hidden: NONE_HIDDEN,
        },
      ],
      lists: [],
    }));
    const before = await chunksOf(repositories);
    assert.ok(before.length > 100 && before.length < 160, `${before.length} chunks`);
    const names = new Set(before.map(({ name }) => name));
    for (const place of [0, 777, 1999]) {
      const fewer = await chunksOf(repositories.toSpliced(place, 1));
      assert.ok(fewer.filter(({ name }) => !names.has(name)).length <= 2);
    }
  });
});
