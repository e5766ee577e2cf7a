/** What those who are served notice of very many pushes, and how soon each push is shown. */
import { mkdtempDisposable, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { freePort } from '../peers/free-port.ts';
import { startProgram } from './cli.ts';
import { pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import { startBareServer } from './constant-answer.ts';
import { median } from './median.ts';
import { startNotifyingRegistry } from './notifying-registry.ts';
import { usualApps } from './random-state.ts';
import { Asker, DELAY_COLUMNS } from './asker.ts';
import { casesOf, type Case } from './serve-rates.ts';
import { startRebuildEnded, statusOf } from './server-status.ts';
import type { Table } from './table.ts';

const APPS = usualApps(2_500);
const IMAGES = APPS.repositories * APPS.tags.length * APPS.architectures.length;
const PUSHES_A_SECOND = 20;
const SECONDS = 30;
/** Between two questions whether a push is shown, in milliseconds. */
const LOOK = 100;
/** Of one push to be shown, in milliseconds. */
const LIMIT = 60_000;
/** Pushes in one question, the oldest ones. */
const MAX_ASKED = 50;
const TOKEN = 'benchmark';
const TAG = 'latest';
/** Of tags that the random source numbers, those that were not pushed before. */
const FIRST_VERSION = 20_000;

/** Asks a server as clients do, which know what they were told last. */
function startClient(agent: Agent, urlOf: (each: Case) => string): Asker {
  const etags = new Map<Case, string>();
  return new Asker({
    agent,
    urlOf,
    headersOf: (each) => {
      const etag = etags.get(each);
      return etag === undefined ? {} : { 'if-none-match': etag };
    },
    isRight: (each, { statusCode, headers }, body) => {
      if (typeof headers['etag'] === 'string') etags.set(each, headers['etag']);
      return statusCode === 304 || (statusCode === 200 && body.length === Number(headers['content-length']));
    },
  });
}

/**
 * Pushes to a registry of 10,000 images by its API, as fast as many builds at once would. Beside it a bare server is
 * asked the same: its delays are those of the machine.
 */
export async function pushDelayTable(): Promise<Table> {
  const port = await freePort();
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-push-delay-'));
  await using registry = await startNotifyingRegistry(APPS, { url: `http://127.0.0.1:${port}/events`, token: TOKEN });
  const config = {
    state_dir: folder.path,
    indexes: { apps: { registry: registry.url, extract_icons: true } },
    server: { port, events_token: TOKEN },
  };
  const cases = await casesWith(config);
  await using server = await startProgram({ config });
  await startRebuildEnded(server.url);
  await using bare = await startBareServer(cases.map(({ answer }) => answer));
  const agent = new Agent();
  const clients = {
    bare: startClient(agent, ({ answer }) => bare.urlOf(answer)),
    served: startClient(agent, ({ answer }) => server.url + answer.path),
  };

  process.stderr.write(`${PUSHES_A_SECOND} pushes a second for ${SECONDS} s\n`);
  const end = new AbortController();
  const asking = Promise.all(Object.values(clients).map((client) => client.askUntil(end.signal, cases)));
  const wal = largestLog(folder.path, end.signal);
  const watcher = new Watcher(server.url, agent);
  const watching = watcher.watchUntil(end.signal);
  const pushes: Promise<number>[] = [];
  const started = performance.now();
  for (let number = 0; number < PUSHES_A_SECOND * SECONDS; number++) {
    await pause(Math.max(0, started + (number * 1000) / PUSHES_A_SECOND - performance.now()));
    const repository = (number * 7_919) % APPS.repositories;
    pushes.push(
      pushRandomVersion(registry.url, repository, FIRST_VERSION + number, TAG, APPS).then((digest) =>
        watcher.shown(randomRepository(repository), digest),
      ),
    );
  }
  const shown = await Promise.race([Promise.all(pushes), watching.then(() => [])]);
  const pushed = (performance.now() - started) / 1000;
  const [{ eventLoopDelay }, { eventLoopDelay: bareDelay }] = [await statusOf(server.url), await statusOf(bare.url)];
  end.abort();
  await Promise.all([asking, watching]);
  await agent.close();

  return {
    title: `Serving ${IMAGES.toLocaleString('en')} images while ${shown.length} pushes come in, ${PUSHES_A_SECOND} a second (they took ${Math.round(pushed)} s)`,
    columns: [
      ...DELAY_COLUMNS,
      { name: 'a push shown: median ms' },
      { name: 'worst ms' },
      { name: 'largest WAL, MB', digits: 1 },
      { name: 'to reach' },
    ],
    rows: [
      [...clients.bare.row('bare Fastify beside it', bareDelay), '', '', '', ''],
      [
        ...clients.served.row('regindexer', eventLoopDelay),
        median(shown),
        Math.max(...shown),
        (await wal) / 1e6,
        '0 failed, each shown within 2 s, WAL < 64 MB',
      ],
    ],
  };
}

/** From a server of its own, so that the delays of the other begin after the first scan. */
async function casesWith(config: object): Promise<readonly Case[]> {
  process.stderr.write('the first scan\n');
  await using server = await startProgram({ config });
  await startRebuildEnded(server.url);
  const [index, , icon] = await casesOf(server.url, `/index/static?${flatpakQuery(TAG, 'amd64').canonical}`);
  return [index as Case, icon as Case];
}

/** Waits for pushes to be shown, with one question for all of them at a time, so that the asking itself costs little. */
class Watcher {
  readonly #url: string;
  readonly #agent: Agent;
  /** Pushes that are not shown yet, by the digest of the image. */
  readonly #pending = new Map<string, { repository: string; pushed: number; shown: (milliseconds: number) => void }>();

  constructor(url: string, agent: Agent) {
    this.#url = url;
    this.#agent = agent;
  }

  /** Resolves with the milliseconds from now until the index shows this image. */
  shown(repository: string, digest: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#pending.set(digest, { repository, pushed: performance.now(), shown: resolve });
    return promise;
  }

  async watchUntil(end: AbortSignal): Promise<void> {
    for (; !end.aborted; await pause(LOOK)) {
      const asked = [...this.#pending].slice(0, MAX_ASKED);
      if (asked.length === 0) continue;
      const repositories = asked.map(([, { repository }]) => `repository=${encodeURIComponent(repository)}`);
      const { statusCode, body } = await this.#agent.request({
        origin: this.#url,
        path: `/index/static?${repositories.join('&')}`,
        method: 'GET',
      });
      const text = await body.text();
      const now = performance.now();
      for (const [digest, { pushed, shown }] of asked) {
        if (statusCode === 200 && text.includes(digest)) {
          this.#pending.delete(digest);
          shown(now - pushed);
        } else if (now - pushed > LIMIT) throw new Error(`${digest} was not shown within ${LIMIT / 1000} s`);
      }
    }
  }
}

/** The size of the largest write-ahead log of the store until the signal, in bytes. */
async function largestLog(stateDir: string, end: AbortSignal): Promise<number> {
  let largest = 0;
  while (!end.aborted) {
    for (const file of Object.values(storeFiles(stateDir)))
      largest = Math.max(largest, (await stat(`${file}-wal`).catch(() => ({ size: 0 }))).size);
    await pause(LOOK);
  }
  return largest;
}
