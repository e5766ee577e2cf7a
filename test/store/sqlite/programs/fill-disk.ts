/**
 * Uses a store on a disk of a few MB until it is full, and after that: `fill-disk.ts FOLDER`. Fails if anything is
 * lost.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SqliteStore, storeFiles } from '../../../../src/store/sqlite/sqlite-store.ts';
import { StateLock } from '../../../../src/store/state-lock.ts';
import { StoreError } from '../../../../src/store/store-error.ts';
import { readCatalog, readPublications, writeCatalog, writePublications } from '../consistent-content.ts';

const folder = process.argv[2] ?? '';
const files = storeFiles(folder);
const ballast = join(folder, 'ballast');

function open(): SqliteStore {
  return SqliteStore.open(folder, (warning) => assert.fail(warning));
}

/** Fills that much of the disk, in bytes, or all that is left. */
function fill(most = Infinity): void {
  const descriptor = openSync(ballast, 'a');
  try {
    for (let taken = 0; taken < most; taken += 4096) writeSync(descriptor, Buffer.alloc(4096));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  } finally {
    closeSync(descriptor);
  }
}

function isFull(error: unknown): boolean {
  return (
    error instanceof StoreError && error.code === 'full' && /could not be written, the disk is full/.test(error.message)
  );
}

fill();
const lock = StateLock.acquire(folder);
assert.throws(open, isFull);
rmSync(ballast);

let store = open();
await writeCatalog(store.catalog, 1);
await writePublications(store.publications, 1);
await store.close();
fill();
assert.throws(open, isFull);
rmSync(ballast);

const roles = {
  catalog: {
    file: files.catalog,
    write: (generation: number) => writeCatalog(store.catalog, generation),
    read: () => readCatalog(store.catalog),
  },
  publications: {
    file: files.publications,
    write: (generation: number) => writePublications(store.publications, generation),
    read: () => readPublications(store.publications),
  },
};
for (const [role, { file, write, read }] of Object.entries(roles)) {
  // The others need no space.
  rmSync(dirname(file), { recursive: true });
  store = open();
  await write(1);
  fill(1_500_000);
  const before = await read();
  let generation = before;
  const writeUntilFull = async (): Promise<void> => {
    for (;;) {
      await write(generation + 1);
      generation++;
    }
  };
  await assert.rejects(writeUntilFull, (error) => isFull(error) && (error as StoreError).file === file);
  assert.ok(generation > before, role);
  assert.equal(await read(), generation);
  // The failed transaction has ended, and another one can begin.
  await assert.rejects(writeUntilFull, isFull);
  assert.equal(await read(), generation);
  await store.close();

  rmSync(ballast);
  store = open();
  assert.equal(await read(), generation);
  await write(generation + 1);
  assert.equal(await read(), generation + 1);
  await store.close();
}
lock.release();
