/** Writes one whole generation after another into a catalog, and says the number of each that is in it: `write-generations.ts FILE`. */
import { writeSync } from 'node:fs';
import { SqliteCatalog } from '../../../src/catalog/sqlite-catalog.ts';
import { writeGeneration } from '../generation.ts';

const catalog = SqliteCatalog.open(process.argv[2] ?? '', { onWarning: (warning) => { throw new Error(warning); } });
let generation = 0;
for (const { tag } of catalog.tags('registry', 'repository-0')) generation = Number(tag);
for (;;) {
  generation++;
  writeGeneration(catalog, generation);
  if (generation % 10 === 0) catalog.prune();
  writeSync(1, `${generation}\n`);
}
