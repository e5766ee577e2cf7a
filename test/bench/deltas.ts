/** `deltas`: what deltas between versions of real packages save, and what it takes to make them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { commandResult } from '../peers/run-command.ts';
import type { Benchmark } from './benchmark.ts';
import { PROGRAM } from './cli.ts';
import { debianLayers, type LayerPair } from './debian-layers.ts';
import { measuredRun } from './measured-run.ts';
import { memoryOf } from './process-usage.ts';
import type { Cell } from './table.ts';

/** The program of containers/tar-diff that makes deltas; its own row is there if it is in `PATH`. */
const REFERENCE = 'tar-diff';
/** Time between two looks at its memory, in milliseconds. */
const PAUSE = 10;

/** The packages, and what has to be reached: the first three are shares of what the reference took for the same pairs. */
const PACKAGES = {
  'vlc-plugin-base': '≤ 14.3 %, ≤ 1.75 s',
  'postgresql-15': '≤ 23.6 %, ≤ 5 s, ≤ 104 MB',
  'libreoffice-core': '≤ 10 %, ≤ 39 s, ≤ 675 MB',
  'firefox-esr': '< 90 s, < 1,000 MB',
} as const;

export const deltas: Benchmark = {
  summary: 'deltas between versions of Debian packages of 10 to 300 MB: their size, time and memory',
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-deltas-'));
    const idle = (await measuredRun([...PROGRAM, 'deltas', '--help'])).peakMemory;
    const hasReference = await isThere(REFERENCE);
    const rows: Cell[][] = [];
    for (const [name, target] of Object.entries(PACKAGES)) {
      process.stderr.write(`${name}\n`);
      await using place = await mkdtempDisposable(join(folder.path, 'pair-'));
      const pair = await debianLayers(name, place.path);
      const [layer, archive] = [(await stat(pair.after)).size, pair.archiveBytes];
      const out = join(place.path, 'delta');
      const row = async (
        label: string,
        { seconds, memory }: { readonly seconds: number; readonly memory: number },
        aim: string,
      ): Promise<void> => {
        const { size } = await stat(out);
        rows.push([label, archive / 1e6, layer / 1e6, size / 1e6, (size / layer) * 100, seconds, memory / 1e6, aim]);
      };
      const { seconds, peakMemory } = await measuredRun([...PROGRAM, 'deltas', pair.before, pair.after, out]);
      await row(pair.title, { seconds, memory: peakMemory - idle }, target);
      if (hasReference) await row(`${pair.title}: ${REFERENCE}`, await measureReference(pair, out), '');
    }
    return [
      {
        title: 'Deltas between two versions of a package',
        columns: [
          { name: 'package' },
          { name: 'tar MB', digits: 1 },
          { name: 'gzip layer MB', digits: 2 },
          { name: 'delta MB', digits: 2 },
          { name: '% of the layer', digits: 1 },
          { name: 'seconds', digits: 2 },
          { name: 'peak MB above idle' },
          { name: 'to reach' },
        ],
        rows,
      },
    ];
  },
};

async function isThere(program: string): Promise<boolean> {
  return (await commandResult('which', [program], { env: { PATH: process.env['PATH'] ?? '' } })).code === 0;
}

async function measureReference(
  { before, after }: LayerPair,
  out: string,
): Promise<{ readonly seconds: number; readonly memory: number }> {
  const started = performance.now();
  const child = spawn(REFERENCE, [before, after, out], { stdio: 'inherit' });
  const ended = once(child, 'exit');
  let memory = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const { peak } = await memoryOf(child.pid ?? 0).catch(() => ({ peak: 0 }));
    memory = Math.max(memory, peak || 0);
    await Promise.race([ended, pause(PAUSE)]);
  }
  if (child.exitCode !== 0) throw new Error(`${REFERENCE} ended with ${child.exitCode ?? child.signalCode}`);
  return { seconds: (performance.now() - started) / 1000, memory };
}
