/**
 * Writes one generation after another to the store of a folder, and prints the number of each: `write-generations.ts
 * FOLDER [CALLS]`. With `CALLS`, it kills itself after that many transactions.
 */
import { writeSync } from 'node:fs';
import { SqliteStore } from '../../../../src/store/sqlite/sqlite-store.ts';
import { readGeneration, writeGeneration } from '../consistent-content.ts';

const [, , folder = '', calls = 'Infinity'] = process.argv;

const store = SqliteStore.open(folder, (warning) => {
  throw new Error(warning);
});
let left = Number(calls);

/** Each method of the store is one transaction. */
function counted<T extends object>(role: T): T {
  return new Proxy(role, {
    get: (target, name) => {
      const method = Reflect.get(target, name, target) as (...input: unknown[]) => Promise<unknown>;
      return async (...input: unknown[]) => {
        if (left-- === 0) process.kill(process.pid, 'SIGKILL');
        return method.apply(target, input);
      };
    },
  });
}

let { catalog: generation } = await readGeneration(store);
const roles = {
  catalog: counted(store.catalog),
  publications: counted(store.publications),
  blobs: store.blobs,
  settings: store.settings,
  close: () => store.close(),
};
for (;;) {
  // An unpublished generation is published again, as after any crash.
  const { repositories } = await store.catalog.dirty('apps');
  if (repositories.length === 0) generation++;
  await writeGeneration(roles, Math.max(generation, 1));
  writeSync(1, `${generation}\n`);
}
