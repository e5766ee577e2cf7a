/**
 * `soak`: everything that can happen to a server at once, for a while; in the end its index is what a fresh scan gives.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { startRabbitmq } from '../peers/rabbitmq.ts';
import type { Regindexer } from '../peers/regindexer.ts';
import { startProgram } from './cli.ts';
import { connectStomp } from '../peers/stomp.ts';
import { pushRandom, pushRandomVersion } from '../sources/push-random.ts';
import { randomNumbers, randomRepository } from '../sources/random-images.ts';
import type { Benchmark } from './benchmark.ts';
import { median } from './median.ts';

/** Ten unless the environment says otherwise. */
const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 10);
const APPS = { repositories: 40, tags: ['latest', 'stable'], architectures: ['amd64', 'arm64'] };
const TOPIC = '/topic/org.fedoraproject.dev.bodhi.compose.complete';
const TOKEN = 'soak';
const QUESTIONS = [
  `/index/static?${flatpakQuery('latest', 'amd64').canonical}`,
  `/index/static?${flatpakQuery('stable', 'arm64').canonical}`,
  '/index/dynamic?label:org.flatpak.ref:matches=app/org.example.App0001*',
  '/index/apps.json',
  '/apps/index/static?tag=latest',
];

/** What was done, and what came of it. */
interface Counts {
  pushes: number;
  deletes: number;
  messages: number;
  reindexes: number;
  reads: number;
  failedReads: number;
}

export const soak: Benchmark = {
  summary: `${MINUTES} minutes of pushes, deletes, bus messages, /reindex and readers at once`,
  run: async () => {
    const port = await freePort();
    await using registry = await startDockerRegistry({
      notifications: { url: `http://127.0.0.1:${port}/events`, token: TOKEN },
    });
    await using broker = await startRabbitmq();
    await pushRandom(registry.url, APPS);
    const index = { registry: registry.url, extract_icons: true };
    await using server = await startProgram({
      config: {
        indexes: { apps: index },
        server: { port, admin_token: TOKEN, events_token: TOKEN },
        bus: { url: broker.url },
        rescan_interval: '20s',
        clean_files_after: '10s',
      },
    });
    await reindex(server);

    const counts: Counts = { pushes: 0, deletes: 0, messages: 0, reindexes: 0, reads: 0, failedReads: 0 };
    const memory: number[] = [];
    const end = AbortSignal.timeout(MINUTES * 60_000);
    const random = randomNumbers(1);
    const anyRepository = (): number => Math.floor(random() * APPS.repositories);
    let version = APPS.tags.length;
    await using bus = await connectStomp(broker);
    const agent = new Agent({ connections: 8 });
    process.stderr.write(`soaking for ${MINUTES} minutes\n`);
    await Promise.all([
      every(end, 300, async () => {
        await pushRandomVersion(registry.url, anyRepository(), version++, random() < 0.5 ? 'latest' : 'stable', APPS);
        counts.pushes++;
      }),
      every(end, 2_000, async () => {
        counts.deletes += await deleteTag(registry.url, randomRepository(anyRepository()), 'stable');
      }),
      every(end, 1_000, async () => {
        await bus.publish(TOPIC, JSON.stringify({ msg: { ctype: random() < 0.5 ? 'flatpak' : 'rpm' } }));
        counts.messages++;
      }),
      every(end, 7_000, async () => {
        await reindex(server);
        counts.reindexes++;
      }),
      ...[1, 2].map(() =>
        every(end, 5, async () => {
          counts.reads++;
          if (!(await read(server, QUESTIONS[Math.floor(random() * QUESTIONS.length)] ?? '', agent)))
            counts.failedReads++;
        }),
      ),
      every(end, 1_000, async () => {
        memory.push(await residentMemory(server.pid));
      }),
    ]);
    await agent.close();

    // What is still on its way from the registry is waited for; then both hold what the registry holds.
    await pause(3_000);
    await reindex(server);
    const served = await bytesOf(server);
    await using fresh = await startProgram({
      config: { indexes: { apps: index }, server: { port: 0, admin_token: TOKEN } },
    });
    await reindex(fresh);
    const scanned = await bytesOf(fresh);
    const equal = served.equals(scanned);
    if (!equal) process.stderr.write(`different: ${differences(served, scanned).join(', ')}\n`);

    const [half, last] = [median(window(memory, 0.5)), median(window(memory, 0.9))];
    return [
      {
        title: `Soak of ${MINUTES} minutes: ${APPS.repositories} repositories, 2 tags, 2 architectures`,
        columns: [{ name: 'what' }, { name: 'figure' }, { name: 'to reach' }],
        rows: [
          ['pushes', counts.pushes, ''],
          ['deletes', counts.deletes, ''],
          ['bus messages', counts.messages, ''],
          ['POST /reindex', counts.reindexes, ''],
          ['reads', counts.reads, ''],
          ['reads that failed', counts.failedReads, '0'],
          ['index equals a fresh scan', equal ? 'yes' : 'NO', 'yes'],
          ['memory after half the time, MB', Math.round(half / 1e6), ''],
          ['memory at the end, MB', Math.round(last / 1e6), ''],
          ['growth in the second half, %', (((last - half) / half) * 100).toFixed(1), '< 5'],
        ],
      },
    ];
  },
};

/** Does something again and again, `milliseconds` after its last end, until the signal. */
async function every(end: AbortSignal, milliseconds: number, run: () => Promise<void>): Promise<void> {
  while (!end.aborted) {
    await run();
    await pause(milliseconds, undefined, { signal: end }).catch(() => undefined);
  }
}

/** A rebuild of everything, waited for; one that is refused for coming too soon is passed over. */
async function reindex({ url }: Regindexer): Promise<void> {
  const { statusCode, body } = await request(`${url}/reindex?wait=true`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const text = await body.text();
  if (statusCode !== 200 && statusCode !== 429) throw new Error(`/reindex answered ${statusCode}: ${text}`);
}

async function read({ url }: Regindexer, path: string, dispatcher: Agent): Promise<boolean> {
  const { statusCode, headers, body } = await request(url + path, {
    dispatcher,
    headers: { 'accept-encoding': 'gzip' },
  });
  const bytes = await body.arrayBuffer();
  return statusCode === 200 && Number(headers['content-length']) === bytes.byteLength;
}

async function bytesOf({ url }: Regindexer): Promise<Buffer> {
  const { body } = await request(`${url}/index/apps.json`);
  return Buffer.from(await body.arrayBuffer());
}

/** The repositories that two indexes show differently. */
function differences(one: Buffer, other: Buffer): string[] {
  const [left, right] = [repositoriesOf(one), repositoriesOf(other)];
  return [...new Set([...left.keys(), ...right.keys()])].filter((name) => left.get(name) !== right.get(name));
}

/** Each repository's part of an index, by its name. */
function repositoriesOf(index: Buffer): ReadonlyMap<string, string> {
  const { Results } = JSON.parse(index.toString()) as { Results: { Name: string }[] };
  return new Map(Results.map((repository) => [repository.Name, JSON.stringify(repository)]));
}

/** Deletes what a tag points to; returns how many manifests that were. */
async function deleteTag(registry: string, repository: string, tag: string): Promise<number> {
  const accept = 'application/vnd.oci.image.index.v1+json';
  const head = await request(`${registry}/v2/${repository}/manifests/${tag}`, { method: 'HEAD', headers: { accept } });
  await head.body.dump();
  const digest = head.headers['docker-content-digest'];
  if (head.statusCode !== 200 || typeof digest !== 'string') return 0;
  const deleted = await request(`${registry}/v2/${repository}/manifests/${digest}`, { method: 'DELETE' });
  await deleted.body.dump();
  return deleted.statusCode === 202 ? 1 : 0;
}

/** Bytes. */
async function residentMemory(pid: number): Promise<number> {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(join('/proc', String(pid), 'status'), 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** The tenth of the samples that begins at `from`, a fraction. */
function window(samples: readonly number[], from: number): readonly number[] {
  return samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * (from + 0.1)));
}
