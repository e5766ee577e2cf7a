/** Publications as a replica reads them: the contract of readers, and how it goes on without the database. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import type { ClientConfig } from 'pg';
import { digestOf } from '../../../src/registry/digest.ts';
import { CachedPublications, type CachedPublicationsOptions } from '../../../src/store/postgres/cached-publications.ts';
import type { PostgresPublications } from '../../../src/store/postgres/postgres-publications.ts';
import { PostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { checksumOf, nameBytes } from '../../../src/store/publication-row.ts';
import type { StoredChunk } from '../../../src/store/publications.ts';
import { needs } from '../../peers/installed.ts';
import { startPostgresql } from '../../peers/postgresql.ts';
import { cannotMount, SmallDisk } from '../../peers/small-disk.ts';
import { chunkOf, publicationOf, publicationsContract, wholeOf } from '../publications-contract.ts';
import { pngOf, readApps, readPublications, writePublications, INDEX } from '../sqlite/consistent-content.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { connected, damageTo, databases, run } from './database.ts';
import { FaultyProxy } from './faulty-proxy.ts';

/** A database that cannot be reached. */
const NOWHERE: ClientConfig = { host: '127.0.0.1', port: 1, user: 'nobody', database: 'none' };
const HOUR = 3_600_000;

suite('cached publications', needs('postgres'), () => {
  const createDatabase = databases();

  /** Opens a store, and a replica that reads it through a proxy. */
  async function openBoth(t: TestContext): Promise<{
    readonly connection: ClientConfig;
    readonly proxy: FaultyProxy;
    readonly store: PostgresPublications;
    readonly stateDir: string;
    readonly cached: CachedPublications;
  }> {
    const connection = await createDatabase();
    const proxy = await FaultyProxy.start(t, connection.port);
    const stateDir = temporaryFolder(t);
    return {
      connection,
      proxy,
      store: await openStore(t, connection),
      stateDir,
      cached: openCached(t, { ...connection, port: proxy.port }, stateDir),
    };
  }

  /** Makes a copy of generation 1; returns its bytes. */
  async function copyOf(t: TestContext): Promise<{ readonly connection: ClientConfig; readonly bytes: Buffer }> {
    const { connection, store, stateDir, cached } = await openBoth(t);
    await writePublications(store, 1);
    assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
    await cached.close();
    return { connection, bytes: readFileSync(fileIn(stateDir)) };
  }

  suite('contract of readers', () => {
    publicationsContract((t) => {
      const database = createDatabase();
      let store: PostgresPublications | undefined;
      return {
        open: async () => {
          await store?.close();
          store = await openStore(t, await database);
          return store;
        },
        openForReading: async () => openCached(t, await database),
        damage: async (part) => {
          const { sql, name } = damageTo(part);
          await run(await database, sql, [name]);
        },
        lose: async (chunk) => {
          await run(await database, 'DELETE FROM chunk WHERE name = $1', [Buffer.from(chunk, 'hex')]);
        },
      };
    });
  });

  suite('what is asked of the database', () => {
    test('a push costs its publication and its chunk; what is in the copy, nothing', async (t) => {
      const { proxy, store, cached } = await openBoth(t);
      const chunks = Array.from({ length: 100 }, (_, place) => ({
        ...chunkOf(`chunk ${place}`),
        body: randomBytes(10_000),
      }));
      await store.publish(publicationOf('apps', 1, chunks), chunks);
      await cached.publication('apps');
      const pushed = { ...chunkOf('pushed'), body: randomBytes(10_000) };
      const after = [...chunks.slice(1), pushed];
      await store.publish(publicationOf('apps', 2, after), [pushed]);

      const asked = async (read: () => Promise<unknown>): Promise<{ statements: number; bytes: number }> => {
        const before = { statements: proxy.statements, bytes: proxy.bytes };
        await read();
        return { statements: proxy.statements - before.statements, bytes: proxy.bytes - before.bytes };
      };
      const push = await asked(async () => {
        assert.deepEqual(await cached.publication('apps'), publicationOf('apps', 2, after));
        const heads = await cached.chunkHeads(after.map(({ name }) => name));
        assert.equal(heads.size, after.length);
        assert.deepEqual(await cached.chunkSegment(pushed.name, wholeOf(pushed.body)), pushed.body);
      });
      assert.equal(push.statements, 2);
      // Bytes are sent as hexadecimal digits: 100 names of 32, and the chunk.
      assert.ok(push.bytes < 2 * (100 * 32 + 10_000) + 2_000, `${push.bytes} bytes`);
      const unchanged = await asked(() => cached.publication('apps'));
      assert.equal(unchanged.statements, 1);
      assert.ok(unchanged.bytes < 1_000, `${unchanged.bytes} bytes`);
    });

    test('an icon and a list of apps are transferred once', async (t) => {
      const { proxy, store, cached } = await openBoth(t);
      const png = randomBytes(10_000);
      const apps = { version: 1, body: randomBytes(10_000) };
      await store.putPngs(new Map([[digestOf(png), png]]));
      await store.publish(publicationOf('apps', 1, []), []);
      await store.putApps('apps', apps);
      await cached.publication('apps');
      assert.deepEqual([await cached.png(digestOf(png)), await cached.apps('apps')], [png, apps]);
      const before = proxy.bytes;
      assert.deepEqual([await cached.png(digestOf(png)), await cached.apps('apps')], [png, apps]);
      assert.ok(proxy.bytes - before < 1_000);
      await store.putApps('apps', { ...apps, version: 2 });
      assert.deepEqual(await cached.apps('apps'), { ...apps, version: 2 });
      assert.ok(proxy.bytes - before < 2_000);
    });
  });

  suite('the database away', () => {
    test('a stopped one is nothing to what is in the copy; what is in neither is unavailable; after its return, the newest is read', async (t) => {
      const own = await startPostgresql();
      t.after(() => own[Symbol.asyncDispose]());
      const connection = await own.createDatabase();
      const store = await openStore(t, connection);
      const cached = openCached(t, connection);
      await writePublications(store, 1);
      const more = Buffer.from('another PNG');
      await store.putPngs(new Map([[digestOf(more), more]]));
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      await own.stop();
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      assert.equal(await isWhole(cached, [INDEX]), true);
      await cached.clean({ named: () => true, now: Date.now() });
      const segment = wholeOf(chunkOf('other').body);
      for (const read of [
        () => cached.png(digestOf(more)),
        () => cached.apps('other'),
        () => cached.publication('other'),
        () => cached.chunkHeads([chunkOf('other').name]),
        () => cached.chunkSegment(chunkOf('other').name, segment),
        () => cached.versions(),
      ])
        await assert.rejects(read(), { name: 'StoreError', code: 'unavailable' });
      await own.start();
      await writePublications(store, 2);
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [2, 2]);
      assert.deepEqual(await cached.png(digestOf(more)), more);
    });

    test('one that hangs is waited for once; meanwhile other reads of clients fail at once', async (t) => {
      const { connection, proxy, store, stateDir } = await openBoth(t);
      const cached = openCached(
        t,
        { ...connection, port: proxy.port, connectionTimeoutMillis: 300 },
        { stateDir, readTimeout: 300 },
      );
      await writePublications(store, 1);
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      proxy.hang({ all: true });
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      const failure = (text: string): Promise<unknown> => cached.png(digestOf(text)).catch((error: unknown) => error);
      await failure('waited for');
      // The same error, so the database was not asked.
      assert.equal(await failure('one'), await failure('another'));
      proxy.release();
      await writePublications(store, 2);
      assert.equal(await readPublications(cached), 2);
      assert.equal(await cached.png(digestOf('not there')), undefined);
    });

    test('a replica that starts meanwhile reads its copy, if that is whole', async (t) => {
      const { store, stateDir, cached } = await openBoth(t);
      await writePublications(store, 3);
      await store.publish(publicationOf('empty', 1, []), []);
      await readPublications(cached);
      await readApps(cached);
      await cached.publication('empty');
      await cached.close();

      const alone = openCached(t, NOWHERE, stateDir);
      assert.deepEqual([await readPublications(alone), await readApps(alone)], [3, 3]);
      assert.deepEqual([await isWhole(alone, [INDEX, 'empty']), await isWhole(alone, [INDEX, 'other'])], [true, false]);
      await alone.close();

      alter(stateDir, 'DELETE FROM chunk WHERE id = 7');
      const lacking = openCached(t, NOWHERE, stateDir);
      assert.deepEqual([await isWhole(lacking, [INDEX]), await isWhole(lacking, ['empty'])], [false, true]);
      await assert.rejects(lacking.publication(INDEX), { name: 'StoreError', code: 'unavailable' });
      assert.equal((await lacking.publication('empty'))?.version, 1);

      const empty = openCached(t, NOWHERE);
      assert.equal(await isWhole(empty, [INDEX]), false);
      await assert.rejects(empty.publication(INDEX), { name: 'StoreError', code: 'unavailable' });
    });
  });

  suite('what is removed', () => {
    test('a chunk that is removed while its publication is copied leads to the next publication', async (t) => {
      const { connection, store, cached } = await openBoth(t);
      const [a, b] = ['a', 'b'].map(chunkOf) as [StoredChunk, StoredChunk];
      await store.publish(publicationOf('apps', 1, [a]), [a]);
      await store.putChunks([b]);
      const observer = await connected(t, connection);
      await observer.query('BEGIN; LOCK TABLE chunk IN ACCESS EXCLUSIVE MODE');
      const reading = cached.publication('apps');
      for (let waits = false; !waits;) {
        const { rows } = await observer.query(`SELECT FROM pg_locks WHERE NOT granted`);
        waits = rows.length > 0;
      }
      const next = publicationOf('apps', 2, [b]);
      const names = nameBytes(next.chunks);
      await observer.query('DELETE FROM chunk WHERE name = $1', [nameBytes([a.name])]);
      await observer.query('UPDATE publication SET version = $1, modified = $2, chunks = $3, checksum = $4', [
        next.version,
        next.modified,
        names,
        checksumOf(next, names),
      ]);
      await observer.query('COMMIT');
      assert.deepEqual(await reading, next);
      assert.deepEqual(await cached.chunkHeads([b.name]), new Map([[b.name, b.head]]));
    });

    test('a chunk that the database has lost is left out; the copy keeps the publication before', async (t) => {
      const { connection, store, stateDir, cached } = await openBoth(t);
      const [a, b] = ['a', 'b'].map(chunkOf) as [StoredChunk, StoredChunk];
      await store.publish(publicationOf('apps', 1, [a]), [a]);
      await cached.publication('apps');
      await store.publish(publicationOf('apps', 2, [a, b]), [b]);
      await run(connection, 'DELETE FROM chunk WHERE name = $1', [nameBytes([b.name])]);
      assert.deepEqual(await cached.publication('apps'), publicationOf('apps', 2, [a, b]));
      assert.deepEqual([...(await cached.chunkHeads([a.name, b.name])).keys()], [a.name]);
      await cached.close();
      const alone = openCached(t, NOWHERE, stateDir);
      assert.deepEqual(await alone.publication('apps'), publicationOf('apps', 1, [a]));
      await alone.close();

      await store.putChunks([b]);
      const again = openCached(t, connection, stateDir);
      await again.publication('apps');
      assert.equal((await again.chunkHeads([a.name, b.name])).size, 2);
      assert.equal(await isWhole(again, ['apps']), true);
    });

    test('chunks and icons that nothing has named for an hour go, and indexes that are not published any more', async (t) => {
      const { store, stateDir, cached } = await openBoth(t);
      const [a, b, c] = ['a', 'b', 'c'].map(chunkOf) as [StoredChunk, StoredChunk, StoredChunk];
      const pngs = ['named', 'unnamed'].map((text) => Buffer.from(text)) as [Buffer, Buffer];
      await store.putPngs(new Map(pngs.map((png) => [digestOf(png), png])));
      await store.publish(publicationOf('apps', 1, [a, b]), [a, b]);
      await store.publish(publicationOf('gone', 1, [c]), [c]);
      for (const index of ['apps', 'gone']) await cached.publication(index);
      for (const png of pngs) await cached.png(digestOf(png));
      await store.publish(publicationOf('apps', 2, [a]), []);
      await store.keepIndexes(new Set(['apps']));
      assert.equal(await cached.publication('gone'), undefined);
      const now = Date.now();
      const clean = (time: number): Promise<void> =>
        cached.clean({ named: (digest) => digest === digestOf(pngs[0]), now: time });
      await cached.publication('apps');
      await clean(now);
      await clean(now + HOUR);
      assert.deepEqual(counted(t, stateDir), { publication: 1, chunk: 3, png: 2 });
      await clean(now + HOUR + 1);
      assert.deepEqual(counted(t, stateDir), { publication: 1, chunk: 1, png: 1 });
      assert.equal(await isWhole(cached, ['apps']), true);
    });

    test('what a version of the program with another format has copied is not read, except for icons', async (t) => {
      const { connection, store, stateDir, cached } = await openBoth(t);
      await writePublications(store, 1);
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      await cached.close();
      const next = openCached(t, connection, { stateDir, format: 'next' });
      assert.deepEqual([await next.publication(INDEX), await next.apps(INDEX)], [undefined, undefined]);
      await next.close();
      const alone = openCached(t, NOWHERE, { stateDir, format: 'next' });
      for (const read of [alone.publication(INDEX), alone.apps(INDEX)])
        await assert.rejects(read, { code: 'unavailable' });
      assert.deepEqual(await alone.png(digestOf(pngOf(1))), pngOf(1));
    });
  });

  suite('the copy', () => {
    test('damage anywhere is mended from the database, and never served', async (t) => {
      const { connection, bytes } = await copyOf(t);
      await fc.assert(
        fc.asyncProperty(damagedCopies(bytes), async (damaged) => {
          await using resources = new AsyncDisposableStack();
          const stateDir = stateDirWith(t, damaged);
          const warnings: string[] = [];
          const cached = new CachedPublications(connection, {
            format: '1',
            stateDir,
            onWarning: (warning) => warnings.push(warning),
          });
          resources.defer(() => cached.close());
          assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
          await cached.clean({ named: () => true, now: Date.now() });
          assert.equal(await isWhole(cached, [INDEX]), true);
          assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
          assert.ok(warnings.length <= 1, warnings.join('\n'));
        }),
        { numRuns: 150 },
      );
    });

    test('while the database is away, damage makes things unavailable, never wrong', async (t) => {
      const { bytes } = await copyOf(t);
      let whole = 0;
      let lacking = 0;
      await fc.assert(
        fc.asyncProperty(damagedCopies(bytes), async (damaged) => {
          await using resources = new AsyncDisposableStack();
          const stateDir = stateDirWith(t, damaged);
          const cached = new CachedPublications(NOWHERE, { format: '1', stateDir, onWarning: () => undefined });
          resources.defer(() => cached.close());
          for (const read of [readPublications, readApps]) {
            const outcome = await read(cached).catch((error: unknown) => error);
            if (outcome === 1) whole++;
            else {
              lacking++;
              assert.ok(
                outcome instanceof Error && 'code' in outcome && outcome.code === 'unavailable',
                String(outcome),
              );
            }
          }
          await cached.clean({ named: () => true, now: Date.now() });
        }),
        { numRuns: 150 },
      );
      assert.ok(whole > 20 && lacking > 20, `${whole} read, ${lacking} not`);
    });

    test('damage that is found while running removes the copy with one warning, and it is filled again', async (t) => {
      const { connection, store, stateDir, cached: first } = await openBoth(t);
      await writePublications(store, 1);
      await readPublications(first);
      await first.close();
      const warnings: string[] = [];
      const cached = openCached(t, connection, { stateDir, onWarning: (warning) => warnings.push(warning) });
      await cached.publication(INDEX);
      const { size } = statSync(fileIn(stateDir));
      writeFileSync(fileIn(stateDir), randomBytes(size - 16_384), { flag: 'r+', flush: true });
      assert.equal(await readPublications(cached), 1);
      assert.equal(warnings.length, 1);
      assert.match(
        warnings[0] ?? '',
        /cache\/publications\.sqlite was damaged \(.*\): it was removed, and will be filled/,
      );
      await cached.clean({ named: () => true, now: Date.now() });
      await cached.close();
      const alone = openCached(t, NOWHERE, stateDir);
      assert.equal((await alone.publication(INDEX))?.version, 1);
    });

    test('a file that somebody removes or cuts while it is open is made again', async (t) => {
      const { store, stateDir, cached } = await openBoth(t);
      await writePublications(store, 1);
      assert.equal(await readPublications(cached), 1);
      rmSync(dirname(fileIn(stateDir)), { recursive: true });
      await writePublications(store, 2);
      assert.equal(await readPublications(cached), 2);
      await cached.clean({ named: () => true, now: Date.now() });
      assert.deepEqual(counted(t, stateDir).chunk, 20);
      for (const file of readdirSync(dirname(fileIn(stateDir))))
        truncateSync(join(dirname(fileIn(stateDir)), file), 5_000);
      for (const generation of [3, 4]) {
        await writePublications(store, generation);
        assert.equal(await readPublications(cached), generation);
      }
    });
  });

  suite('a disk that takes nothing', { skip: cannotMount() }, () => {
    test('a full one is one warning; everything is read from the database, and copied once there is space', async (t) => {
      const { connection, store } = await openBoth(t);
      const disk = await mounted(t);
      const warnings: string[] = [];
      const cached = openCached(t, connection, {
        stateDir: disk.path,
        pause: 0,
        onWarning: (warning) => warnings.push(warning),
      });
      await writePublications(store, 1);
      assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
      disk.fill();
      for (const generation of [2, 3, 4, 5]) {
        await writePublications(store, generation);
        assert.deepEqual([await readPublications(cached), await readApps(cached)], [generation, generation]);
      }
      assert.equal(warnings.length, 1);
      assert.match(
        warnings[0] ?? '',
        /cache\/publications\.sqlite could not be written, the disk is full: free some space/,
      );
      disk.free();
      await cached.clean({ named: () => true, now: Date.now() });
      await cached.close();
      const alone = openCached(t, NOWHERE, disk.path);
      assert.equal((await alone.publication(INDEX))?.version, 5);
    });

    test('one that is full or read-only at the start is one warning', async (t) => {
      const { connection, store } = await openBoth(t);
      await writePublications(store, 1);
      for (const [spoil, reason] of [
        [(disk: SmallDisk) => disk.fill(), /the disk is full/],
        [(disk: SmallDisk) => disk.remount('ro'), /EROFS/],
      ] as const) {
        const disk = await mounted(t);
        spoil(disk);
        const warnings: string[] = [];
        const cached = openCached(t, connection, {
          stateDir: disk.path,
          pause: 0,
          onWarning: (warning) => warnings.push(warning),
        });
        assert.deepEqual([await readPublications(cached), await readApps(cached)], [1, 1]);
        assert.equal(await isWhole(cached, [INDEX]), false);
        assert.equal(warnings.length, 1);
        assert.match(warnings[0] ?? '', reason);
        await cached.close();
      }
    });
  });
});

async function openStore(t: TestContext, connection: ClientConfig, format = '1'): Promise<PostgresPublications> {
  const store = await PostgresStore.open(connection, { format, keepUnreadFor: 0 });
  t.after(() => store.close());
  return store.publications;
}

/** Opens cached publications until the test ends; no warning is expected unless `onWarning` is given. */
function openCached(
  t: TestContext,
  connection: ClientConfig,
  options: string | Partial<CachedPublicationsOptions> = {},
): CachedPublications {
  const given = typeof options === 'string' ? { stateDir: options } : options;
  const cached = new CachedPublications(connection, {
    format: '1',
    stateDir: given.stateDir ?? temporaryFolder(t),
    onWarning: (warning) => assert.fail(warning),
    ...given,
  });
  t.after(() => cached.close());
  return cached;
}

/** Says whether the copy has the publications of all these indexes, each with all its chunks. */
async function isWhole(cached: CachedPublications, indexes: readonly string[]): Promise<boolean> {
  const copied = await Promise.all(indexes.map((index) => cached.copied(index)));
  return !copied.includes(undefined);
}

function fileIn(stateDir: string): string {
  return join(stateDir, 'cache', 'publications.sqlite');
}

function stateDirWith(t: TestContext, copy: Uint8Array): string {
  const stateDir = temporaryFolder(t);
  mkdirSync(dirname(fileIn(stateDir)));
  writeFileSync(fileIn(stateDir), copy);
  return stateDir;
}

/** Changes the copy while nobody has it open. */
function alter(stateDir: string, sql: string): void {
  const database = new DatabaseSync(fileIn(stateDir));
  database.exec(sql);
  database.close();
}

/** Counts the rows of the copy while it is open, which locks the file. */
function counted(t: TestContext, stateDir: string): Readonly<Record<string, number>> {
  const copied = temporaryFolder(t);
  cpSync(dirname(fileIn(stateDir)), dirname(fileIn(copied)), { recursive: true });
  const database = new DatabaseSync(fileIn(copied));
  try {
    return Object.fromEntries(
      ['publication', 'chunk', 'png'].map((table) => [
        table,
        Number(database.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.['rows']),
      ]),
    );
  } finally {
    database.close();
  }
}

/** A copy that was cut at a place, or in which some bytes were overwritten. */
function damagedCopies(bytes: Buffer): fc.Arbitrary<Buffer> {
  const place = fc.nat({ max: bytes.length - 1 });
  return fc.oneof(
    place.map((length) => bytes.subarray(0, length)),
    fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 64 })).map(([from, garbage]) => {
      const damaged = Buffer.from(bytes);
      damaged.set(garbage.subarray(0, bytes.length - from), from);
      return damaged;
    }),
    fc
      .tuple(place, fc.nat({ max: 20_000 }))
      .map(([from, length]) => Buffer.from(bytes).fill(0xa5, from, Math.min(from + length, bytes.length))),
  );
}

async function mounted(t: TestContext): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-store-'));
  const disk = await SmallDisk.mount(join(folder, 'state'));
  t.after(() => {
    disk.unmount();
    rmSync(folder, { recursive: true });
  });
  return disk;
}
