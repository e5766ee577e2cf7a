/** What those who are served notice of a rebuild. */
import { rm } from 'node:fs/promises';
import { Agent } from 'undici';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { startProgram } from './cli.ts';
import { Asker, DELAY_COLUMNS } from './asker.ts';
import { startBareServer } from './constant-answer.ts';
import { IMAGES } from './filled-registry.ts';
import type { Case } from './serve-rates.ts';
import { startRebuildEnded, statusOf } from './server-status.ts';
import type { Table } from './table.ts';

function startReader(agent: Agent, urlOf: (each: Case) => string): Asker {
  return new Asker({
    agent,
    urlOf,
    isRight: ({ answer }, { statusCode }, body) => statusCode === answer.status && body.equals(answer.body),
  });
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
  await using server = await startProgram({ config });
  const agent = new Agent();
  const bareReader = startReader(agent, ({ answer }) => bare.urlOf(answer));
  const reader = startReader(agent, ({ answer }) => server.url + answer.path);

  const end = new AbortController();
  const reading = Promise.all([bareReader, reader].map((each) => each.askUntil(end.signal, cases)));
  await startRebuildEnded(server.url);
  const { rebuilds, eventLoopDelay } = await statusOf(server.url);
  const { eventLoopDelay: bareDelay } = await statusOf(bare.url);
  end.abort();
  await reading;
  await agent.close();
  if (!rebuilds.some(({ result }) => result?.newImages === IMAGES))
    throw new Error(`not all was read again: ${JSON.stringify(rebuilds)}`);

  return {
    title: 'Serving while a cold full rebuild runs',
    columns: [...DELAY_COLUMNS, { name: 'to reach' }],
    rows: [
      [...bareReader.row('bare Fastify beside it', bareDelay), ''],
      [...reader.row('regindexer, rebuilding', eventLoopDelay), 'p99 ≤ 15 ms, 0 failed'],
    ],
  };
}
