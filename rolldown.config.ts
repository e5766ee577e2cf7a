/** How `npm run build` puts the modules of src into few files, because a short run is mostly loading. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'rolldown';
import own from './package.json' with { type: 'json' };

/**
 * What every run loads, and consists of many small modules: to load those takes as long as all else. The published
 * types need the packages as well.
 */
const INLINED = new Set(['commander', 'minimatch', 'p-map', 'typebox', 'yaml']);

const external = Object.keys(own.dependencies).filter((name) => !INLINED.has(name));

export default defineConfig({
  platform: 'node',
  logLevel: 'warn',
  input: {
    cli: 'src/cli.ts',
    daemon: 'src/daemon.ts',
    index: 'src/index.ts',
    'start-worker': 'src/app/start-worker.ts',
    'start-delta-worker': 'src/app/start-delta-worker.ts',
  },
  external: (id) => external.some((name) => id === name || id.startsWith(`${name}/`)),
  output: {
    dir: 'dist',
    // All in one folder: a thread's file lies beside that which starts it.
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    postBanner: ({ moduleIds }) => licencesOf(moduleIds),
  },
});

/** The licences of the packages that these modules are from: they go with every copy of the code. */
function licencesOf(moduleIds: readonly string[]): string {
  const folders = new Set(moduleIds.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? []));
  return [...folders]
    .toSorted()
    .map((folder) => `/*!\n${licenceIn(folder)}\n*/`)
    .join('\n');
}

function licenceIn(folder: string): string {
  const name = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  if (name === undefined) throw new Error(`${folder} has no licence`);
  return readFileSync(join(folder, name), 'utf8').trim();
}
