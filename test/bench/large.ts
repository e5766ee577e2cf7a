/** `large`: what a large catalog costs to index and to serve, and how soon it is served after a restart. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import type { RebuildResult } from '../../src/indexing/rebuild.ts';
import { startProgram } from './cli.ts';
import type { Benchmark } from './benchmark.ts';
import { buildLargeState, LARGE_INDEXES, largeSource } from './large-state.ts';
import { queryMemoryTable } from './query-memory.ts';
import { firstAnswer, startRebuildEnded } from './server-status.ts';

export const large: Benchmark = {
  summary: '50,000 images in 4 indexes: what building them takes, the first answer after a restart, and memory',
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-large-'));
    const { config, built } = await buildLargeState(folder.path);
    process.stderr.write('making up their registry alone\n');
    const source = await largeSource();
    const { newImages, indexes } = JSON.parse(built.stdout) as RebuildResult;

    process.stderr.write('serving them\n');
    const started = performance.now();
    await using server = await startProgram({ config });
    await firstAnswer(`${server.url}/index/static?${flatpakQuery('latest', 'amd64').canonical}`);
    const first = (performance.now() - started) / 1000;

    await startRebuildEnded(server.url);
    const memory = await queryMemoryTable(server.url, server.pid);

    return [
      {
        title: 'Large catalog: 50,000 images in 4 indexes',
        columns: [
          { name: 'what' },
          { name: 'seconds', digits: 2 },
          { name: 'CPU s', digits: 2 },
          { name: 'peak MB' },
          { name: 'to reach' },
        ],
        rows: [
          [
            `build (${newImages.toLocaleString('en')} new images)`,
            built.seconds,
            built.cpu,
            built.peakMemory / 1e6,
            '< 600 MB',
          ],
          ['of that, the made-up registry alone', source.seconds, source.cpu, source.peakMemory / 1e6, ''],
          ['start of the server to its first answer', first, '', '', '≤ 1.5 s'],
        ],
      },
      {
        title: 'Its indexes',
        columns: [{ name: 'index' }, { name: 'configured as' }, { name: 'images' }, { name: 'MB', digits: 1 }],
        rows: indexes.map(({ index, images, bytes }) => [
          index,
          JSON.stringify(LARGE_INDEXES[index as keyof typeof LARGE_INDEXES]),
          images,
          bytes / 1e6,
        ]),
      },
      memory,
    ];
  },
};
