/** The memory of a server whose index changes again and again. */
import { request } from 'undici';
import { pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { APPS, IMAGES } from './filled-registry.ts';
import { memoryOf } from './process-usage.ts';
import type { Cell, Table } from './table.ts';

const CHANGES = 60;
/** The memory is read after each so many. */
const STEP = 10;
/** Of one rebuild, in milliseconds. */
const LIMIT = 60_000;
const PAUSE = 50;

/** Of tags that the random source numbers, those that no other benchmark pushes. */
const FIRST_VERSION = 100;

interface ChangingServer {
  readonly url: string;
  readonly pid: number;
  readonly eventsToken: string;
}

/** Pushes to the registry, and has `server` told of it, as a registry does it. */
export async function rebuildMemoryTable(
  registryUrl: string,
  { url, pid, eventsToken }: ChangingServer,
): Promise<Table> {
  process.stderr.write(`memory after ${CHANGES} changes\n`);
  const rows: Cell[][] = [];
  const record = async (changes: number): Promise<void> => {
    const { now, peak } = await memoryOf(pid);
    rows.push([changes, now / 1e6, peak / 1e6, 'flat']);
  };
  await record(0);
  for (let change = 1; change <= CHANGES; change++) {
    const before = await etagOf(url);
    const repository = change % APPS.repositories;
    await pushRandomVersion(registryUrl, repository, FIRST_VERSION + change, 'latest', APPS);
    await notify(url, eventsToken, randomRepository(repository));
    const deadline = performance.now() + LIMIT;
    while ((await etagOf(url)) === before) {
      if (performance.now() > deadline) throw new Error(`the index has not changed within ${LIMIT / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    if (change % STEP === 0) await record(change);
  }
  return {
    title: `Memory of the server while its index of ${IMAGES.toLocaleString('en')} images changes`,
    columns: [{ name: 'changes' }, { name: 'MB' }, { name: 'peak MB' }, { name: 'to reach' }],
    rows,
  };
}

async function notify(url: string, token: string, repository: string): Promise<void> {
  const events = [
    { action: 'push', target: { repository, tag: 'latest', mediaType: 'application/vnd.oci.image.index.v1+json' } },
  ];
  const { statusCode, body } = await request(`${url}/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  });
  await body.dump();
  if (statusCode !== 202) throw new Error(`a notification was answered with ${statusCode}`);
}

async function etagOf(url: string): Promise<unknown> {
  const { headers, body } = await request(`${url}/index/apps.json`, { method: 'HEAD' });
  await body.dump();
  return headers['etag'];
}
