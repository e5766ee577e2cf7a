/** kill -9 in the middle of writing costs nothing that was committed, and leaves no half. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { SqliteCatalog } from '../../src/catalog/sqlite-catalog.ts';
import { readGeneration } from './generation.ts';
import { temporaryFolder } from './temporary-folder.ts';

const KILLS = 10;
/** Longer than a generation takes, so that every moment of one is met, in milliseconds. */
const LONGEST_WAIT = 40;

test(`after each of ${KILLS} kills at random moments the catalog holds whole transactions, and all that were committed`, async (t) => {
  const file = join(temporaryFolder(t), 'catalog.sqlite');
  const program = join(import.meta.dirname, 'programs', 'write-generations.ts');
  let last = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const writer = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(writer, 'close');
    let told = 0;
    const lines = createInterface(writer.stdout).on('line', (line) => (told = Number(line)));
    await once(lines, 'line');
    await setTimeout(Math.random() * LONGEST_WAIT);
    writer.kill('SIGKILL');
    assert.deepEqual(await ended, [null, 'SIGKILL']);

    const catalog = SqliteCatalog.open(file, { onWarning: (warning) => assert.fail(warning) });
    const generation = readGeneration(catalog);
    catalog.close();
    // The last commit may not have been told before the kill.
    assert.ok(generation === told || generation === told + 1, `told ${told}, found ${generation}`);
    assert.ok(generation > last);
    last = generation;
  }
});
