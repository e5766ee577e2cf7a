/** Files of the store that are damaged, foreign, on a full disk or read-only. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { digestOf } from '../../../src/registry/digest.ts';
import { setAside } from '../../../src/store/sqlite/database.ts';
import { SqliteCatalog } from '../../../src/store/sqlite/sqlite-catalog.ts';
import { SqlitePublicationReader, SqlitePublications } from '../../../src/store/sqlite/sqlite-publications.ts';
import { SqliteStore, storeFiles } from '../../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../../src/store/store-error.ts';
import { wholeOf } from '../publications-contract.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import {
  chunkOf,
  imageOf,
  pngOf,
  readApps,
  readCatalog,
  readPublications,
  REGISTRY,
  writeCatalog,
  writePublications,
} from './consistent-content.ts';

function failOnWarning(warning: string): void {
  assert.fail(warning);
}

/** One file of the store while it is open. */
interface OpenRole {
  /** Returns its generation, and checks that it is consistent. */
  read(): Promise<number>;
  write(generation: number): Promise<void>;
  close(): Promise<void>;
}

/** A file of the store, as tests use it. */
interface Role {
  readonly open: (file: string, onWarning: (warning: string) => void) => OpenRole;
  readonly table: string;
  readonly whenLost: RegExp;
}

const ROLES: Readonly<Record<string, Role>> = {
  'catalog.sqlite': {
    open: (file, onWarning) => {
      const catalog = SqliteCatalog.open(file, onWarning);
      return {
        read: () => readCatalog(catalog),
        write: (generation) => writeCatalog(catalog, generation),
        close: () => catalog.close(),
      };
    },
    table: 'index_child',
    whenLost: /the catalog will be read again from the registries$/,
  },
  'publications.sqlite': {
    open: (file, onWarning) => {
      const publications = SqlitePublications.open(file, onWarning);
      return {
        read: () => readPublications(publications),
        write: (generation) => writePublications(publications, generation),
        close: () => publications.close(),
      };
    },
    table: 'apps',
    whenLost: /the indexes will be rendered again$/,
  },
};

/** A folder with a closed file of the store that holds generation 1. */
async function folderWith(t: TestContext, name: string): Promise<string> {
  const folder = temporaryFolder(t);
  const role = ROLES[name]?.open(join(folder, name), failOnWarning);
  await role?.write(1);
  await role?.close();
  return folder;
}

function alter(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

/** Changes bytes in the middle of a file. */
function overwrite(file: string, from: number, bytes: Uint8Array): void {
  const content = readFileSync(file);
  content.set(bytes.subarray(0, Math.max(0, content.length - from)), from);
  writeFileSync(file, content);
}

for (const [name, role] of Object.entries(ROLES)) {
  suite(name, () => {
    suite('a file that cannot be used is set aside with a warning, and replaced by a new one', () => {
      const faults: Readonly<
        Record<string, { readonly make: (file: string) => void; readonly warning: RegExp; readonly only?: string }>
      > = {
        'text instead of a database': {
          make: (file) => {
            writeFileSync(file, 'not a database\n'.repeat(1000));
          },
          warning: /is damaged \(file is not a database\)/,
        },
        'a damaged header': {
          make: (file) => {
            overwrite(file, 0, Buffer.alloc(16, 0xff));
          },
          warning: /is damaged/,
        },
        'a header that forbids writing': {
          make: (file) => {
            overwrite(file, 18, Buffer.of(3));
          },
          warning: /is damaged \(attempt to write a readonly database\)/,
        },
        'half a file': {
          make: (file) => {
            truncateSync(file, 100_000);
          },
          warning: /is damaged/,
        },
        'damaged tables': {
          make: (file) => {
            overwrite(file, 4096, Buffer.alloc(16 * 4096, 0xa5));
          },
          warning: /is damaged/,
        },
        'a missing table': {
          make: (file) => {
            alter(file, `DROP TABLE ${role.table}`);
          },
          warning: /is damaged \(its tables/,
        },
        'a missing id': {
          make: (file) => {
            alter(file, 'DELETE FROM catalog');
          },
          warning: /is damaged \(its id is missing\)/,
          only: 'catalog.sqlite',
        },
        'another program’s database': {
          make: (file) => {
            alter(file, 'PRAGMA application_id = 1234');
          },
          warning: /is a database of another program/,
        },
        'the other file of the store': {
          make: (file) => {
            rmSync(file);
            for (const [other, { open }] of Object.entries(ROLES))
              if (other !== name) void open(file, failOnWarning).close();
          },
          warning: /is a database of another program/,
        },
        'a database without an owner': {
          make: (file) => {
            rmSync(file);
            alter(file, 'CREATE TABLE notes (note)');
          },
          warning: /is a database of another program/,
        },
        'a newer schema': {
          make: (file) => {
            alter(file, 'PRAGMA user_version = 1000');
          },
          warning: /was made by a newer version of this program/,
        },
        'a lost version': {
          make: (file) => {
            alter(file, 'PRAGMA user_version = 0');
          },
          warning: /is damaged \(its version is missing\)/,
        },
      };
      for (const [fault, { make, warning, only = name }] of Object.entries(faults)) {
        if (only !== name) continue;
        test(fault, async (t) => {
          const folder = await folderWith(t, name);
          const file = join(folder, name);
          make(file);
          const content = readFileSync(file);

          const warnings: string[] = [];
          const opened = role.open(file, (text) => warnings.push(text));
          assert.equal(await opened.read(), 0);
          await opened.write(2);
          await opened.close();

          assert.equal(warnings.length, 1);
          assert.match(warnings[0] ?? '', warning);
          assert.match(warnings[0] ?? '', role.whenLost);
          const aside = readdirSync(folder).filter((entry) => /^\w+\.sqlite\.damaged-\d{8}T\d{6}\.\d{3}Z$/.test(entry));
          assert.equal(aside.length, 1);
          assert.ok(warnings[0]?.includes(`set aside as ${join(folder, aside[0] ?? '')}`));
          assert.deepEqual(readFileSync(join(folder, aside[0] ?? '')), content);

          const again = role.open(file, failOnWarning);
          assert.equal(await again.read(), 2);
          await again.close();
        });
      }
    });

    test('an empty file, as after a crash at the first start, is used as a new one', async (t) => {
      const file = join(temporaryFolder(t), name);
      writeFileSync(file, '');
      const opened = role.open(file, failOnWarning);
      await opened.write(1);
      assert.equal(await opened.read(), 1);
      await opened.close();
    });

    test('setting aside includes the log, so that it does not get into the new file', async (t) => {
      const folder = await folderWith(t, name);
      const file = join(folder, name);
      for (const suffix of ['-wal', '-shm']) writeFileSync(file + suffix, suffix);
      const aside = setAside(file);
      assert.deepEqual(
        readdirSync(folder)
          .map((entry) => join(folder, entry))
          .toSorted(),
        [aside, `${aside}-shm`, `${aside}-wal`],
      );
    });

    test('damage found while running is reported as such; the file can then be set aside and created again', async (t) => {
      const folder = await folderWith(t, name);
      const file = join(folder, name);
      const size = readFileSync(file).length;
      overwrite(file, size - 8 * 8192, Buffer.alloc(8 * 8192, 0xff));

      const opened = role.open(file, failOnWarning);
      await assert.rejects(
        opened.read(),
        (error) =>
          error instanceof StoreError && error.code === 'corrupt' && error.message.startsWith(`${file} is damaged`),
      );
      await opened.close();

      const aside = setAside(file);
      assert.ok(existsSync(aside));
      const fresh = role.open(file, failOnWarning);
      assert.equal(await fresh.read(), 0);
      await fresh.close();
    });

    test('calls after it was closed fail with that reason', async (t) => {
      const file = join(await folderWith(t, name), name);
      const opened = role.open(file, failOnWarning);
      await opened.close();
      await opened.close();
      for (const use of [opened.read(), opened.write(2)])
        await assert.rejects(use, { name: 'StoreError', code: 'closed' });
    });

    test('a folder in place of the file, and a missing folder, are reported', (t) => {
      const folder = temporaryFolder(t);
      const file = join(folder, name);
      mkdirSync(file);
      assert.throws(() => role.open(file, failOnWarning), isUnavailable(file));
      const missing = join(folder, 'missing', name);
      assert.throws(() => role.open(missing, failOnWarning), isUnavailable(missing));
    });

    test('random damage is never returned as data, and only StoreError is thrown', async (t) => {
      const folder = await folderWith(t, name);
      const [file, copy] = [join(folder, name), join(folder, `copy-${name}`)];
      const size = readFileSync(file).length;
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(fc.nat(40_000), fc.nat(size - 1)),
          fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.uint8Array({ minLength: 4096, maxLength: 9000 })),
          async (from, bytes) => {
            for (const suffix of ['-wal', '-shm']) rmSync(copy + suffix, { force: true });
            copyFileSync(file, copy);
            overwrite(copy, from, bytes);
            const warnings: string[] = [];
            let close: (() => Promise<void>) | undefined;
            try {
              if (name === 'catalog.sqlite') {
                const catalog = SqliteCatalog.open(copy, (warning) => warnings.push(warning));
                close = () => catalog.close();
                await readFromCatalog(catalog);
                await writeCatalog(catalog, 2);
                await catalog.prune();
              } else {
                const publications = SqlitePublications.open(copy, (warning) => warnings.push(warning));
                close = () => publications.close();
                await readFromPublications(publications);
                await writePublications(publications, 2);
                await publications.clean({
                  named: () => false,
                  chunksBefore: Date.now() + 1,
                  pngsBefore: Date.now() + 1,
                  now: Date.now(),
                });
              }
            } catch (error) {
              if (!(error instanceof StoreError && error.code === 'corrupt')) throw error;
            } finally {
              await close?.();
              for (const entry of readdirSync(folder))
                if (entry.startsWith(`copy-${name}.damaged`)) rmSync(join(folder, entry));
            }
          },
        ),
        { numRuns: 100 },
      );
    });
  });
}

async function readFromCatalog(catalog: SqliteCatalog): Promise<void> {
  const { repositories } = await catalog.known(REGISTRY);
  for (const [, { tags }] of repositories) {
    for (const { digest } of tags.values()) {
      for (const [found, image] of await catalog.images(REGISTRY, [digest])) {
        assert.equal(found, digest);
        assert.equal(digestOf(image.labels['name'] ?? ''), digest);
        assert.deepEqual(image, imageOf(1, Number(image.labels['name']?.split('/')[1])));
      }
    }
  }
}

async function readFromPublications(publications: SqlitePublicationReader): Promise<void> {
  for (let place = 0; place < 20; place++) {
    const { name, head, body } = chunkOf(1, place);
    const heads = await publications.chunkHeads([name]);
    if (heads.has(name)) assert.deepEqual(heads.get(name), head);
    const found = await publications.chunkSegment(name, wholeOf(body));
    if (found !== undefined) assert.deepEqual(found, body);
  }
  const png = await publications.png(digestOf(pngOf(1)));
  if (png !== undefined) assert.deepEqual(png, pngOf(1));
  await readApps(publications);
  await readPublications(publications).catch((error: unknown) => {
    if (error instanceof StoreError) throw error;
    // Rows that are lost without a trace are not found, and are made again.
    assert.ok(error instanceof assert.AssertionError && error.actual === undefined, String(error));
  });
}

test('an image with damaged texts, or with other icons, is rejected', async (t) => {
  for (const change of [
    `UPDATE image SET labels = replace(labels, '1', '2')`,
    `UPDATE image SET annotations = '{"a":"b"}'`,
    `UPDATE image_icon SET png = '${digestOf('another')}'`,
    'DELETE FROM image_icon',
    `UPDATE manifest SET architecture = 'arm64'`,
  ]) {
    const file = join(await folderWith(t, 'catalog.sqlite'), 'catalog.sqlite');
    alter(file, change);
    const catalog = SqliteCatalog.open(file, failOnWarning);
    t.after(() => catalog.close());
    await assert.rejects(readCatalog(catalog), { name: 'StoreError', code: 'corrupt' }, change);
  }
});

test('a damaged file does not affect the other one', async (t) => {
  for (const role of ['catalog', 'publications'] as const) {
    const folder = temporaryFolder(t);
    const before = SqliteStore.open(folder, failOnWarning);
    await writeCatalog(before.catalog, 1);
    await writePublications(before.publications, 1);
    await before.close();
    overwrite(storeFiles(folder)[role], 0, Buffer.alloc(16, 0xff));

    const warnings: string[] = [];
    const store = SqliteStore.open(folder, (warning) => warnings.push(warning));
    assert.deepEqual(
      [await readCatalog(store.catalog), await readPublications(store.publications)],
      role === 'catalog' ? [0, 1] : [1, 0],
    );
    assert.equal(warnings.length, 1);
    await store.close();
  }
});

test('intact icons are recovered from publications that were set aside', async (t) => {
  const folder = temporaryFolder(t);
  const { publications: file } = storeFiles(folder);
  const pngs = Array.from({ length: 200 }, (_, number) => Buffer.alloc(50_000, `icon ${number}`));
  const before = SqliteStore.open(folder, failOnWarning);
  await before.publications.putPngs(new Map(pngs.map((png) => [digestOf(png), png])));
  await before.close();
  alter(file, "UPDATE png SET bytes = CAST('changed' AS BLOB) WHERE id = 7");
  // Damages some pages of the icons themselves.
  overwrite(file, 5_000_000, Buffer.alloc(100_000, 0xa5));
  const aside = SqliteStore.setAside(file);

  const store = SqliteStore.open(folder, failOnWarning);
  t.after(() => store.close());
  await store.salvage(aside);
  const missing = await store.publications.missingPngs(pngs.map((png) => digestOf(png)));
  assert.ok(missing.length >= 2 && missing.length < 10, String(missing.length));
  for (const png of pngs)
    assert.deepEqual(await store.publications.png(digestOf(png)), missing.includes(digestOf(png)) ? undefined : png);
  // A catalog has no icons.
  await store.salvage(storeFiles(folder).catalog);
  writeFileSync(aside, 'not a database');
  await store.salvage(aside);
});

test('a reader works beside the writer, and reports what cannot be read', async (t) => {
  const folder = temporaryFolder(t);
  assert.equal(SqliteStore.openPublications(folder), undefined);
  const store = SqliteStore.open(folder, failOnWarning);
  await writePublications(store.publications, 1);
  const reader = SqliteStore.openPublications(folder);
  t.after(() => reader?.close());
  assert.ok(reader);
  assert.equal(await readPublications(reader), 1);
  await writePublications(store.publications, 2);
  assert.equal(await readPublications(reader), 2);
  await store.close();
  assert.equal(await readPublications(reader), 2);

  for (const content of ['', 'not a database\n'.repeat(1000)]) {
    const file = join(folder, 'other.sqlite');
    writeFileSync(file, content);
    assert.throws(() => SqlitePublicationReader.openForReading(file), { name: 'StoreError', file });
  }
});

function isUnavailable(path: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof StoreError && error.code === 'unavailable' && error.message.startsWith(`${path} cannot be used`);
}

/** Runs a shell command with a separate disk of 4 MB at `$1`; `$2` is the folder of the store's tests. */
function withSmallDisk(t: TestContext, command: string) {
  const script = `mount -t tmpfs -o size=4m none "$1" && ${command}`;
  return spawnSync(
    'unshare',
    ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', temporaryFolder(t), join(import.meta.dirname, '..')],
    {
      encoding: 'utf8',
      env: { ...process.env, NODE: process.execPath },
    },
  );
}

const cannotMount =
  spawnSync('unshare', ['--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'none', import.meta.dirname]).status !==
    0 && 'this system does not let tests mount a disk';

test(
  'on a full disk the error says so, earlier data are intact, and writing works when there is space again',
  { skip: cannotMount },
  (t) => {
    const { status, stderr } = withSmallDisk(t, '"$NODE" "$2/sqlite/programs/fill-disk.ts" "$1"');
    assert.equal(stderr, '');
    assert.equal(status, 0);
  },
);

test('on a read-only disk the lock and the store say so', { skip: cannotMount }, (t) => {
  const { status, stdout, stderr } = withSmallDisk(
    t,
    '"$NODE" "$2/programs/open-state.ts" "$1" && mount -o remount,ro "$1" && "$NODE" "$2/programs/open-state.ts" "$1"',
  );
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const [before, after] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, { code: string; message: string } | undefined>);
  assert.deepEqual(before, {});
  for (const [name, error] of Object.entries(after ?? {})) {
    assert.equal(error?.code, 'read-only', name);
    assert.match(error?.message ?? '', /is not writable .*EROFS.*set state_dir to another folder/);
  }
  assert.deepEqual(Object.keys(after ?? {}), ['lock', 'store']);
});

test(
  'a disk that is too full for the import of an earlier version stops the start, and nothing is lost',
  { skip: cannotMount },
  (t) => {
    const fixture = join(import.meta.dirname, '..', '..', 'fixtures', 'state-0.1', 'catalog.sqlite');
    const open = '"$NODE" "$2/programs/open-state.ts" "$1"';
    const { status, stdout, stderr } = withSmallDisk(
      t,
      `cp '${fixture}' "$1" && mount -o remount,size=400k "$1" && ${open} && ls "$1" && mount -o remount,size=4m "$1" && ${open} && cmp '${fixture}' "$1/catalog.sqlite" && ls "$1/store"`,
    );
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const [full, ...rest] = stdout.trimEnd().split('\n');
    assert.match(full ?? '', /"code":"full","message":"[^"]*catalog.sqlite could not be written, the disk is full/);
    assert.deepEqual(
      rest.filter((line) => !/^(lock|lock\.holder|catalog\.sqlite-\w+)$/.test(line)),
      ['catalog.sqlite', '{}', 'blobs.sqlite', 'catalog.sqlite', 'publications.sqlite'],
    );
  },
);
