/** kill -9 in the middle of writing loses nothing that was committed, and leaves no partial transaction. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { readGeneration } from './consistent-content.ts';

const PROGRAM = join(import.meta.dirname, 'programs', 'write-generations.ts');
const KILLS = 10;
/** Most milliseconds before a kill: more than a generation takes, so that kills hit every moment of one. */
const LONGEST_WAIT = 60;
/** Number of transactions: more than a generation and its cleanup have. */
const TRANSACTIONS = 10;

async function generationIn(folder: string): Promise<{ readonly catalog: number; readonly published: number }> {
  const store = SqliteStore.open(folder, (warning) => assert.fail(warning));
  const generation = await readGeneration(store);
  await store.close();
  return generation;
}

test(`after each of ${KILLS} kills at random moments the store holds whole transactions, and all that were committed`, async (t) => {
  const folder = temporaryFolder(t);
  let last = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const writer = spawn(process.execPath, [PROGRAM, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(writer, 'close');
    let told = 0;
    const lines = createInterface(writer.stdout).on('line', (line) => (told = Number(line)));
    await once(lines, 'line');
    await setTimeout(Math.random() * LONGEST_WAIT);
    writer.kill('SIGKILL');
    assert.deepEqual(await ended, [null, 'SIGKILL']);

    const { catalog, published } = await generationIn(folder);
    // The last commit may not have been printed before the kill.
    assert.ok(published === told || published === told + 1, `told ${told}, found ${published}`);
    assert.ok(catalog >= last && published >= last);
    last = published;
  }
});

test('a kill between any two transactions loses no change: what is not published yet is marked', async (t) => {
  const folder = temporaryFolder(t);
  const lag = new Set<number>();
  for (let calls = 0; calls < TRANSACTIONS; calls++) {
    const writer = spawn(process.execPath, [PROGRAM, folder, String(calls)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    assert.deepEqual(await once(writer, 'close'), [null, 'SIGKILL']);
    const { catalog, published } = await generationIn(folder);
    lag.add(catalog - published);
  }
  assert.deepEqual(lag, new Set([0, 1]));
});
