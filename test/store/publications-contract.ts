/** Contract of every engine's publications. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type {
  Publication,
  PublicationReader,
  Publications,
  StoredChunk,
  StoredSegment,
} from '../../src/store/publications.ts';

/** A part of the publications that a test damages, with its key. */
export type StoredPart =
  | { readonly kind: 'publication'; readonly index: string }
  | { readonly kind: 'head' | 'body'; readonly chunk: string }
  | { readonly kind: 'png'; readonly digest: Digest }
  | { readonly kind: 'apps'; readonly index: string };

/** Publications that are removed after the test. */
export interface PublicationsUnderTest {
  /** Opens them; closes those that were opened before. */
  open(): Promise<Publications>;
  /** Opens a reader beside the writer. */
  openForReading(): Promise<PublicationReader>;
  /** Changes some bytes of a part while the publications are open. */
  damage(part: StoredPart): void | Promise<void>;
  /** Removes a chunk while the publications are open. */
  lose(chunk: string): void | Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);

export function chunkOf(text: string): StoredChunk {
  const head = Buffer.from(`head of ${text}`);
  return { name: hash('sha256', head), head, body: Buffer.from(`body of ${text}`) };
}

/** Returns a segment with the whole body. */
export function wholeOf(body: Buffer): StoredSegment {
  return { offset: 0, length: body.length, sha256: hash('sha256', body) };
}

export function publicationOf(
  index: string,
  version: number,
  chunks: readonly StoredChunk[],
  more: Partial<Publication> = {},
): Publication {
  return {
    index,
    version,
    format: '1',
    registry: 'http://registry.example',
    modified: NOW + version * 1000,
    chunks: chunks.map(({ name }) => name),
    origin: '{"from":"here"}',
    ...more,
  };
}

/** Returns the texts of those of the given chunks that exist. */
async function there(reader: PublicationReader, chunks: readonly StoredChunk[]): Promise<readonly string[]> {
  const heads = await reader.chunkHeads(chunks.map(({ name }) => name));
  const found: string[] = [];
  for (const { name, head, body } of chunks) {
    const [itsHead, itsBody] = [heads.get(name), await reader.chunkSegment(name, wholeOf(body))];
    assert.deepEqual([itsHead, itsBody], itsHead === undefined ? [undefined, undefined] : [head, body]);
    if (itsHead !== undefined) found.push(head.toString().replace('head of ', ''));
  }
  return found;
}

/** Removes all chunks that are not named now. */
async function cleanChunks(publications: Publications): Promise<void> {
  const now = Date.now();
  await publications.clean({ named: () => true, chunksBefore: now + 1, pngsBefore: 0, now });
}

/** Removes chunks that have not been named for a second. */
function cleanAt(publications: Publications, now: number): Promise<void> {
  return publications.clean({ chunksBefore: now - 1000, now });
}

/** Returns publications of which a part was changed on disk. */
async function damaged(
  under: PublicationsUnderTest,
  part: (chunk: StoredChunk, png: Digest) => StoredPart,
): Promise<{
  readonly publications: Publications;
  readonly readers: readonly PublicationReader[];
  readonly chunk: StoredChunk;
  readonly png: Buffer;
}> {
  const [chunk, png] = [chunkOf('damaged'), Buffer.from('a PNG')];
  const publications = await under.open();
  await publications.putPngs(new Map([[digestOf(png), png]]));
  await publications.publish(publicationOf('apps', 1, [chunk]), [chunk]);
  await publications.putApps('apps', { version: 1, body: Buffer.from('the apps') });
  await under.damage(part(chunk, digestOf(png)));
  return { publications, readers: [publications, await under.openForReading()], chunk, png };
}

export function publicationsContract(create: (t: TestContext) => PublicationsUnderTest): void {
  const openNew = (t: TestContext): Promise<Publications> => create(t).open();

  suite('publications', () => {
    test('before the first one, nothing is there', async (t) => {
      const publications = await openNew(t);
      assert.deepEqual(
        [
          await publications.publication('apps'),
          await publications.apps('apps'),
          await publications.png(digestOf('any')),
        ],
        [undefined, undefined, undefined],
      );
      assert.deepEqual(await publications.published(), []);
      assert.equal(await publications.newestVersion('apps'), 0);
      assert.deepEqual(await there(publications, [chunkOf('a')]), []);
    });

    test('one comes back as it was published, with its chunks in their order, also after closing and opening again', async (t) => {
      const under = create(t);
      const chunks = ['b', 'a', 'c'].map(chunkOf);
      const publication = publicationOf('apps', 1, chunks, {
        registry: 'https://ü.example/\u{1f600}',
        origin: JSON.stringify({ text: '"\0\n' }),
      });
      await (await under.open()).publish(publication, chunks);
      for (const reader of [await under.open(), await under.openForReading()]) {
        assert.deepEqual(await reader.publication('apps'), publication);
        assert.deepEqual(await there(reader, chunks), ['b', 'a', 'c']);
      }
    });

    test('an index without chunks, and one that has the same chunk twice, are published', async (t) => {
      const publications = await openNew(t);
      const chunk = chunkOf('twice');
      const [empty, twice] = [publicationOf('empty', 1, []), publicationOf('twice', 1, [chunk, chunk])];
      await publications.publish(empty, []);
      await publications.publish(twice, [chunk]);
      assert.deepEqual(
        [await publications.publication('empty'), await publications.publication('twice')],
        [empty, twice],
      );
      assert.deepEqual(await publications.published(), ['empty', 'twice']);
    });

    test('the next one replaces the one before; other indexes stay', async (t) => {
      const under = create(t);
      const publications = await under.open();
      const reader = await under.openForReading();
      const [a, b, c] = ['a', 'b', 'c'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];
      const other = publicationOf('other', 7, [c]);
      await publications.publish(other, [c]);
      for (const [version, chunks] of [
        [1, [a]],
        [2, [a, b]],
        [3, [b]],
      ] as const) {
        const publication = publicationOf('apps', version, chunks);
        await publications.publish(publication, chunks);
        assert.equal(await publications.newestVersion('apps'), version);
        for (const one of [publications, reader]) {
          assert.deepEqual(await one.publication('apps'), publication);
          assert.deepEqual(await one.publication('other'), other);
          assert.equal((await there(one, chunks)).length, chunks.length);
        }
      }
    });

    test('chunks may be stored before they are published, and again', async (t) => {
      const publications = await openNew(t);
      const [a, b, c] = ['a', 'b', 'c'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];
      await publications.putChunks([a, b]);
      await publications.putChunks([b]);
      await publications.publish(publicationOf('apps', 1, [a, b, c]), [b, c]);
      await publications.putChunks([a, c]);
      await publications.putChunks([]);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b, c]), ['a', 'b', 'c']);
    });

    test('the list of apps of an index is the last one that was made', async (t) => {
      const under = create(t);
      const publications = await under.open();
      for (const version of [1, 2]) {
        const apps = { version, body: Buffer.from(`apps of ${version}`) };
        await publications.putApps('apps', apps);
        for (const reader of [publications, await under.openForReading()])
          assert.deepEqual(await reader.apps('apps'), apps);
      }
      assert.equal(await publications.apps('other'), undefined);
    });
  });

  suite('unnamed chunks', () => {
    const [a, b, c] = ['a', 'b', 'c'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];

    test('one that no publication names any more stays until its time is over, from when that was first seen', async (t) => {
      const publications = await openNew(t);
      await publications.publish(publicationOf('apps', 1, [a, b]), [a, b]);
      await publications.publish(publicationOf('apps', 2, [b]), []);
      await cleanAt(publications, NOW);
      await cleanAt(publications, NOW + 1000);
      assert.deepEqual(await there(publications, [a, b]), ['a', 'b']);
      await cleanAt(publications, NOW + 1001);
      assert.deepEqual(await there(publications, [a, b]), ['b']);
    });

    test('one that is named again in the meantime stays, and its time restarts when it is unnamed again', async (t) => {
      const publications = await openNew(t);
      await publications.publish(publicationOf('apps', 1, [a]), [a]);
      await publications.publish(publicationOf('apps', 2, [b]), [b]);
      await cleanAt(publications, NOW);
      await publications.publish(publicationOf('apps', 3, [a]), []);
      await cleanAt(publications, NOW + 900);
      await publications.publish(publicationOf('apps', 4, []), []);
      await cleanAt(publications, NOW + 1100);
      await cleanAt(publications, NOW + 2100);
      assert.deepEqual(await there(publications, [a, b]), ['a']);
      await cleanAt(publications, NOW + 2101);
      assert.deepEqual(await there(publications, [a, b]), []);
    });

    test('one that two indexes name stays as long as one of them does', async (t) => {
      const publications = await openNew(t);
      await publications.publish(publicationOf('apps', 1, [a, b]), [a, b]);
      await publications.publish(publicationOf('other', 1, [b, c]), [b, c]);
      await publications.publish(publicationOf('apps', 2, [a]), []);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b, c]), ['a', 'b', 'c']);
      await publications.publish(publicationOf('other', 2, [c]), []);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b, c]), ['a', 'c']);
    });

    test('those of a removed index are removed like others, except for those that another index names', async (t) => {
      const publications = await openNew(t);
      await publications.publish(publicationOf('apps', 1, [a, b]), [a, b]);
      await publications.publish(publicationOf('gone', 1, [b, c]), [b, c]);
      await publications.publish(publicationOf('gone too', 1, [c]), [c]);
      await publications.putApps('gone', { version: 1, body: Buffer.from('apps') });
      await publications.keepIndexes(new Set(['apps', 'not published yet']));
      assert.deepEqual(await publications.published(), ['apps']);
      assert.deepEqual(
        [await publications.publication('gone'), await publications.apps('gone')],
        [undefined, undefined],
      );
      assert.deepEqual(await there(publications, [a, b, c]), ['a', 'b', 'c']);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b, c]), ['a', 'b']);
    });

    test('a named one that was lost and is stored again stays', async (t) => {
      const under = create(t);
      const publications = await under.open();
      await publications.publish(publicationOf('apps', 1, [a, b]), [a, b]);
      for (const { name } of [a, b]) await under.lose(name);
      assert.deepEqual(await there(publications, [a, b]), []);
      await publications.putChunks([a]);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b]), ['a']);
      await publications.publish(publicationOf('apps', 2, [a, b]), [b]);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b]), ['a', 'b']);
    });

    test('one that was never published is removed as well; its time restarts whenever it is stored again', async (t) => {
      const publications = await openNew(t);
      await publications.putChunks([a]);
      await publications.putChunks([b]);
      await cleanAt(publications, NOW);
      await publications.putChunks([a]);
      await cleanAt(publications, NOW + 1001);
      assert.deepEqual(await there(publications, [a, b]), ['a']);
      await publications.publish(publicationOf('apps', 1, [a]), []);
      await cleanChunks(publications);
      assert.deepEqual(await there(publications, [a, b]), ['a']);
    });
  });

  suite('icons', () => {
    const [one, two] = [Buffer.from('a PNG'), Buffer.from('another PNG')];
    const [oneDigest, twoDigest] = [digestOf(one), digestOf(two)];
    const both: readonly Digest[] = [oneDigest, twoDigest];

    test('each is stored once by its digest; missing ones are reported', async (t) => {
      const under = create(t);
      const publications = await under.open();
      await publications.putPngs(new Map());
      await publications.putPngs(new Map([[oneDigest, one]]));
      await publications.putPngs(new Map([[oneDigest, one]]));
      for (const reader of [publications, await under.openForReading()])
        assert.deepEqual([await reader.png(oneDigest), await reader.png(twoDigest)], [one, undefined]);
      assert.deepEqual(await publications.missingPngs([twoDigest, oneDigest]), [twoDigest]);
      assert.deepEqual(await publications.missingPngs([]), []);
    });

    test('an unnamed one stays until its time is over, from when that was first seen', async (t) => {
      const publications = await openNew(t);
      await publications.putPngs(
        new Map([
          [oneDigest, one],
          [twoDigest, two],
        ]),
      );
      const clean = (now: number): Promise<void> =>
        publications.clean({ named: (digest) => digest === twoDigest, chunksBefore: 0, pngsBefore: now - 1000, now });
      await clean(NOW);
      await clean(NOW + 1000);
      assert.deepEqual(await publications.missingPngs(both), []);
      await clean(NOW + 1001);
      assert.deepEqual(await publications.missingPngs(both), [oneDigest]);
      assert.deepEqual(await publications.png(twoDigest), two);
    });

    test('one that is named or stored again in the meantime stays, and its time restarts when it is unnamed again', async (t) => {
      const publications = await openNew(t);
      const clean = (now: number, named: boolean): Promise<void> =>
        publications.clean({ named: () => named, chunksBefore: 0, pngsBefore: now - 1000, now });
      await publications.putPngs(
        new Map([
          [oneDigest, one],
          [twoDigest, two],
        ]),
      );
      await clean(NOW, false);
      await clean(NOW + 900, true);
      await clean(NOW + 1100, false);
      await clean(NOW + 2000, false);
      assert.deepEqual(await publications.missingPngs(both), []);
      await publications.putPngs(new Map([[oneDigest, one]]));
      await clean(NOW + 2200, false);
      assert.deepEqual(await publications.missingPngs(both), [twoDigest]);
    });
  });

  suite('damage on disk is never returned', () => {
    test('in a publication', async (t) => {
      const { readers } = await damaged(create(t), () => ({ kind: 'publication', index: 'apps' }));
      for (const reader of readers)
        await assert.rejects(reader.publication('apps'), {
          name: 'StoreError',
          code: 'corrupt',
          message: /the checksum of the publication of apps does not match/,
        });
    });

    test('in the head of a chunk', async (t) => {
      const { readers, chunk } = await damaged(create(t), ({ name }) => ({ kind: 'head', chunk: name }));
      for (const reader of readers)
        await assert.rejects(reader.chunkHeads([chunk.name]), {
          name: 'StoreError',
          code: 'corrupt',
          message: /the checksum of the chunk [0-9a-f]{64} does not match/,
        });
    });

    test('in the body of a chunk', async (t) => {
      const { readers, chunk } = await damaged(create(t), ({ name }) => ({ kind: 'body', chunk: name }));
      for (const reader of readers)
        await assert.rejects(reader.chunkSegment(chunk.name, wholeOf(chunk.body)), {
          name: 'StoreError',
          code: 'corrupt',
          message: /the checksum of the chunk [0-9a-f]{64} does not match/,
        });
    });

    test('in an icon, which can be read again once it is stored again', async (t) => {
      const { publications, readers, png } = await damaged(create(t), (_chunk, digest) => ({ kind: 'png', digest }));
      for (const reader of readers) assert.equal(await reader.png(digestOf(png)), undefined);
      await publications.putPngs(new Map([[digestOf(png), png]]));
      for (const reader of readers) assert.deepEqual(await reader.png(digestOf(png)), png);
    });

    test('in the list of apps, until it is stored again', async (t) => {
      const { publications, readers } = await damaged(create(t), () => ({ kind: 'apps', index: 'apps' }));
      for (const reader of readers) assert.equal(await reader.apps('apps'), undefined);
      const apps = { version: 1, body: Buffer.from('the apps') };
      await publications.putApps('apps', apps);
      for (const reader of readers) assert.deepEqual(await reader.apps('apps'), apps);
    });
  });
}
