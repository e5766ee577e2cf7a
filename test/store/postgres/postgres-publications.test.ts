/** What is specific to the publications in PostgreSQL. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import { constants, deflateRawSync } from 'node:zlib';
import type { ClientConfig } from 'pg';
import { digestOf } from '../../../src/registry/digest.ts';
import { CHANNEL } from '../../../src/store/postgres/channel.ts';
import type { PostgresPublications } from '../../../src/store/postgres/postgres-publications.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { Replicas } from '../../../src/store/postgres/replicas.ts';
import type { StoredChunk } from '../../../src/store/publications.ts';
import { needs } from '../../peers/installed.ts';
import { chunkOf, publicationOf, wholeOf } from '../publications-contract.ts';
import { connected, databases, opened, run } from './database.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 0, 1);

suite('publications in PostgreSQL', needs('postgres'), () => {
  const createDatabase = databases();

  suite('two formats in one database', () => {
    const [a, b, c] = ['a', 'b', 'c'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];

    /** Publishes `apps` in both formats, with chunk b in both. */
    async function publishBoth(t: TestContext): Promise<readonly [PostgresPublications, PostgresPublications]> {
      const connection = await createDatabase();
      const [old, next] = [await open(t, connection, 'old'), await open(t, connection, 'next')];
      await old.publish(publicationOf('apps', 1, [a, b], { format: 'old' }), [a, b]);
      await old.putApps('apps', { version: 1, body: Buffer.from('old apps') });
      await next.publish(publicationOf('apps', 2, [b, c], { format: 'next' }), [b, c]);
      return [old, next];
    }

    /** Names of those that are left once all unnamed ones are removed. */
    async function chunksLeft(publications: PostgresPublications): Promise<readonly string[]> {
      await publications.clean({ chunksBefore: Date.now() + 1, now: Date.now() });
      const heads = await publications.chunkHeads([a, b, c].map(({ name }) => name));
      return [...heads.values()].map((head) => head.toString().replace('head of ', '')).toSorted();
    }

    test('each reads its own, and its own list of apps', async (t) => {
      const [old, next] = await publishBoth(t);
      assert.deepEqual(await old.publication('apps'), publicationOf('apps', 1, [a, b], { format: 'old' }));
      assert.deepEqual(await next.publication('apps'), publicationOf('apps', 2, [b, c], { format: 'next' }));
      assert.equal(await next.apps('apps'), undefined);
      await next.putApps('apps', { version: 2, body: Buffer.from('next apps') });
      assert.equal((await old.apps('apps'))?.body.toString(), 'old apps');
      assert.equal((await next.apps('apps'))?.body.toString(), 'next apps');
      await old.publish(publicationOf('more', 7, [], { format: 'old' }), []);
      assert.deepEqual(
        await old.versions(),
        new Map([
          ['apps', { version: 1, apps: 1 }],
          ['more', { version: 7, apps: undefined }],
        ]),
      );
      assert.deepEqual(await old.published(), ['apps', 'more']);
      assert.deepEqual(await next.versions(), new Map([['apps', { version: 2, apps: 2 }]]));
    });

    test('the newest version is that of either', async (t) => {
      const both = await publishBoth(t);
      for (const publications of both) assert.equal(await publications.newestVersion('apps'), 2);
      await both[0].publish(publicationOf('apps', 3, [a, b], { format: 'old' }), []);
      for (const publications of both) assert.equal(await publications.newestVersion('apps'), 3);
    });

    test('a chunk stays while a publication of either names it', async (t) => {
      const [old, next] = await publishBoth(t);
      await next.publish(publicationOf('apps', 3, [c], { format: 'next' }), []);
      assert.deepEqual(await chunksLeft(next), ['a', 'b', 'c']);
      await old.publish(publicationOf('apps', 4, [a], { format: 'old' }), []);
      assert.deepEqual(await chunksLeft(next), ['a', 'c']);
    });

    test('one that removes indexes leaves those of the other', async (t) => {
      const [old, next] = await publishBoth(t);
      await next.keepIndexes(new Set(), NOW);
      await next.keepIndexes(new Set(), NOW + DAY);
      assert.deepEqual([await old.published(), await next.published()], [['apps'], []]);
      assert.equal((await old.apps('apps'))?.version, 1);
      assert.deepEqual(await chunksLeft(next), ['a', 'b']);
    });

    test('one that no replica reads is removed after a day, with its lists of apps and chunks', async (t) => {
      const [old, next] = await publishBoth(t);
      const keep = (now: number, ...read: readonly string[]): Promise<void> => next.keepFormats(new Set(read), now);
      await keep(NOW, 'old', 'next');
      await keep(NOW + 2 * DAY);
      assert.deepEqual(await old.published(), ['apps']);
      // One that reads it comes back in time.
      await keep(NOW + 3 * DAY, 'old');
      await keep(NOW + 4 * DAY);
      await keep(NOW + 5 * DAY - 1);
      assert.deepEqual(await old.published(), ['apps']);
      assert.deepEqual(await chunksLeft(next), ['a', 'b', 'c']);
      await keep(NOW + 5 * DAY);
      assert.deepEqual([await old.published(), await old.apps('apps')], [[], undefined]);
      assert.deepEqual(await next.published(), ['apps']);
      assert.deepEqual(await chunksLeft(next), ['b', 'c']);
    });

    test('a newer one is removed like an older one, and the own one never', async (t) => {
      const [old, next] = await publishBoth(t);
      await old.keepFormats(new Set(), NOW);
      await old.keepFormats(new Set(), NOW + DAY);
      assert.deepEqual([await old.published(), await next.published()], [['apps'], []]);
      assert.deepEqual(await chunksLeft(old), ['a', 'b']);
    });
  });

  test('an index that is not configured any more goes a day after the last living replica that serves it', async (t) => {
    const connection = await createDatabase();
    const publications = await open(t, connection, '1');
    const replicas = new Replicas(opened(t, connection), { id: 'one', name: 'host', version: '1.2.3', format: 1 });
    for (const name of ['apps', 'more', 'gone']) {
      await publications.publish(publicationOf(name, 1, []), []);
      await publications.putApps(name, { version: 1, body: Buffer.from(name) });
    }
    const keep = (now: number): Promise<void> => publications.keepIndexes(new Set(['apps', 'not built yet']), now);
    await replicas.beat({ configuration: 'before', shown: { apps: 1, more: 1 } });
    await keep(NOW);
    assert.deepEqual(await publications.published(), ['apps', 'gone', 'more']);
    await keep(NOW + DAY);
    assert.deepEqual(await publications.published(), ['apps', 'more']);
    assert.equal(await publications.apps('gone'), undefined);

    await replicas.leave();
    await keep(NOW + 2 * DAY);
    // It restarts.
    await replicas.beat({ configuration: 'before', shown: { apps: 1, more: 1 } });
    await keep(NOW + 4 * DAY);
    await run(connection, `UPDATE replica SET seen = seen - interval '7 seconds'`);
    await keep(NOW + 5 * DAY);
    await keep(NOW + 6 * DAY - 1);
    assert.deepEqual(await publications.published(), ['apps', 'more']);
    assert.equal((await publications.apps('more'))?.version, 1);
    await keep(NOW + 6 * DAY);
    assert.deepEqual(await publications.published(), ['apps']);
  });

  test('whole chunks are read at once; one that was removed is left out, and a damaged head is found', async (t) => {
    const connection = await createDatabase();
    const publications = await open(t, connection, '1');
    const [a, b, gone] = ['a', 'b', 'gone'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];
    await publications.putChunks([a, b]);
    const read = await publications.chunks([b, gone, a].map(({ name }) => name));
    assert.deepEqual(
      read.toSorted((one, other) => Buffer.compare(one.body, other.body)),
      [a, b],
    );
    await run(connection, `UPDATE chunk SET head = 'other' WHERE body = 'body of a'`);
    await assert.rejects(publications.chunks([a.name]), { code: 'corrupt', message: /the checksum of the chunk/ });
  });

  test('what is known already is not transferred again', async (t) => {
    const connection = await createDatabase();
    const publications = await open(t, connection, '1');
    const chunk = chunkOf('a');
    await publications.publish(publicationOf('apps', 1, [chunk]), [chunk]);
    await publications.putApps('apps', { version: 1, body: Buffer.from('apps') });
    const [known, apps] = [await publications.publication('apps'), await publications.apps('apps')];
    assert.equal(await publications.publication('apps', known), known);
    assert.equal(await publications.apps('apps', apps), apps);

    await publications.publish(publicationOf('apps', 2, [chunk]), []);
    assert.deepEqual(await publications.publication('apps', known), publicationOf('apps', 2, [chunk]));
    await publications.putApps('apps', { version: 2, body: Buffer.from('apps') });
    assert.deepEqual(await publications.apps('apps', apps), { version: 2, body: Buffer.from('apps') });
    await publications.putApps('apps', { version: 3, body: Buffer.from('more apps') });
    assert.deepEqual(await publications.apps('apps', apps), { version: 3, body: Buffer.from('more apps') });
    assert.equal(await publications.publication('other', known), undefined);
    assert.equal(await publications.apps('other', apps), undefined);
  });

  test('from the version before, only the change is read; from any other one, or a damaged change, everything', async (t) => {
    const connection = await createDatabase();
    const [writer, reader] = [await open(t, connection, '1'), await open(t, connection, '1')];
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk, StoredChunk];
    const others = Array.from({ length: 20 }, (_, number) => chunkOf(`other ${number}`));
    await writer.putChunks([a, b, c, d, ...others]);
    const versions = [
      [a, b, ...others, c],
      [a, d, ...others, c],
      [a, d, b, ...others],
      [],
      [b],
      [...others, b],
      others,
    ].map((chunks, number) => publicationOf('apps', number + 1, chunks));
    const changes: unknown[] = [];
    for (const [place, publication] of versions.entries()) {
      await writer.publish(publication, []);
      for (const known of [undefined, ...versions.slice(0, place + 1)])
        assert.deepEqual(await reader.publication('apps', known), publication);
      const [row] = await run<{ changed_from: string | null }>(connection, 'SELECT changed_from FROM publication');
      changes.push(row?.changed_from);
    }
    // A change that is longer than the names of all is not kept.
    assert.deepEqual(changes, [null, '1', null, null, null, null, '6']);
    await run(connection, `UPDATE publication SET changed_from = 2, change = '{"start":0,"removed":1,"added":[]}'`);
    assert.deepEqual(await reader.publication('apps', versions[1]), versions.at(-1));
  });

  test('of a list of apps, only the pages are stored and read that changed', async (t) => {
    const connection = await createDatabase();
    const [writer, reader] = [await open(t, connection, '1'), await open(t, connection, '1')];
    const stored = async (): Promise<ReadonlyMap<string, string>> =>
      new Map(
        (
          await run<{ name: string; written: string }>(
            connection,
            `SELECT encode(name, 'hex') AS name, xmin::text AS written FROM apps_part`,
          )
        ).map(({ name, written }) => [name, written]),
      );
    const first = { version: 1, body: Buffer.concat([page('one'), page('two'), page('two'), Buffer.from('rest')]) };
    await writer.putApps('apps', first);
    assert.deepEqual(await reader.apps('apps'), first);
    const pages = await stored();
    assert.equal(pages.size, 3);
    const second = { version: 2, body: Buffer.concat([page('one'), page('two'), page('three'), Buffer.from('rest')]) };
    await writer.putApps('apps', second);
    for (const known of [undefined, first, second]) assert.deepEqual(await reader.apps('apps', known), second);
    const now = await stored();
    assert.equal(now.size, 4);
    for (const [name, written] of pages) assert.equal(now.get(name), written);
    await writer.putApps('apps', { ...first, version: 3 });
    assert.deepEqual([...(await stored()).keys()].toSorted(), [...pages.keys()].toSorted());
    await run(connection, `UPDATE apps_part SET bytes = 'damaged'`);
    assert.equal(await reader.apps('apps'), undefined);
    await writer.putApps('apps', second);
    assert.deepEqual(await reader.apps('apps', first), second);
    await writer.putApps('apps', { version: 5, body: Buffer.alloc(0) });
    assert.deepEqual(await reader.apps('apps', second), { version: 5, body: Buffer.alloc(0) });
  });

  test('discarding removes what may be damaged, and leaves what another format names', async (t) => {
    const connection = await createDatabase();
    const [own, other] = [await open(t, connection, '1'), await open(t, connection, 'other')];
    const [a, both, unnamed] = ['a', 'both', 'unnamed'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];
    await own.publish(publicationOf('apps', 1, [a, both]), [a, both]);
    await own.putApps('apps', { version: 1, body: Buffer.from('apps') });
    await own.putChunks([unnamed]);
    const kept = publicationOf('apps', 1, [both], { format: 'other' });
    await other.publish(kept, []);
    const pngs = ['intact', 'damaged'].map((text) => Buffer.from(text));
    await own.putPngs(new Map(pngs.map((png) => [digestOf(png), png])));
    await run(connection, `UPDATE png SET bytes = 'changed' WHERE bytes = 'damaged'`);
    await run(connection, `UPDATE chunk SET body = 'changed' WHERE body = 'body of both'`);

    await own.discard();
    assert.deepEqual([await own.published(), await own.apps('apps')], [[], undefined]);
    assert.deepEqual(await other.publication('apps'), kept);
    const names = [a, both, unnamed].map(({ name }) => name);
    assert.deepEqual([...(await own.chunkHeads(names)).keys()], [both.name]);
    assert.deepEqual(
      await own.missingPngs(pngs.map((png) => digestOf(png))),
      pngs.slice(1).map((png) => digestOf(png)),
    );
    // Rendering it again mends the chunk of both.
    await own.publish(publicationOf('apps', 2, [a, both]), [a, both]);
    assert.deepEqual(await other.chunkSegment(both.name, wholeOf(both.body)), both.body);
  });

  test('publishing an index and a list of apps notifies other replicas', async (t) => {
    const connection = await createDatabase();
    const publications = await open(t, connection, '1');
    const listener = await connected(t, connection);
    await listener.query(`LISTEN ${CHANNEL}`);
    const next = async (): Promise<unknown> => {
      const [{ payload }] = (await once(listener, 'notification')) as [{ payload: string }];
      return JSON.parse(payload);
    };
    const published = next();
    await publications.publish(publicationOf('apps', 7, []), []);
    assert.deepEqual(await published, { published: 'apps', document: 'index', format: '1', version: 7 });
    const listed = next();
    await publications.putApps('apps', { version: 7, body: Buffer.from('apps') });
    assert.deepEqual(await listed, { published: 'apps', document: 'apps', format: '1', version: 7 });
  });
});

async function open(t: TestContext, connection: ClientConfig, format: string): Promise<PostgresPublications> {
  const store = await PostgresStore.open(connection, { format });
  t.after(() => store.close());
  return store.publications;
}

/** A page as lists of apps have them. */
function page(text: string): Buffer {
  return deflateRawSync(text.repeat(100), { finishFlush: constants.Z_SYNC_FLUSH });
}
