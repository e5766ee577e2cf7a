/** What a request costs with one and with two threads that serve. */
import { inTurns, load, TURNS } from './load.ts';
import { median } from './median.ts';
import { cpuSeconds, memoryOf } from './process-usage.ts';
import type { Case } from './serve-rates.ts';
import type { Cell, Table } from './table.ts';

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
    const turns = await inTurns(servers, async ({ url, pid }, seconds) => {
      const before = await cpuSeconds(pid);
      const { requests, requestsPerSecond: rate } = await load({ url: url + path, headers, status, seconds, folder });
      return { rate, cost: ((await cpuSeconds(pid)) - before) / requests };
    });
    const [first = []] = turns.values();
    for (const [server, measured] of turns) {
      const ratio = median(measured.map(({ cost }, turn) => cost / (first[turn]?.cost ?? Number.NaN)));
      const { now } = await memoryOf(server.pid);
      rows.push([name, server.workers, median(measured.map(({ rate }) => rate)), median(measured.map(({ cost }) => cost)) * 1e6, ratio, now / 1e6, server.workers === 1 ? '' : '≤ 1.1 × CPU']);
    }
  }
  return {
    title: `Serving threads (medians of ${TURNS} turns)`,
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
