/**
 * `latency`: what finding the number of requests at once gives, beside the best that could be set, near and far, and
 * under a limit.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { pushRandom } from '../sources/push-random.ts';
import { asJavaScript } from './as-javascript.ts';
import type { Benchmark } from './benchmark.ts';
import { IMAGES, startFilledRegistry } from './filled-registry.ts';
import { startLimitedRegistry } from './limited-registry.ts';
import { measuredRun } from './measured-run.ts';
import { median } from './median.ts';
import { keepApart, keepAway } from './processors.ts';
import { usualApps } from './random-state.ts';
import type { Cell, Table } from './table.ts';

const ROUNDS = 5;
/** In milliseconds. */
const ROUND_TRIPS = [0, 20, 80];
const FIXED = [8, 16, 32, 64, 128];
/** Requests a second. */
const LIMIT = 20;
const FEW = usualApps(25);
const FEW_IMAGES = FEW.repositories * FEW.tags.length * FEW.architectures.length;

/** The last line of `index-at-once`. */
interface Outcome {
  readonly requests: number;
  readonly newImages: number;
  readonly failures: readonly unknown[];
}

export const latency: Benchmark = {
  summary: `reading a registry of ${IMAGES.toLocaleString('en')} images that is near or far, or allows ${LIMIT} requests a second`,
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-latency-'));
    const limited = await underLimit(folder.path);
    return [await nearAndFar(folder.path), limited];
  },
};

async function nearAndFar(folder: string): Promise<Table> {
  await using registry = await startFilledRegistry();
  const apart = await keepApart(registry.pid);
  const rows: (readonly Cell[])[] = [];
  for (const roundTrip of ROUND_TRIPS) {
    await using far = await startFarRegistry(registry.url, roundTrip);
    /** Seconds by requests at once, `undefined` for those that are found. */
    const seconds = {
      cold: new Map<number | undefined, number[]>(),
      unchanged: new Map<number | undefined, number[]>(),
    };
    for (let round = 0; round < ROUNDS; round++) {
      process.stderr.write(`${roundTrip} ms, round ${round + 1} of ${ROUNDS}\n`);
      // Each comes first once: the machine is not equally fast for long.
      const all = [undefined, ...FIXED];
      for (const fixed of [...all.slice(round % all.length), ...all.slice(0, round % all.length)]) {
        const state = join(folder, `state-${roundTrip}-${round}-${fixed ?? 'found'}`);
        for (const [name, newImages] of [
          ['cold', IMAGES],
          ['unchanged', 0],
        ] as const) {
          const run = await index(far.url, state, fixed);
          if (run.outcome.failures.length > 0 || run.outcome.newImages !== newImages)
            throw new Error(`${name}: ${JSON.stringify(run.outcome)}`);
          seconds[name].set(fixed, [...(seconds[name].get(fixed) ?? []), run.seconds]);
        }
      }
    }
    for (const [name, runs] of Object.entries(seconds)) {
      const medians = FIXED.map((fixed) => median(runs.get(fixed) ?? []));
      const found = median(runs.get(undefined) ?? []);
      rows.push([`${roundTrip} ms: ${name}`, ...medians, found, found / Math.min(...medians), '≤ 1.25']);
    }
  }
  return {
    title: `Seconds to read ${IMAGES.toLocaleString('en')} images by requests at once and round trip (${apart ? 'the registry has processors of its own; ' : ''}medians of ${ROUNDS} rounds)`,
    columns: [
      { name: 'round trip' },
      ...FIXED.map((fixed) => ({ name: `${fixed} at once`, digits: 2 })),
      { name: 'found', digits: 2 },
      { name: '× the best', digits: 2 },
      { name: 'to reach' },
    ],
    rows,
  };
}

async function underLimit(folder: string): Promise<Table> {
  await using registry = await startDockerRegistry();
  await pushRandom(registry.url, FEW);
  const rows: (readonly Cell[])[] = [];
  for (const retryAfter of [undefined, 1]) {
    process.stderr.write(`${LIMIT} requests a second, ${retryAfter === undefined ? 'without' : 'with'} Retry-After\n`);
    await using limited = await startLimitedRegistry(registry.url, LIMIT, retryAfter);
    const { seconds, outcome } = await index(limited.url, join(folder, `limited-${retryAfter}`));
    if (outcome.newImages !== FEW_IMAGES) throw new Error(`not ${FEW_IMAGES} images: ${JSON.stringify(outcome)}`);
    const alone = limited.accepted() / LIMIT;
    rows.push([
      retryAfter === undefined ? 'no' : `${retryAfter} s`,
      limited.accepted(),
      limited.refused(),
      outcome.failures.length,
      alone,
      seconds,
      seconds / alone,
      '≤ 1.2, none failed',
    ]);
  }
  return {
    title: `Reading ${FEW_IMAGES} images of a registry that answers 429 to more than ${LIMIT} requests in any second`,
    columns: [
      { name: 'Retry-After' },
      { name: 'accepted' },
      { name: 'refused' },
      { name: 'failed' },
      { name: 'limit alone, s', digits: 2 },
      { name: 'seconds', digits: 2 },
      { name: '× the limit', digits: 2 },
      { name: 'to reach' },
    ],
    rows,
  };
}

let program: Promise<string> | undefined;

async function index(registry: string, state: string, fixed?: number): Promise<{ seconds: number; outcome: Outcome }> {
  const config = `${state}.yaml`;
  await writeFile(config, `indexes: {apps: {registry: "${registry}", extract_icons: true}}\nstate_dir: ${state}\n`);
  program ??= asJavaScript('index-at-once');
  const { seconds, stdout } = await measuredRun([
    await program,
    config,
    ...(fixed === undefined ? [] : [String(fixed)]),
  ]);
  return { seconds, outcome: JSON.parse(stdout) as Outcome };
}

async function startFarRegistry(
  registry: string,
  roundTrip: number,
): Promise<AsyncDisposable & { readonly url: string }> {
  const child = spawn(process.execPath, [await asJavaScript('far-registry'), registry, String(roundTrip)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = (await once(child.stdout, 'data')) as [Buffer];
  if (child.pid !== undefined) await keepAway(child.pid);
  return {
    url: url.toString().trim(),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, 'exit');
    },
  };
}
