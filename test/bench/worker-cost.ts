/** What a request costs with one and with two threads that serve, beside one and two bare servers. */
import { BARE, type Case, REGINDEXER } from './serve-rates.ts';
import { startBareServer } from './constant-answer.ts';
import { inTurns, load } from './load.ts';
import { median } from './median.ts';
import { cpuSeconds, memoryOf } from './process-usage.ts';
import type { Cell, Table } from './table.ts';

/** Of each server: how much a request costs, differs from one start to the next. */
const STARTS = 3;
/** After each start. */
const TURNS = 6;

interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** A server of one name is started with one and with two workers. */
interface MeasuredServer {
  readonly name: string;
  /** Threads or processes that answer. */
  readonly workers: 1 | 2;
  readonly pids: readonly number[];
  readonly urlOf: (answer: Case['answer']) => string;
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

/** What a server did in all turns: with as much load as there can be, and with half of what one thread bears. */
interface Turns {
  readonly full: Turn[];
  readonly half: Turn[];
}

/**
 * Under full load the program that makes it takes a processor as well: on two of them, two workers and it are in each other's way,
 * whatever the workers do. With half of it and equally many requests for all, only the work differs.
 * @param startServer starts regindexer with so many serving threads
 */
export async function workerCostTable(startServer: (workers: number) => Promise<RunningServer>, cases: readonly Case[], folder: string): Promise<Table> {
  /** Of each case by server. */
  const measured = new Map(cases.map((each) => [each, new Map<string, Turns>()]));
  for (let start = 1; start <= STARTS; start++) {
    await using running = new AsyncDisposableStack();
    const servers = await startServers(running, startServer, cases);
    for (const [each, turnsBy] of measured) {
      process.stderr.write(`workers: ${each.name}, start ${start} of ${STARTS}\n`);
      const full = await turnsOf(servers, each, folder);
      const half = await turnsOf(servers, each, folder, median((full.get(keyOf(REGINDEXER, 1)) ?? []).map(({ rate }) => rate)) / 2);
      for (const [key, turns] of full) {
        const { full: before = [], half: halfBefore = [] } = turnsBy.get(key) ?? {};
        turnsBy.set(key, { full: [...before, ...turns], half: [...halfBefore, ...(half.get(key) ?? [])] });
      }
    }
  }
  return {
    title: `Serving threads (medians of ${STARTS * TURNS} turns, with ${STARTS} starts of each server)`,
    columns: [
      { name: 'request' },
      { name: 'server' },
      { name: 'workers' },
      { name: 'requests/s' },
      { name: 'CPU µs a request', digits: 1 },
      { name: '× 1 worker', digits: 2 },
      { name: 'requests/s, half the load' },
      { name: 'CPU µs a request, half', digits: 1 },
      { name: '× 1 worker, half', digits: 2 },
      { name: 'MB' },
      { name: 'to reach' },
    ],
    rows: [...measured].flatMap(([{ name }, turnsBy]) =>
      [BARE, REGINDEXER].flatMap((server) =>
        ([1, 2] as const).map((workers): readonly Cell[] => {
          const { full, half } = turnsBy.get(keyOf(server, workers)) as Turns;
          const one = turnsBy.get(keyOf(server, 1)) as Turns;
          const target = server === REGINDEXER && workers === 2 ? '≤ 1.1 × CPU' : '';
          return [name, server, workers, ...costCells(full, one.full), ...costCells(half, one.half), median(full.map(({ memory }) => memory)) / 1e6, target];
        }),
      ),
    ),
  };
}

async function startServers(running: AsyncDisposableStack, startServer: (workers: number) => Promise<RunningServer>, cases: readonly Case[]): Promise<readonly MeasuredServer[]> {
  const answers = cases.map(({ answer }) => answer);
  const servers: MeasuredServer[] = [];
  for (const workers of [1, 2] as const) {
    const { url, pid } = running.use(await startServer(workers));
    servers.push({ name: REGINDEXER, workers, pids: [pid], urlOf: ({ path }) => url + path });
    const bare = running.use(await startBareServer(answers));
    const others = workers === 1 ? [] : [running.use(await startBareServer(answers, bare))];
    servers.push({ name: BARE, workers, pids: [bare, ...others].map((server) => server.pid), urlOf: bare.urlOf });
  }
  return servers;
}

/** By server. */
async function turnsOf(servers: readonly MeasuredServer[], { headers, answer }: Case, folder: string, rate?: number): Promise<ReadonlyMap<string, readonly Turn[]>> {
  const turns = await inTurns(servers, TURNS, async ({ urlOf, pids }, seconds): Promise<Turn> => {
    const before = await sumOf(pids, cpuSeconds);
    const { requests, requestsPerSecond } = await load({ url: urlOf(answer), headers, status: answer.status, seconds, rate, folder });
    const cost = ((await sumOf(pids, cpuSeconds)) - before) / requests;
    return { rate: requestsPerSecond, cost, memory: await sumOf(pids, async (pid) => (await memoryOf(pid)).now) };
  });
  return new Map([...turns].map(([{ name, workers }, added]) => [keyOf(name, workers), added]));
}

/** Requests a second, microseconds of CPU time a request, and how many times that of one worker in the same turns. */
function costCells(turns: readonly Turn[], one: readonly Turn[]): readonly Cell[] {
  const ratios = turns.map(({ cost }, place) => cost / (one[place]?.cost ?? Number.NaN));
  return [median(turns.map(({ rate }) => rate)), median(turns.map(({ cost }) => cost)) * 1e6, median(ratios)];
}

async function sumOf(pids: readonly number[], figure: (pid: number) => Promise<number>): Promise<number> {
  return (await Promise.all(pids.map(figure))).reduce((sum, value) => sum + value, 0);
}

function keyOf(server: string, workers: number): string {
  return `${server} ${workers}`;
}
