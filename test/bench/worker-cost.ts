/** What a request costs with one and with two threads that serve. */
import { load } from './load.ts';
import { median } from './median.ts';
import { cpuSeconds, memoryOf } from './process-usage.ts';
import type { Case } from './serve-rates.ts';
import type { Cell, Table } from './table.ts';

/** Many and short: a machine that others use, too, is fast for some seconds and slow for the next. */
const ROUNDS = 15;
const SECONDS = 1;
const WARM_UP_SECONDS = 1;

export interface MeasuredServer {
  readonly workers: number;
  readonly url: string;
  readonly pid: number;
}

/** The first server is what the others are compared with. */
export async function workerCostTable(servers: readonly MeasuredServer[], cases: readonly Case[], folder: string): Promise<Table> {
  const rows: (readonly Cell[])[] = [];
  for (const { name, headers, answer: { path, status } } of cases) {
    process.stderr.write(`workers: ${name}\n`);
    const runs = servers.map((server) => ({ server, rates: [] as number[], costs: [] as number[] }));
    for (const { url } of servers) await load({ url: url + path, headers, status, seconds: WARM_UP_SECONDS, folder });
    for (let round = 0; round < ROUNDS; round++) {
      for (const { server, rates, costs } of runs) {
        const before = await cpuSeconds(server.pid);
        const { requests, requestsPerSecond } = await load({ url: server.url + path, headers, status, seconds: SECONDS, folder });
        rates.push(requestsPerSecond);
        costs.push(((await cpuSeconds(server.pid)) - before) / requests);
      }
    }
    const [first] = runs;
    for (const { server, rates, costs } of runs) {
      const ratio = median(costs.map((cost, round) => cost / (first?.costs[round] ?? Number.NaN)));
      const { now } = await memoryOf(server.pid);
      rows.push([name, server.workers, median(rates), median(costs) * 1e6, ratio, now / 1e6, server.workers === 1 ? '' : '≤ 1.1 × CPU']);
    }
  }
  return {
    title: `Serving threads (medians of ${ROUNDS} turns)`,
    columns: [
      { name: 'request' },
      { name: 'workers' },
      { name: 'requests/s' },
      { name: 'CPU µs a request', digits: 1 },
      { name: '× 1 worker', digits: 2 },
      { name: 'MB' },
      { name: 'to reach' },
    ],
    rows,
  };
}
