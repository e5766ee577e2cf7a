import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { stringify } from 'yaml';
import { Agent, request } from 'undici';
import { type App, startApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { ADMIN_TOKEN, bearer, EVENTS_TOKEN, memoryLog, type MemoryLog } from './test-server.ts';

interface Setup extends MemoryLog {
  readonly images: string;
  readonly stateDir: string;
  /** Starts the program on its state; it is stopped at the end of the test, if it was not before. */
  readonly start: () => Promise<Running>;
}

interface Running {
  readonly app: App;
  /** Each request over a connection of its own. */
  readonly ask: (path: string, options?: { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: string }) => Promise<{ statusCode: number; headers: Record<string, unknown>; text: string }>;
}

/** A configuration over a folder with one of the sample apps. */
async function setUp(t: TestContext, server: object = {}): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-app-'));
  const running = new Set<App>();
  const agent = new Agent({ pipelining: 0 });
  t.after(async () => {
    await agent.close();
    for (const app of running) await app.close();
    await rm(folder, { recursive: true });
  });
  const images = join(folder, 'images');
  await mkdir(images);
  await cp(join(SAMPLE_IMAGES, 'apps/hello'), join(images, 'apps/hello'), { recursive: true });
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    stringify({ state_dir: 'state', indexes: { apps: { registry: 'oci:images', tags: ['*'], extract_icons: true } }, server: { port: 0, admin_token: ADMIN_TOKEN, events_token: EVENTS_TOKEN, ...server } }),
  );
  const memory = memoryLog();
  const start = async (): Promise<Running> => {
    const app = await startApp(readConfig(file, {}), memory.logger);
    running.add(app);
    const close = async (): Promise<void> => {
      running.delete(app);
      await app.close();
    };
    const ask: Running['ask'] = async (path, options = {}) => {
      const { statusCode, headers, body } = await request(app.url + path, { dispatcher: agent, ...options });
      return { statusCode, headers, text: await body.text() };
    };
    return { app: { url: app.url, indexes: app.indexes, started: app.started, reload: (read) => app.reload(read), close }, ask };
  };
  return { ...memory, images, stateDir: join(folder, 'state'), start };
}

function names(index: string): string[] {
  return (JSON.parse(index) as { Results: { Name: string }[] }).Results.map(({ Name }) => Name);
}

async function addClock(images: string): Promise<void> {
  await cp(join(SAMPLE_IMAGES, 'apps/clock'), join(images, 'apps/clock'), { recursive: true });
}

test('from nothing to an index, and at once after a restart', async (t) => {
  const { start, images, log } = await setUp(t);
  const { app, ask } = await start();
  assert.equal((await ask('/healthz')).statusCode, 200);
  await app.started;
  assert.equal((await ask('/readyz')).statusCode, 200);
  const before = await ask('/index/static');
  assert.deepEqual(names(before.text), ['apps/hello']);
  const [icon] = /"icons\/[^"]+|"\/icons\/[^"]+/.exec(before.text) ?? [];
  assert.equal((await ask(new URL(icon?.slice(1) ?? '', `${app.url}/index/static`).pathname)).headers['content-type'], 'image/png');
  assert.equal((await ask('/v2/apps/hello/manifests/latest')).statusCode, 200);
  await app.close();
  await assert.rejects(ask('/healthz'), { code: 'ECONNREFUSED' });

  await addClock(images);
  const again = await start();
  const first = await again.ask('/index/static');
  assert.deepEqual([first.statusCode, first.headers['etag'], first.headers['last-modified']], [200, before.headers['etag'], before.headers['last-modified']], 'what was on disk');
  await again.app.started;
  assert.deepEqual(names((await again.ask('/index/static')).text), ['apps/clock', 'apps/hello']);
  assert.deepEqual(log.filter(({ level }) => level >= 40), []);
});

test('it is not ready while a registry whose repositories are named cannot be read', async (t) => {
  const { start, stateDir } = await setUp(t);
  const registry = createServer((incoming, response) => response.writeHead(incoming.url?.includes('/gone/') === true ? 404 : 503).end()).listen(0, '127.0.0.1');
  t.after(() => registry.close());
  await once(registry, 'listening');
  const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
  await writeFile(join(stateDir, '..', 'config.yaml'), stringify({ state_dir: 'state', indexes: { apps: { registry: url } }, registries: { [url]: { repositories: ['apps/hello', 'gone/app'] } }, server: { port: 0 } }));
  const { app, ask } = await start();
  await app.started;
  assert.equal((await ask('/readyz')).statusCode, 503);
  assert.equal((await ask('/index/static')).statusCode, 503);
  assert.match((await ask('/status')).text, /it is not made yet: it would be empty, and apps\/hello could not be read/);
});

test('what it is told is in the index when it says so, and never in the log', async (t) => {
  const { start, images, log } = await setUp(t);
  const { app, ask } = await start();
  await app.started;
  await addClock(images);
  const rebuilt = await ask('/reindex?wait=true', { method: 'POST', headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' }, body: '{"repository":"apps/clock"}' });
  assert.equal(rebuilt.statusCode, 200);
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/clock', 'apps/hello']);
  assert.deepEqual(names((await ask('/index/dynamic?repository=apps/clock')).text), ['apps/clock']);
  assert.equal((await ask('/reindex', { method: 'POST', headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' }, body: '{"repository":"apps/none"}' })).statusCode, 404);
  assert.equal((await ask('/reindex', { method: 'POST', headers: bearer('a-wrong-token') })).statusCode, 401);

  await rm(join(images, 'apps/clock'), { recursive: true });
  assert.equal((await ask('/events', { method: 'POST', headers: bearer(EVENTS_TOKEN), body: '{"events":[{"action":"delete","target":{"repository":"apps/clock"}}]}' })).statusCode, 202);
  await ask('/reindex?wait=true', { method: 'POST', headers: bearer(ADMIN_TOKEN) });
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/hello']);
  const status = await ask('/status');
  assert.match(status.text, /"images":1/);
  assert.doesNotMatch(status.text + JSON.stringify(log), new RegExp(`${ADMIN_TOKEN}|${EVENTS_TOKEN}|a-wrong-token`));
});

test('its threads may die', async (t) => {
  const { start, images, log } = await setUp(t);
  const threads: Worker[] = [];
  const remember = (worker: Worker): void => void threads.push(worker);
  process.on('worker', remember);
  t.after(() => process.off('worker', remember));
  const { app, ask } = await start();
  await app.started;
  await ask('/index/dynamic?repository=apps/hello');
  assert.equal(threads.length, 2, 'one builds, one answers questions');
  for (const worker of threads) {
    const exit = once(worker, 'exit');
    await worker.terminate();
    await exit;
  }
  assert.deepEqual(log.filter(({ level }) => level >= 50).map(({ msg }) => msg).toSorted(), ['the build thread ended; the next rebuild starts another', 'the query thread ended; the next query starts another']);
  await addClock(images);
  assert.equal((await ask('/reindex?wait=true', { method: 'POST', headers: bearer(ADMIN_TOKEN) })).statusCode, 200);
  assert.deepEqual(names((await ask('/index/dynamic?repository=apps/clock')).text), ['apps/clock']);
  assert.equal(threads.length, 4);
});

test('a damaged snapshot is made anew', async (t) => {
  const { start, stateDir, log } = await setUp(t);
  const first = await start();
  await first.app.started;
  const before = await first.ask('/index/static');
  await first.app.close();
  await truncate(join(stateDir, 'indexes/apps.snapshot'), 1000);
  const { app, ask } = await start();
  await app.started;
  const after = await ask('/index/static');
  assert.deepEqual([after.statusCode, after.text], [200, before.text]);
  assert.equal(log.filter(({ msg, level }) => level === 40 && /cannot be served; the next rebuild makes it anew/.test(msg)).length, 1);
});

test('it can be stopped while it starts, and the state is whole', async (t) => {
  const { start, log } = await setUp(t);
  for (let i = 0; i < 3; i++) {
    const { app } = await start();
    await app.close();
    await app.started;
  }
  const { app, ask } = await start();
  await app.started;
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/hello']);
  assert.deepEqual(log.filter(({ level }) => level >= 50), []);
});

test('a body that a disk has changed is not served at the start', { todo: 'snapshots are served before they are verified; they go' }, async (t) => {
  const { start, stateDir } = await setUp(t);
  const first = await start();
  await first.app.started;
  const right = await first.ask('/index/static');
  await first.app.close();
  const file = join(stateDir, 'indexes/apps.snapshot');
  const bytes = await readFile(file);
  const place = bytes.indexOf(right.text);
  assert.ok(place >= 0);
  bytes.write('?', place + right.text.length / 2);
  await writeFile(file, bytes);
  const { app, ask } = await start();
  for (let time = 0; time < 10; time++) {
    const { statusCode, text } = await ask('/index/static');
    assert.ok(statusCode === 503 || text === right.text, `${statusCode}: ${text.slice(0, 100)}`);
  }
  await app.started;
  assert.equal((await ask('/index/static')).text, right.text);
});

test('a port that is taken is an error, and lets the state go', async (t) => {
  const { start } = await setUp(t);
  const { app } = await start();
  await app.started;
  const other = await setUp(t, { port: Number(new URL(app.url).port) });
  await assert.rejects(other.start(), { code: 'EADDRINUSE' });
  await assert.rejects(other.start(), { code: 'EADDRINUSE' }, 'not that the state is locked');
});
