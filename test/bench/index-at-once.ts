/**
 * One rebuild as `regindexer index` does it, with a number of requests at once that cannot be configured.
 *
 *     node index-at-once.ts CONFIG        as many as are found
 *     node index-at-once.ts CONFIG 16     always so many
 *
 * It writes what came of it as JSON.
 */
import { RecoveringIndexer } from '../../src/app/recovering-indexer.ts';
import { indexingOptions } from '../../src/app/indexing-options.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { EVERYTHING } from '../../src/indexing/rebuild.ts';

const [config = '', fixed] = process.argv.slice(2);
const options = indexingOptions(readConfig(config, {}));
const registries = options.registries.map((registry) =>
  fixed === undefined ? registry : { ...registry, concurrency: Number(fixed), fixedConcurrency: true },
);
const indexer = await RecoveringIndexer.open(
  { ...options, registries },
  { onWarning: (message) => process.stderr.write(`${message}\n`) },
);
for (const { id } of registries) {
  const { requests, newImages, failures } = await indexer.rebuild(id, EVERYTHING);
  process.stdout.write(`${JSON.stringify({ requests, newImages, failures })}\n`);
}
await indexer.close();
