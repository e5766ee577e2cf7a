/** How `npm run build` puts the modules of src into few files, because a short run is mostly loading. */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'rolldown';
import own from './package.json' with { type: 'json' };

/** Hundreds of small modules: loading them takes as long as all else that a short run loads. The published types need the package as well. */
const INLINED = new Set(['typebox']);
/** Goes with every copy of its code. */
const LICENCE = `/*!\n${readFileSync('node_modules/typebox/license', 'utf8').trim()}\n*/`;

const external = Object.keys(own.dependencies).filter((name) => !INLINED.has(name));
const threads = ['thread', 'build-thread', 'query-thread', 'serve-thread'];

export default defineConfig({
  platform: 'node',
  logLevel: 'warn',
  input: {
    cli: 'src/cli.ts',
    daemon: 'src/daemon.ts',
    index: 'src/index.ts',
    ...Object.fromEntries(threads.map((name) => [name, `src/threads/${name}.ts`])),
  },
  external: (id) => external.some((name) => id === name || id.startsWith(`${name}/`)),
  output: {
    dir: 'dist',
    // All in one folder: a thread's file lies beside that which starts it.
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    postBanner: ({ moduleIds }) => (moduleIds.some((id) => id.includes('/node_modules/typebox/')) ? LICENCE : ''),
  },
});
