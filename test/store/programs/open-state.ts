/** Takes the lock of a state folder, opens its store, and prints the errors of both as JSON: `open-state.ts FOLDER`. */
import { StateLock } from '../../../src/store/state-lock.ts';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../../src/store/store-error.ts';

const folder = process.argv[2] ?? '';

async function errorOf(open: () => unknown): Promise<{ code: string; message: string } | undefined> {
  try {
    await open();
    return undefined;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { code: error.code, message: error.message };
  }
}

function failOnWarning(warning: string): never {
  throw new Error(warning);
}

console.log(
  JSON.stringify({
    lock: await errorOf(() => StateLock.acquire(folder)),
    store: await errorOf(() => SqliteStore.open(folder, failOnWarning).close()),
  }),
);
