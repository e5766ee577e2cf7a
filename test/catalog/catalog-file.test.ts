/** Catalog files that are damaged, foreign, on a full disk or read-only. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { CatalogError } from '../../src/catalog/catalog-error.ts';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { SqliteCatalog } from '../../src/catalog/sqlite-catalog.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { pngOf, readGeneration, writeGeneration } from './generation.ts';
import { temporaryFolder } from './temporary-folder.ts';

const NAME = 'catalog.sqlite';
const ASIDE = /^catalog\.sqlite\.damaged-\d{8}T\d{6}\.\d{3}Z$/;

function failOnWarning(warning: string): void {
  assert.fail(warning);
}

/** A folder with a closed catalog that holds generation 1. */
function folderWithCatalog(t: TestContext): string {
  const folder = temporaryFolder(t);
  const catalog = SqliteCatalog.open(join(folder, NAME), { onWarning: failOnWarning });
  writeGeneration(catalog, 1);
  catalog.close();
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

suite('a file that cannot be used is set aside with a warning, and a new one takes its place', () => {
  const faults: Readonly<Record<string, { readonly make: (file: string) => void; readonly warning: RegExp }>> = {
    'text instead of a database': { make: (file) => { writeFileSync(file, 'not a database\n'.repeat(1000)); }, warning: /is damaged \(file is not a database\)/ },
    'a damaged header': { make: (file) => { overwrite(file, 0, Buffer.alloc(16, 0xff)); }, warning: /is damaged/ },
    'a header that forbids writing': { make: (file) => { overwrite(file, 18, Buffer.of(3)); }, warning: /is damaged \(attempt to write a readonly database\)/ },
    'half a file': { make: (file) => { truncateSync(file, 100_000); }, warning: /is damaged/ },
    'damaged tables': { make: (file) => { overwrite(file, 4096, Buffer.alloc(16 * 4096, 0xa5)); }, warning: /is damaged/ },
    'a missing table': { make: (file) => { alter(file, 'DROP TABLE index_child'); }, warning: /is damaged \(its tables/ },
    'a missing id': { make: (file) => { alter(file, 'DELETE FROM catalog'); }, warning: /is damaged \(it has lost its id\)/ },
    'another program’s database': { make: (file) => { alter(file, 'PRAGMA application_id = 1234'); }, warning: /is a database of another program/ },
    'a database without an owner': { make: (file) => { rmSync(file); alter(file, 'CREATE TABLE notes (note)'); }, warning: /is a database of another program/ },
    'a newer schema': { make: (file) => { alter(file, 'PRAGMA user_version = 1000'); }, warning: /was made by another version of this program/ },
    'an older schema': { make: (file) => { alter(file, 'PRAGMA user_version = 0'); }, warning: /was made by another version of this program/ },
  };
  for (const [fault, { make, warning }] of Object.entries(faults)) {
    test(fault, (t) => {
      const folder = folderWithCatalog(t);
      const file = join(folder, NAME);
      make(file);
      const content = readFileSync(file);

      const warnings: string[] = [];
      const catalog = SqliteCatalog.open(file, { onWarning: (text) => warnings.push(text) });
      assert.equal(readGeneration(catalog), 0);
      writeGeneration(catalog, 2);
      catalog.close();

      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', warning);
      const aside = readdirSync(folder).filter((name) => ASIDE.test(name));
      assert.equal(aside.length, 1);
      assert.ok(warnings[0]?.includes(`set aside as ${join(folder, aside[0] ?? '')}`));
      assert.deepEqual(readFileSync(join(folder, aside[0] ?? '')), content);

      const again = SqliteCatalog.open(file, { onWarning: failOnWarning });
      assert.equal(readGeneration(again), 2);
      again.close();
    });
  }
});

test('an empty file, as a crash at the first start leaves it, is a new catalog', (t) => {
  const file = join(temporaryFolder(t), NAME);
  writeFileSync(file, '');
  const catalog = SqliteCatalog.open(file, { onWarning: failOnWarning });
  writeGeneration(catalog, 1);
  assert.equal(readGeneration(catalog), 1);
  catalog.close();
});

test('setting aside takes the log along, so that it does not get into the new catalog', (t) => {
  const folder = folderWithCatalog(t);
  const file = join(folder, NAME);
  for (const suffix of ['-wal', '-shm']) writeFileSync(file + suffix, suffix);
  const aside = SqliteCatalog.setAside(file);
  assert.deepEqual(readdirSync(folder).map((name) => join(folder, name)).toSorted(), [aside, `${aside}-shm`, `${aside}-wal`]);
});

test('damage that shows while running is told as such; the file can then be set aside and opened anew', (t) => {
  const folder = folderWithCatalog(t);
  const file = join(folder, NAME);
  const size = readFileSync(file).length;
  overwrite(file, size - 4 * 4096, Buffer.alloc(4 * 4096, 0xff));

  const catalog = SqliteCatalog.open(file, { onWarning: failOnWarning });
  assert.throws(() => readGeneration(catalog), (error) => error instanceof CatalogError && error.code === 'corrupt' && error.message.startsWith(`${file} is damaged`));
  catalog.close();

  const aside = SqliteCatalog.setAside(file);
  assert.ok(existsSync(aside));
  const fresh = SqliteCatalog.open(file, { onWarning: failOnWarning });
  assert.equal(readGeneration(fresh), 0);
  fresh.close();
});

test('an icon that has changed is not believed, nor that an image has another', (t) => {
  for (const change of ["UPDATE png SET bytes = x'00'", 'DELETE FROM png', `UPDATE image_icon SET png = '${digestOf('another')}'`, 'DELETE FROM image_icon']) {
    const file = join(folderWithCatalog(t), NAME);
    alter(file, change);
    const catalog = SqliteCatalog.open(file, { onWarning: failOnWarning });
    t.after(() => catalog.close());
    assert.throws(() => readGeneration(catalog), { name: 'CatalogError', code: 'corrupt' }, change);
  }
});

test('whatever bytes of the file a disk changes, labels come out unchanged or not at all, and nothing but CatalogError is thrown', (t) => {
  const folder = folderWithCatalog(t);
  const [file, copy] = [join(folder, NAME), join(folder, 'copy.sqlite')];
  const size = readFileSync(file).length;
  fc.assert(
    fc.property(fc.oneof(fc.nat(40_000), fc.nat(size - 1)), fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.uint8Array({ minLength: 4096, maxLength: 9000 })), (from, bytes) => {
      for (const suffix of ['-wal', '-shm']) rmSync(copy + suffix, { force: true });
      copyFileSync(file, copy);
      overwrite(copy, from, bytes);
      const catalog = SqliteCatalog.open(copy, { onWarning: () => {} });
      try {
        readWhatIsThere(catalog);
        catalog.transaction(() => {
          writeGeneration(catalog, 2);
          catalog.prune();
        });
      } catch (error) {
        if (!(error instanceof CatalogError && error.code === 'corrupt')) throw error;
      } finally {
        catalog.close();
        for (const name of readdirSync(folder)) if (name.startsWith('copy.sqlite.damaged')) rmSync(join(folder, name));
      }
    }),
    { numRuns: 100 },
  );
});

function readWhatIsThere(catalog: Catalog): void {
  for (const { name } of catalog.repositories('registry')) {
    for (const { digest } of catalog.tags('registry', name)) {
      catalog.manifest('registry', digest);
      const image = catalog.image('registry', digest);
      if (image === undefined) continue;
      assert.equal(digestOf(image.labels['name'] ?? ''), digest);
      assert.equal(image.labels['filler'], '1'.repeat(20_000));
      for (const { png } of image.icons) assert.deepEqual(catalog.png(png), pngOf(1));
    }
  }
}

function isUnavailable(path: string): (error: unknown) => boolean {
  return (error) => error instanceof CatalogError && error.code === 'unavailable' && error.message.startsWith(`${path} cannot be used`);
}

test('a folder in the place of the file, and a folder that is missing, are told as what they are', (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, NAME);
  mkdirSync(file);
  assert.throws(() => SqliteCatalog.open(file, { onWarning: failOnWarning }), isUnavailable(file));
  const missing = join(folder, 'missing', NAME);
  assert.throws(() => SqliteCatalog.open(missing, { onWarning: failOnWarning }), isUnavailable(missing));
});

/** Runs a shell command with a disk of its own, of 4 MB, at `$1`; the programs of these tests are in `$2`. */
function withSmallDisk(t: TestContext, command: string) {
  const script = `mount -t tmpfs -o size=4m none "$1" && ${command}`;
  return spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', temporaryFolder(t), join(import.meta.dirname, 'programs')], {
    encoding: 'utf8',
    env: { ...process.env, NODE: process.execPath },
  });
}

const cannotMount = spawnSync('unshare', ['--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'none', import.meta.dirname]).status !== 0 && 'this system does not let tests mount a disk';

test('on a full disk the error says so, what was written before is whole, and it goes on when there is space again', { skip: cannotMount }, (t) => {
  const { status, stderr } = withSmallDisk(t, '"$NODE" "$2/fill-disk.ts" "$1"');
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('on a read-only disk the lock and the catalog say so', { skip: cannotMount }, (t) => {
  const { status, stdout, stderr } = withSmallDisk(t, '"$NODE" "$2/open-state.ts" "$1" && mount -o remount,ro "$1" && "$NODE" "$2/open-state.ts" "$1"');
  assert.equal(stderr, '');
  assert.equal(status, 0);
  const [before, after] = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, { code: string; message: string } | undefined>);
  assert.deepEqual(before, {});
  for (const [name, error] of Object.entries(after ?? {})) {
    assert.equal(error?.code, 'read-only', name);
    assert.match(error?.message ?? '', /may not be written .*EROFS.*set state_dir to another folder/);
  }
  assert.deepEqual(Object.keys(after ?? {}), ['lock', 'catalog']);
});
