/** Uses a state folder on a disk of a few MB until it is full, and after that: `fill-disk.ts FOLDER`. Fails if anything is lost. */
import assert from 'node:assert/strict';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { SqliteCatalog } from '../../../src/catalog/sqlite-catalog.ts';
import { StateLock } from '../../../src/catalog/state-lock.ts';
import { readGeneration, writeGeneration } from '../generation.ts';

const folder = process.argv[2] ?? '';
const file = join(folder, 'catalog.sqlite');
const ballast = join(folder, 'ballast');

function open(): SqliteCatalog {
  return SqliteCatalog.open(file, { onWarning: (warning) => assert.fail(warning) });
}

/** Takes as much of the disk, in bytes, or all that is left. */
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
  return error instanceof CatalogError && error.code === 'full' && error.message.startsWith(`${file} could not be written, the disk is full`);
}

fill();
const lock = StateLock.acquire(folder);
assert.throws(open, isFull);
rmSync(ballast);

let catalog = open();
writeGeneration(catalog, 1);
catalog.close();
fill();
assert.throws(open, isFull);
rmSync(ballast);

catalog = open();
fill(1_500_000);
let generation = 1;
function writeUntilFull(): void {
  assert.throws(() => {
    for (;;) {
      writeGeneration(catalog, generation + 1);
      generation++;
    }
  }, isFull);
}

writeUntilFull();
assert.ok(generation > 1);
assert.equal(readGeneration(catalog), generation);
const committed = generation;
assert.throws(() => {
  catalog.transaction(() => {
    writeUntilFull();
    catalog.replaceTags('registry', 'written after all was rolled back', []);
  });
}, /already rolled back/);
generation = committed;
assert.equal(readGeneration(catalog), generation);
catalog.close();

rmSync(ballast);
catalog = open();
assert.equal(readGeneration(catalog), generation);
writeGeneration(catalog, generation + 1);
assert.equal(readGeneration(catalog), generation + 1);
catalog.close();
lock.release();
