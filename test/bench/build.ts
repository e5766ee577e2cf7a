/** `build`: what reading a registry costs, beside the least that it could cost. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { asJavaScript } from './as-javascript.ts';
import type { Benchmark } from './benchmark.ts';
import { PROGRAM } from './cli.ts';
import { APPS, IMAGES, startFilledRegistry } from './filled-registry.ts';
import type { MeasuredRun } from './measured-run.ts';
import { measuredRun } from './measured-run.ts';
import { median } from './median.ts';
import { keepApart } from './processors.ts';
import type { Cell, Table } from './table.ts';

const ROUNDS = 3;
/**
 * Of a registry in which nothing changes, in each round: they are short, and the machine is not equally fast for long.
 */
const RESCANS = 3;
/** The app that gets a new version before each rescan after a push. */
const PUSHED = 7;

/** A run, with the requests that the registry has counted. */
interface Run extends MeasuredRun {
  readonly requests: number;
  /** Requests as the program itself counts them. */
  readonly said: number | undefined;
}

/** What is measured: by its floor and by the program, round after round. */
class Comparison {
  readonly name: string;
  readonly target: string;
  readonly floor: Run[] = [];
  readonly program: Run[] = [];

  constructor(name: string, target: string) {
    this.name = name;
    this.target = target;
  }

  rows(): readonly (readonly Cell[])[] {
    return [
      this.#row(`${this.name}: floor`, this.floor, ''),
      this.#row(`${this.name}: regindexer`, this.program, this.target),
    ];
  }

  /** Ratios are of runs one after the other, so that what the machine does beside weighs the same on both. */
  #row(name: string, runs: readonly Run[], target: string): readonly Cell[] {
    const middle = (value: (run: Run) => number): number => median(runs.map(value));
    const ratio = median(runs.map(({ seconds }, turn) => seconds / (this.floor[turn]?.seconds ?? Number.NaN)));
    const said = runs[0]?.said;
    return [
      name,
      middle(({ requests }) => requests),
      said ?? '',
      middle(({ seconds }) => seconds),
      ratio,
      middle(({ cpu }) => cpu),
      Math.max(...runs.map(({ peakMemory }) => peakMemory)) / 1e6,
      target,
    ];
  }
}

export const build: Benchmark = {
  summary: `reading a registry of ${IMAGES.toLocaleString('en')} images: cold, unchanged, after one push`,
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-build-'));
    await using registry = await startFilledRegistry();
    const apart = await keepApart(registry.pid);
    const config = join(folder.path, 'config.yaml');

    const run = async (args: readonly string[]): Promise<Run> => {
      const before = await registry.requestsCounted();
      const measured = await measuredRun(args);
      return {
        ...measured,
        requests: (await registry.requestsCounted()) - before,
        said: requestsSaid(measured.stderr),
      };
    };
    const floorProgram = await asJavaScript('registry-floor');
    const floor = (...args: readonly string[]): Promise<Run> => run([floorProgram, registry.url, ...args]);
    const index = async (expected: 'changed' | 'unchanged'): Promise<Run> => {
      const indexed = await run([...PROGRAM, '--config', config, 'index']);
      if (!indexed.stdout.includes(`apps: ${IMAGES} images,`) || !indexed.stdout.includes(` ${expected},`))
        throw new Error(`not ${IMAGES} images ${expected}: ${indexed.stdout}`);
      return indexed;
    };

    const cold = new Comparison('cold', '≤ 5,510 requests, ≤ 1.2 × floor, < 250 MB');
    const unchanged = new Comparison('nothing changed', '≤ 1,510 requests, ≤ 1.15 × floor, < 250 MB');
    const pushed = new Comparison('one push', '< 250 MB');
    await floor('read');
    for (let round = 0; round < ROUNDS; round++) {
      process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
      // Another folder in each: file systems are slow to make files where many were just removed.
      await writeFile(
        config,
        `indexes: {apps: {registry: "${registry.url}", extract_icons: true}}\nstate_dir: ${join(folder.path, `state-${round}`)}\n`,
      );
      cold.floor.push(await floor('read'));
      cold.program.push(await index('changed'));
      for (let rescan = 0; rescan < RESCANS; rescan++) {
        unchanged.floor.push(await floor('rescan'));
        unchanged.program.push(await index('unchanged'));
      }
      await pushRandomVersion(registry.url, PUSHED, APPS.tags.length + round, 'latest', APPS);
      pushed.floor.push(await floor('rescan', randomRepository(PUSHED), 'latest'));
      pushed.program.push(await index('changed'));
    }
    return [table([cold, unchanged, pushed], apart)];
  },
};

function table(comparisons: readonly Comparison[], apart: boolean): Table {
  return {
    title: `Reading a registry of ${IMAGES.toLocaleString('en')} images (${apart ? 'which has processors of its own; ' : ''}medians of ${ROUNDS} rounds, with ${RESCANS} rescans of what is unchanged in each)`,
    columns: [
      { name: 'scan' },
      { name: 'requests' },
      { name: 'requests it counts' },
      { name: 'seconds', digits: 2 },
      { name: '× floor', digits: 2 },
      { name: 'CPU s', digits: 2 },
      { name: 'peak MB' },
      { name: 'to reach' },
    ],
    rows: comparisons.flatMap((comparison) => comparison.rows()),
  };
}

/** From the log line that ends the reading of a registry. */
function requestsSaid(log: string): number | undefined {
  const [, requests] = /"requests":(\d+),"newImages"/.exec(log) ?? [];
  return requests === undefined ? undefined : Number(requests);
}
