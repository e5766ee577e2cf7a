/** Takes the lock of a state folder and opens the catalog in it, and prints the errors of both as JSON: `open-state.ts FOLDER`. */
import { join } from 'node:path';
import { CatalogError } from '../../../src/catalog/catalog-error.ts';
import { SqliteCatalog } from '../../../src/catalog/sqlite-catalog.ts';
import { StateLock } from '../../../src/catalog/state-lock.ts';

const folder = process.argv[2] ?? '';

function errorOf(open: () => unknown): { code: string; message: string } | undefined {
  try {
    open();
    return undefined;
  } catch (error) {
    if (!(error instanceof CatalogError)) throw error;
    return { code: error.code, message: error.message };
  }
}

console.log(
  JSON.stringify({
    lock: errorOf(() => StateLock.acquire(folder)),
    catalog: errorOf(() => SqliteCatalog.open(join(folder, 'catalog.sqlite'), { onWarning: (warning) => { throw new Error(warning); } })),
  }),
);
