/** Three replicas behind a load balancer, while leaders die and the database restarts. */
import assert from 'node:assert/strict';
import { hash, randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Agent, type Dispatcher, request } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { median } from '../bench/median.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { pushRandom, pushRandomVersion } from '../sources/push-random.ts';
import { randomNumbers, randomRepository } from '../sources/random-images.ts';
import type { IndexJson } from '../indexing/test-state.ts';
import { get, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { isReady, sharingOf, startReplicas, type TestReplica, type TestReplicas } from './replicas.ts';

/** More of them by hand: `REPLICA_EVENTS=60`. */
const EVENTS = Number(process.env['REPLICA_EVENTS'] ?? 6);
/** Where to write what the replicas logged, if something is to be found out: `REPLICA_LOGS=/tmp/replica`. */
const LOGS = process.env['REPLICA_LOGS'];
const APPS = { repositories: 12, tags: ['latest', 'stable'], architectures: ['amd64', 'arm64'] };
const QUESTIONS = [
  `/index/static?${flatpakQuery('latest', 'amd64').canonical}`,
  `/index/static?${flatpakQuery('stable', 'arm64').canonical}`,
  '/index/apps.json',
  '/index/dynamic?label:org.flatpak.ref:matches=app/org.example.App0001*',
];
/** For how long a replica is stopped or cut off, in milliseconds: longer than a lease lives. */
const OUTAGE = 8_000;
/** Time within which another replica must lead, in milliseconds. */
const MAX_TAKEOVER = 10_000;

/** What happens to a replica or to the database; returns what undoes it. */
type Event = (replica: TestReplica, replicas: TestReplicas) => Promise<() => Promise<void>>;

const TO_ONE: Readonly<Record<string, Event>> = {
  'SIGKILL to': async ({ service }) => {
    await service.kill();
    return () => service.start();
  },
  'SIGTERM to': async ({ service }) => {
    await service.stop();
    return () => service.start();
  },
  'SIGSTOP to': async ({ service }) => {
    process.kill(service.pid, 'SIGSTOP');
    return async () => {
      await pause(OUTAGE);
      process.kill(service.pid, 'SIGCONT');
    };
  },
  'hanging connections of': async ({ proxy }) => {
    proxy.hang();
    return async () => {
      await pause(OUTAGE);
      proxy.resume();
    };
  },
};

suite('replicas', needs('postgres', 'docker-registry', 'nginx'), () => {
  test(`no client notices ${EVENTS} times that a replica or the database fails, and in the end all show what a fresh scan does`, async (t) => {
    const seed = Number(process.env['REPLICA_SEED'] ?? randomInt(2 ** 31));
    t.diagnostic(`REPLICA_SEED=${seed}`);
    const random = randomNumbers(seed);
    const port = await freePort();
    await using registry = await startDockerRegistry({
      notifications: { url: `http://127.0.0.1:${port}/events`, token: TOKEN },
    });
    await pushRandom(registry.url, APPS);
    const index = { registry: registry.url, extract_icons: true };
    await using replicas = await startReplicas({
      count: 3,
      port,
      config: () => ({ indexes: { apps: index }, rescan_interval: '20s' }),
    });

    t.diagnostic(
      `registry ${registry.url}, nginx ${replicas.url}, replicas ${replicas.all.map(({ url }) => url).join(' ')}`,
    );
    const end = new AbortController();
    const clients = new Clients(replicas.url, random, end.signal);
    let version = APPS.tags.length;
    const running = [
      every(end.signal, 400, async () => {
        const tag = random() < 0.5 ? 'latest' : 'stable';
        await pushRandomVersion(registry.url, Math.floor(random() * APPS.repositories), version++, tag, APPS);
      }),
      every(end.signal, 3_000, () => deleteTag(registry.url, randomRepository(Math.floor(random() * 3)), 'stable')),
      every(end.signal, 5_000, () => clients.reindex()),
      ...[1, 2, 3].map(() => clients.read()),
    ];
    const takeovers: number[] = [];
    const counts = new Map<string, number>();
    try {
      for (let number = 0; number < EVENTS; number++) {
        const leader = await replicas.leader();
        const what = await happen(number, replicas, leader, random, clients, takeovers);
        counts.set(what, (counts.get(what) ?? 0) + 1);
        await Promise.all(replicas.all.map((replica) => eventually(() => isReady(replica))));
        await Promise.all(replicas.all.map((replica) => eventually(() => reachesDatabase(replica))));
        clients.mayGoBack = false;
      }
    } finally {
      end.abort();
      await Promise.allSettled(running);
      if (LOGS !== undefined)
        for (const [number, { service }] of replicas.all.entries())
          await writeFile(`${LOGS}-${number}.log`, service.log);
    }
    await Promise.all(running);

    await eventually(async () => assert.equal(await clients.reindex(), 200));
    await using fresh = await startRegindexer({
      config: { indexes: { apps: index }, server: { port: 0, admin_token: TOKEN } },
    });
    await eventually(() => isReady(fresh));
    const scanned = await answersOf(fresh.url);
    // One that was cut off is not waited for by a rebuild, and catches up by itself.
    await eventually(async () => {
      for (const { url } of replicas.all) assert.deepEqual(await answersOf(url), scanned);
    });
    assert.deepEqual(clients.failures, []);
    t.diagnostic(
      `${[...counts].map(([what, count]) => `${count} × ${what}`).join(', ')}; ${clients.reads} reads (${clients.cut} cut off with a killed process, ${clients.back} led back by a replica without the database), ${version - APPS.tags.length} pushes; another replica led after ${Math.round(median(takeovers))} ms (median), ${Math.round(Math.max(...takeovers))} ms (worst) of ${takeovers.length}`,
    );
  });
});

/** Lets one event happen, and undoes it; returns what it was. */
async function happen(
  number: number,
  replicas: TestReplicas,
  leader: TestReplica,
  random: () => number,
  clients: Clients,
  takeovers: number[],
): Promise<string> {
  if (random() < 0.15) {
    clients.mayGoBack = true;
    await replicas.database.stop();
    await pause(random() * 3_000);
    await replicas.database.start();
    return 'a restart of the database';
  }
  const others = replicas.all.filter((replica) => replica !== leader);
  const hit = random() < 0.6 ? leader : (others[Math.floor(random() * others.length)] ?? leader);
  // Each kind comes, whatever the seed.
  const kinds = Object.entries(TO_ONE);
  const [kind = '', event] = kinds[number % kinds.length] ?? [];
  const started = performance.now();
  clients.cutUntil(Infinity);
  // A replica that cannot ask the database serves what it has, even if another one has something newer.
  clients.mayGoBack = kind.startsWith('hanging');
  const undo = await event?.(hit, replicas);
  clients.cutUntil(performance.now() + 500);
  if (hit === leader) {
    await replicas.leader(leader);
    const took = performance.now() - started;
    takeovers.push(took);
    assert.ok(took < MAX_TAKEOVER, `another replica led only after ${Math.round(took)} ms (${kind} the leader)`);
  }
  await undo?.();
  return `${kind} ${hit === leader ? 'the leader' : 'another'}`;
}

/** Clients of the load balancer. */
class Clients {
  readonly failures: string[] = [];
  reads = 0;
  /** Reads that were cut off with a killed process. */
  cut = 0;
  /** Whether a replica may lack what another one serves. */
  mayGoBack = false;
  /** Times that a client was led back meanwhile. */
  back = 0;
  readonly #url: string;
  readonly #random: () => number;
  readonly #end: AbortSignal;
  #cutUntil = 0;

  constructor(url: string, random: () => number, end: AbortSignal) {
    this.#url = url;
    this.#random = random;
    this.#end = end;
  }

  /** Sets until when a read may be cut off, as a time of `performance.now()`. */
  cutUntil(time: number): void {
    this.#cutUntil = time;
  }

  /** Reads on and on, as one client that keeps what it gets. */
  async read(): Promise<void> {
    const agent = new Agent({ connections: 1 });
    const known = new Map<string, { readonly etag: string; readonly modified: number }>();
    while (!this.#end.aborted) {
      const path = QUESTIONS[Math.floor(this.#random() * QUESTIONS.length)] ?? '';
      this.reads++;
      try {
        await this.#readOne(path, known, agent);
      } catch (error) {
        if (performance.now() < this.#cutUntil && !(error instanceof assert.AssertionError)) this.cut++;
        else this.failures.push(`${path}: ${String(error)}`);
      }
      await pause(5);
    }
    await agent.close();
  }

  /** Asks for a rebuild; returns the status of the answer. */
  async reindex(): Promise<number> {
    const { statusCode, body } = await request(`${this.#url}/reindex?wait=true`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    await body.dump();
    return statusCode;
  }

  async #readOne(
    path: string,
    known: Map<string, { readonly etag: string; readonly modified: number }>,
    agent: Dispatcher,
  ): Promise<void> {
    const before = known.get(path);
    const { statusCode, headers, body } = await request(`${this.#url}${path}`, {
      headers: { 'accept-encoding': 'gzip', ...(before && { 'if-none-match': before.etag }) },
      dispatcher: agent,
    });
    const bytes = Buffer.from(await body.arrayBuffer());
    assert.ok(statusCode === 200 || statusCode === 304, `answered with ${statusCode}: ${bytes.toString()}`);
    if (statusCode === 304) return;
    JSON.parse(gunzipSync(bytes).toString());
    const modified = Date.parse(String(headers['last-modified']));
    if (modified < (before?.modified ?? 0)) {
      assert.ok(this.mayGoBack, `went back in time, from ${before?.modified} to ${modified}`);
      this.back++;
    }
    known.set(path, { etag: String(headers.etag), modified });
  }
}

/** The digests and entity tags that a server answers with, by question. */
async function answersOf(url: string): Promise<readonly object[]> {
  return Promise.all(
    QUESTIONS.map(async (path) => {
      const { etag, body } = await get(`${url}${path}`);
      const { Results } = JSON.parse(body.toString()) as IndexJson;
      const digests = Results.map(({ Name, Images, Lists }) => [
        Name,
        ...[...Images, ...Lists].map(({ Digest: its }) => its),
      ]);
      return { path, etag, digests, hash: hash('sha256', body) };
    }),
  );
}

/** @throws AssertionError unless the replica serves what is in the database */
async function reachesDatabase(replica: TestReplica): Promise<void> {
  const { database, lag } = await sharingOf(replica);
  assert.ok(database.available && lag === 0);
}

async function deleteTag(registry: string, repository: string, tag: string): Promise<void> {
  const found = await request(`${registry}/v2/${repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: { accept: 'application/vnd.oci.image.index.v1+json' },
  });
  await found.body.dump();
  if (found.statusCode !== 200) return;
  const gone = await request(
    `${registry}/v2/${repository}/manifests/${String(found.headers['docker-content-digest'])}`,
    {
      method: 'DELETE',
    },
  );
  await gone.body.dump();
}

async function every(end: AbortSignal, milliseconds: number, run: () => Promise<unknown>): Promise<void> {
  while (!end.aborted) {
    await run();
    await pause(milliseconds, undefined, { signal: end }).catch(() => undefined);
  }
}
