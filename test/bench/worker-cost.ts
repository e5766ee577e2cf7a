/** What a request costs with one and with two threads that serve. */
import { inTurns, load } from './load.ts';
import { median } from './median.ts';
import { cpuSeconds, memoryOf } from './process-usage.ts';
import type { Case } from './serve-rates.ts';
import type { Cell, Table } from './table.ts';

const WORKERS = [1, 2];
/** Of each server: how much a request costs, differs from one start to the next. */
const STARTS = 3;
/** After each start. */
const TURNS = 3;

interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** What a server did in one turn. */
interface Turn {
  /** Requests a second. */
  readonly rate: number;
  /** Seconds of CPU time a request. */
  readonly cost: number;
  /** In bytes. */
  readonly memory: number;
}

/** @param startServer starts regindexer with so many serving threads */
export async function workerCostTable(startServer: (workers: number) => Promise<RunningServer>, cases: readonly Case[], folder: string): Promise<Table> {
  /** Of each case by the number of threads. */
  const measured = new Map(cases.map((each) => [each, new Map(WORKERS.map((workers) => [workers, [] as Turn[]]))]));
  for (let start = 1; start <= STARTS; start++) {
    await using servers = new AsyncDisposableStack();
    const started: { workers: number; server: RunningServer }[] = [];
    for (const workers of WORKERS) started.push({ workers, server: servers.use(await startServer(workers)) });
    for (const [{ name, headers, answer: { path, status } }, turnsBy] of measured) {
      process.stderr.write(`workers: ${name}, start ${start} of ${STARTS}\n`);
      const turns = await inTurns(started, TURNS, async ({ server: { url, pid } }, seconds): Promise<Turn> => {
        const before = await cpuSeconds(pid);
        const { requests, requestsPerSecond: rate } = await load({ url: url + path, headers, status, seconds, folder });
        return { rate, cost: ((await cpuSeconds(pid)) - before) / requests, memory: (await memoryOf(pid)).now };
      });
      for (const [{ workers }, added] of turns) turnsBy.get(workers)?.push(...added);
    }
  }
  return {
    title: `Serving threads (medians of ${STARTS * TURNS} turns, with ${STARTS} starts of each server)`,
    columns: [
      { name: 'request' },
      { name: 'workers' },
      { name: 'requests/s' },
      { name: 'CPU µs a request', digits: 1 },
      { name: '× 1 worker', digits: 2 },
      { name: 'MB' },
      { name: 'to reach' },
    ],
    rows: [...measured].flatMap(([{ name }, turnsBy]) => {
      const [one = []] = turnsBy.values();
      return [...turnsBy].map(([workers, turns]): readonly Cell[] => {
        const middle = (value: (turn: Turn, place: number) => number): number => median(turns.map(value));
        const ratio = middle(({ cost }, place) => cost / (one[place]?.cost ?? Number.NaN));
        return [name, workers, middle(({ rate }) => rate), middle(({ cost }) => cost) * 1e6, ratio, middle(({ memory }) => memory) / 1e6, workers === 1 ? '' : '≤ 1.1 × CPU'];
      });
    }),
  };
}
