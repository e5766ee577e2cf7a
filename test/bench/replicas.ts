/** `replicas`: what several replicas over PostgreSQL cost, and how soon all of them show a push. */
import type { Benchmark } from './benchmark.ts';
import { usualApps } from './random-state.ts';
import { measurePushes, timesTable, trafficTable } from './replica-pushes.ts';
import { measureRandom } from './replica-random.ts';
import { requestsTable } from './replica-requests.ts';
import type { Table } from './table.ts';

/** Made-up images: about a minute for 20,000 on two cores. */
const IMAGES = Number(process.env['BENCH_IMAGES'] ?? 200_000);

const TARGETS: ReadonlyMap<string, string> = new Map([['10,000 images', '≤ 400 ms']]);

/** Parts by name. */
const PARTS: Readonly<Record<string, () => AsyncIterable<Table>>> = {
  '2000': () => pushes(2_000),
  '10000': () => pushes(10_000),
  '50000': () => pushes(50_000),
  requests: async function* () {
    yield await requestsTable();
  },
  random: async function* () {
    const { costs, pushes: measured } = await measureRandom(IMAGES);
    yield costs;
    yield timesTable([measured], TARGETS);
    yield trafficTable([measured]);
  },
};

async function* pushes(images: number): AsyncGenerator<Table> {
  const measured = await measurePushes(`${images.toLocaleString('en')} images`, usualApps(images / 4));
  yield timesTable([measured], TARGETS);
  yield trafficTable([measured]);
}

/** All unless the environment names some: `BENCH_REPLICAS=10000,requests`. */
const CHOSEN = (process.env['BENCH_REPLICAS'] ?? Object.keys(PARTS).join(',')).split(',');

export const replicas: Benchmark = {
  summary: `several replicas over PostgreSQL: ${CHOSEN.join(', ')} (BENCH_REPLICAS chooses, BENCH_IMAGES is for random)`,
  run: async function* () {
    for (const name of CHOSEN) {
      const part = Object.hasOwn(PARTS, name) ? PARTS[name] : undefined;
      if (part === undefined)
        throw new Error(`BENCH_REPLICAS is ${CHOSEN.join()}; there is ${Object.keys(PARTS).join(', ')}`);
      yield* part();
    }
  },
};
