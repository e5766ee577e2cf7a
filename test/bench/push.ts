/** `push`: how soon a push is in the index, and what it costs, whatever the size of the catalog. */
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Client, Pool, request } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { freePort } from '../peers/free-port.ts';
import { startProgram } from './cli.ts';
import { pushRandomVersion } from '../sources/push-random.ts';
import { randomRepository } from '../sources/random-images.ts';
import type { Benchmark } from './benchmark.ts';
import type { StoredApps } from './fill-storage.ts';
import { median } from './median.ts';
import { cpuSeconds } from './process-usage.ts';
import { startNotifyingRegistry } from './notifying-registry.ts';
import { usualApps } from './random-state.ts';
import { startRebuildEnded } from './server-status.ts';
import type { Cell, Table } from './table.ts';

const PUSHES = 20;
/** Between two questions, in milliseconds. */
const PAUSE = 5;
/** Of one push to be shown, in milliseconds. */
const LIMIT = 300_000;
/**
 * A server that works for less than `IDLE_CPU` seconds in so many milliseconds has done all that a push asks of it, its
 * second look included.
 */
const IDLE = 800;
const IDLE_CPU = 0.02;
/** From a notification to the first request, in milliseconds. */
const NOTIFICATION = 100;
/** Of tags that the random source numbers, those that were not pushed before. */
const FIRST_VERSION = 10_000;

const TOKEN = 'benchmark';
const TAG = 'latest';
const INDEXES = { apps: { extract_icons: true }, latest: { extract_icons: true, tags: [TAG] } };

/** What a registry holds before the pushes that are measured. */
interface Holding {
  readonly name: string;
  readonly apps: StoredApps;
  readonly target: string;
}

const HOLDINGS: Readonly<Record<string, Holding>> = {
  '2000': { name: '2,000 images', apps: usualApps(500), target: '' },
  '10000': { name: '10,000 images', apps: usualApps(2_500), target: '≤ 250 ms, ≤ 0.15 CPU s' },
  '50000': { name: '50,000 images', apps: usualApps(12_500), target: '≤ 300 ms, ≤ 1.5 × that of 2,000' },
  tags: {
    name: 'a repository of 2,000 tags',
    apps: { repositories: 1, tags: tags(2_000), architectures: ['amd64'] },
    target: '',
  },
  wide: {
    name: '1,000 repositories of 500 tags',
    apps: { repositories: 1_000, tags: tags(500), versions: 5, architectures: ['amd64'] },
    target: '',
  },
};

function tags(count: number): readonly string[] {
  return [TAG, ...Array.from({ length: count - 1 }, (_, number) => `v${number + 1}`)];
}

/** All unless the environment names some: `BENCH_PUSH=2000,tags`. */
const CHOSEN = (process.env['BENCH_PUSH'] ?? Object.keys(HOLDINGS).join(',')).split(',');

export const push: Benchmark = {
  summary: `from a push to the index, and what it costs: ${CHOSEN.join(', ')} (BENCH_PUSH chooses)`,
  run: async () => {
    const rows: (readonly Cell[])[] = [];
    for (const name of CHOSEN) {
      const holding = Object.hasOwn(HOLDINGS, name) ? HOLDINGS[name] : undefined;
      if (holding === undefined)
        throw new Error(`BENCH_PUSH is ${CHOSEN.join()}; there is ${Object.keys(HOLDINGS).join(', ')}`);
      rows.push(...(await measure(holding)));
    }
    return [table(rows)];
  },
};

function table(rows: Table['rows']): Table {
  return {
    title: `A push to a registry that notifies, ${Object.keys(INDEXES).length} indexes (${PUSHES} pushes each; from the end of the push until both indexes show it)`,
    columns: [
      { name: 'the registry holds' },
      { name: 'median ms' },
      { name: 'worst ms' },
      { name: 'median ms, whole answer' },
      { name: 'CPU s a push', digits: 3 },
      { name: 'requests a push', digits: 1 },
      { name: 'to reach' },
    ],
    rows,
  };
}

async function measure({ name, apps, target }: Holding): Promise<readonly (readonly Cell[])[]> {
  const port = await freePort();
  await using registry = await startNotifyingRegistry(apps, { url: `http://127.0.0.1:${port}/events`, token: TOKEN });
  await using server = await startProgram({
    config: {
      indexes: Object.fromEntries(
        Object.entries(INDEXES).map(([index, options]) => [index, { registry: registry.url, ...options }]),
      ),
      server: { port, events_token: TOKEN },
    },
  });
  process.stderr.write(`${name}: the first scan\n`);
  await startRebuildEnded(server.url);
  await idle(server.pid);

  process.stderr.write(`${name}: ${PUSHES} pushes\n`);
  const watch = await Watch.open(server.url);
  const floor: number[] = [];
  const shown: Shown[] = [];
  const [cpuBefore, requestsBefore, started] = [
    await cpuSeconds(server.pid),
    await requestsMade(server.url),
    performance.now(),
  ];
  let polls = 0;
  for (let number = 0; number < PUSHES; number++) {
    const repository = (number * 7_919) % apps.repositories;
    const digest = await pushRandomVersion(registry.url, repository, FIRST_VERSION + number, TAG, apps);
    const one = await watch.until(digest);
    polls += one.polls;
    shown.push(one);
    await idle(server.pid);
    floor.push(await floorOf(registry.url, randomRepository(repository)));
  }
  const requests = (await requestsMade(server.url)) - requestsBefore;
  const seconds = (performance.now() - started) / 1000;
  const cpu = (await cpuSeconds(server.pid)) - cpuBefore;

  process.stderr.write(`${name}: the same polling without pushes\n`);
  const polling = await cpuOfPolling(watch, server.pid, Math.ceil(polls / PUSHES), seconds);
  await watch.close();
  return [
    [`${name}: floor`, NOTIFICATION + median(floor), NOTIFICATION + Math.max(...floor), '', '', '', ''],
    [
      name,
      median(shown.map(({ head }) => head)),
      Math.max(...shown.map(({ head }) => head)),
      median(shown.map(({ whole }) => whole)),
      (cpu - polling) / PUSHES,
      requests / PUSHES,
      target,
    ],
  ];
}

/**
 * Milliseconds from the end of a push until the head of the answer that shows it, and until all of it was there; of the
 * index that was last.
 */
interface Shown {
  readonly head: number;
  readonly whole: number;
  /** Questions until then, of each index about. */
  readonly polls: number;
}

/** Asks for what Flatpak clients are shown of each index, again and again. */
class Watch {
  readonly #clients: readonly { readonly client: Client; readonly path: string; etag: string }[];

  private constructor(url: string) {
    this.#clients = Object.keys(INDEXES).map((index) => ({
      client: new Client(url),
      path: `/${index}/index/static?${flatpakQuery(TAG, 'amd64').canonical}`,
      etag: '',
    }));
  }

  static async open(url: string): Promise<Watch> {
    const watch = new Watch(url);
    await watch.whole();
    return watch;
  }

  /**
   * Call it at the end of a push.
   * @param digest that was pushed
   */
  async until(digest: string): Promise<Shown> {
    const pushed = performance.now();
    let polls = 0;
    const answers = await Promise.all(
      this.#clients.map(async (each) => {
        for (;;) {
          const answer = await this.#ask(each, each.etag);
          polls++;
          if (answer !== undefined) return answer;
          if (performance.now() - pushed > LIMIT) throw new Error(`${digest} was not shown within ${LIMIT / 1000} s`);
          await pause(PAUSE);
        }
      }),
    );
    // Looked at when all are there: what that takes would be taken from the server.
    for (const { body } of answers)
      if (!gunzipSync(body).includes(digest))
        throw new Error(`the answer that came after the push of ${digest} does not show it`);
    return {
      head: Math.max(...answers.map(({ head }) => head)) - pushed,
      whole: Math.max(...answers.map(({ whole }) => whole)) - pushed,
      polls: Math.ceil(polls / answers.length),
    };
  }

  /** As many questions as {@link until} asks while nothing changes. */
  async unchanged(polls: number): Promise<void> {
    await Promise.all(
      this.#clients.map(async (each) => {
        for (let poll = 1; poll < polls; poll++) {
          if ((await this.#ask(each, each.etag)) !== undefined)
            throw new Error('the index changed although nothing was pushed');
          await pause(PAUSE);
        }
      }),
    );
    await this.whole();
  }

  /** Asks for the whole answers. */
  async whole(): Promise<void> {
    for (const each of this.#clients) await this.#ask(each, undefined);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map(({ client }) => client.close()));
  }

  /** When the answer's head and its end came; `undefined` if it is still that of `etag`. */
  async #ask(
    each: { readonly client: Client; readonly path: string; etag: string },
    etag: string | undefined,
  ): Promise<{ head: number; whole: number; body: Buffer } | undefined> {
    const { statusCode, headers, body } = await each.client.request({
      method: 'GET',
      path: each.path,
      headers: { 'accept-encoding': 'gzip', ...(etag !== undefined && { 'if-none-match': etag }) },
    });
    const head = performance.now();
    const bytes = Buffer.from(await body.arrayBuffer());
    const whole = performance.now();
    if (statusCode === 304) return undefined;
    if (statusCode !== 200) throw new Error(`${each.path} was answered with ${statusCode}: ${bytes.toString()}`);
    each.etag = String(headers['etag']);
    return { head, whole, body: bytes };
  }
}

/** What it costs the server to be asked the same for as long while nothing is pushed. */
async function cpuOfPolling(watch: Watch, pid: number, polls: number, seconds: number): Promise<number> {
  const [before, end] = [await cpuSeconds(pid), performance.now() + seconds * 1000];
  for (let number = 0; number < PUSHES; number++) await watch.unchanged(polls);
  await pause(Math.max(0, end - performance.now()));
  return (await cpuSeconds(pid)) - before;
}

/** Resolves when the process has nothing to do. */
async function idle(pid: number): Promise<void> {
  for (let before = await cpuSeconds(pid); ;) {
    await pause(IDLE);
    const now = await cpuSeconds(pid);
    if (now - before < IDLE_CPU) return;
    before = now;
  }
}

/** Requests to registries that the server has counted. */
async function requestsMade(url: string): Promise<number> {
  const { body } = await request(`${url}/metrics`);
  let requests = 0;
  for (const [, value] of (await body.text()).matchAll(/^regindexer_registry_requests_total\{.*\} (\d+)$/gm))
    requests += Number(value);
  return requests;
}

/**
 * How long the requests take without which a push cannot be known: where the tag leads, and all that is new.
 * Milliseconds.
 */
async function floorOf(url: string, repository: string): Promise<number> {
  await using pool = Object.assign(new Pool(url), { [Symbol.asyncDispose]: () => pool.close() });
  const ask = async (path: string, method: 'GET' | 'HEAD' = 'GET'): Promise<unknown> => {
    const { statusCode, body } = await pool.request({
      method,
      path: `/v2/${repository}/${path}`,
      headers: { accept: MANIFEST_ACCEPT },
      reset: false,
    });
    if (statusCode !== 200) throw new Error(`${method} ${path}: ${statusCode}`);
    return method === 'HEAD' ? body.dump() : body.json();
  };
  // A connection is there before, as the server's is.
  await ask(`manifests/${TAG}`, 'HEAD');
  const started = performance.now();
  await ask(`manifests/${TAG}`, 'HEAD');
  const { manifests } = (await ask(`manifests/${TAG}`)) as { manifests: { digest: string }[] };
  await Promise.all(
    manifests.map(async ({ digest }) => {
      const { config } = (await ask(`manifests/${digest}`)) as { config: { digest: string } };
      await ask(`blobs/${config.digest}`);
    }),
  );
  return performance.now() - started;
}
