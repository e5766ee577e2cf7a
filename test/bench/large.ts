/** `large`: what a large catalog costs to index, and how soon it is served after a restart. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import type { Benchmark } from './benchmark.ts';
import { buildLargeState, LARGE_INDEXES } from './large-state.ts';

export const large: Benchmark = {
  summary: '50,000 images in 4 indexes: memory to build them, and the first answer after a restart',
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-large-'));
    const { config, built } = await buildLargeState(folder.path);
    const { newImages, indexes } = JSON.parse(built.stdout) as RebuildResult;

    process.stderr.write('serving them\n');
    const started = performance.now();
    await using server = await startRegindexer({ config });
    const { statusCode, body } = await request(`${server.url}/index/static?${flatpakQuery('latest', 'amd64').canonical}`, { headers: { 'accept-encoding': 'gzip' } });
    const first = (performance.now() - started) / 1000;
    await body.dump();
    if (statusCode !== 200) throw new Error(`the first answer is ${statusCode}`);

    return [
      {
        title: 'Large catalog: 50,000 images in 4 indexes',
        columns: [{ name: 'what' }, { name: 'seconds', digits: 2 }, { name: 'CPU s', digits: 2 }, { name: 'peak MB' }, { name: 'to reach' }],
        rows: [
          [`build (${newImages.toLocaleString('en')} new images)`, built.seconds, built.cpu, built.peakMemory / 1e6, '< 1 GiB (1,074 MB)'],
          ['start of the server to its first answer', first, '', '', '≤ 3 s'],
        ],
      },
      {
        title: 'Its indexes',
        columns: [{ name: 'index' }, { name: 'configured as' }, { name: 'images' }, { name: 'MB', digits: 1 }],
        rows: indexes.map(({ index, images, bytes }) => [index, JSON.stringify(LARGE_INDEXES[index as keyof typeof LARGE_INDEXES]), images, bytes / 1e6]),
      },
    ];
  },
};
