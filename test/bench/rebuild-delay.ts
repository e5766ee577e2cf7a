/** What those who are served notice of a rebuild. */
import { rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from 'undici';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { startBareServer } from './constant-answer.ts';
import { IMAGES } from './filled-registry.ts';
import type { Case } from './serve-rates.ts';
import { startRebuildEnded, statusOf } from './server-status.ts';
import type { Cell, Table } from './table.ts';

/** Between two rounds of requests, in milliseconds. */
const PAUSE = 5;

/** Asks a server for all cases, one at a time, again and again. */
class Reader {
  readonly #agent: Agent;
  readonly #urlOf: (each: Case) => string;
  #requests = 0;
  #failures = 0;
  #slowest = 0;

  constructor(agent: Agent, urlOf: (each: Case) => string) {
    this.#agent = agent;
    this.#urlOf = urlOf;
  }

  async askUntil(end: AbortSignal, cases: readonly Case[]): Promise<void> {
    while (!end.aborted) {
      for (const each of cases) await this.#ask(each);
      await pause(PAUSE);
    }
  }

  async #ask(each: Case): Promise<void> {
    const url = new URL(this.#urlOf(each));
    const asked = performance.now();
    this.#requests++;
    try {
      const { statusCode, body } = await this.#agent.request({ origin: url.origin, path: url.pathname + url.search, method: 'GET', headers: each.headers });
      const bytes = Buffer.from(await body.arrayBuffer());
      if (statusCode !== each.answer.status || !bytes.equals(each.answer.body)) this.#failures++;
    } catch {
      this.#failures++;
    }
    this.#slowest = Math.max(this.#slowest, performance.now() - asked);
  }

  /** Requests, failed ones, and the slowest in milliseconds. */
  get figures(): readonly number[] {
    return [this.#requests, this.#failures, this.#slowest];
  }
}

/**
 * Starts a server that has its last index and whose catalog is lost, so that it reads everything again while it serves.
 * Beside it a bare server is asked the same: its delays are those of the machine.
 * @param config with `stateDir` as its `state_dir`, in which an index was built
 */
export async function rebuildDelayTable(config: string, stateDir: string, cases: readonly Case[]): Promise<Table> {
  process.stderr.write('a cold rebuild while serving\n');
  for (const suffix of ['', '-wal', '-shm']) await rm(storeFiles(stateDir).catalog + suffix, { force: true });
  await using bare = await startBareServer(cases.map(({ answer }) => answer));
  await using server = await startRegindexer({ config });
  const agent = new Agent();
  const bareReader = new Reader(agent, ({ answer }) => bare.urlOf(answer));
  const reader = new Reader(agent, ({ answer }) => server.url + answer.path);

  const end = new AbortController();
  const reading = Promise.all([bareReader, reader].map((each) => each.askUntil(end.signal, cases)));
  await startRebuildEnded(server.url);
  const { rebuilds, eventLoopDelay } = await statusOf(server.url);
  const { eventLoopDelay: bareDelay } = await statusOf(bare.url);
  end.abort();
  await reading;
  await agent.close();
  if (!rebuilds.some(({ result }) => result?.newImages === IMAGES)) throw new Error(`not all was read again: ${JSON.stringify(rebuilds)}`);

  const row = (name: string, { figures }: Reader, { p99, max }: { p99: number; max: number }, target: string): readonly Cell[] => [name, ...figures, p99, max, target];
  return {
    title: 'Serving while a cold full rebuild runs',
    columns: [
      { name: 'server' },
      { name: 'requests' },
      { name: 'failed' },
      { name: 'slowest ms', digits: 1 },
      { name: 'event-loop delay: p99 ms', digits: 1 },
      { name: 'max ms', digits: 1 },
      { name: 'to reach' },
    ],
    rows: [
      row('bare Fastify beside it', bareReader, bareDelay, ''),
      row('regindexer, rebuilding', reader, eventLoopDelay, 'p99 ≤ 15 ms, 0 failed'),
    ],
  };
}
