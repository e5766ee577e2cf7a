import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { stringify } from 'yaml';
import { Agent, request } from 'undici';
import { type Service, startService } from '../../src/app/service.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { SqlitePublications } from '../../src/store/sqlite/sqlite-publications.ts';
import { storeFiles } from '../../src/store/sqlite/sqlite-store.ts';
import { eventually } from '../e2e/eventually.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { ADMIN_TOKEN, bearer, EVENTS_TOKEN, memoryLog, type MemoryLog } from './test-server.ts';

interface Setup extends MemoryLog {
  readonly images: string;
  readonly stateDir: string;
  /** Starts the service on its state; it is stopped at the end of the test at the latest. */
  readonly start: () => Promise<Running>;
}

interface Running {
  readonly service: Service;
  /** Makes a request over a new connection. */
  readonly ask: (
    path: string,
    options?: { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: string },
  ) => Promise<{ statusCode: number; headers: Record<string, unknown>; text: string }>;
}

/** Prepares a configuration for a folder with one of the sample apps. */
async function setUp(t: TestContext, server: object = {}): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), 'regindexer-app-'));
  const running = new Set<Service>();
  const agent = new Agent({ pipelining: 0 });
  t.after(async () => {
    await agent.close();
    for (const service of running) await service.close();
    await rm(folder, { recursive: true });
  });
  const images = join(folder, 'images');
  await mkdir(images);
  await cp(join(SAMPLE_IMAGES, 'apps/hello'), join(images, 'apps/hello'), { recursive: true });
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    stringify({
      state_dir: 'state',
      indexes: { apps: { registry: 'oci:images', tags: ['*'], extract_icons: true } },
      server: { port: 0, admin_token: ADMIN_TOKEN, events_token: EVENTS_TOKEN, ...server },
    }),
  );
  const memory = memoryLog();
  const start = async (): Promise<Running> => {
    const service = await startService(readConfig(file, {}), memory.logger);
    running.add(service);
    const close = async (): Promise<void> => {
      running.delete(service);
      await service.close();
    };
    const ask: Running['ask'] = async (path, options = {}) => {
      const { statusCode, headers, body } = await request(service.url + path, { dispatcher: agent, ...options });
      return { statusCode, headers, text: await body.text() };
    };
    return {
      service: {
        url: service.url,
        address: service.address,
        indexes: service.indexes,
        started: service.started,
        defaultIndexReady: service.defaultIndexReady,
        reload: (read) => service.reload(read),
        close,
      },
      ask,
    };
  };
  return { ...memory, images, stateDir: join(folder, 'state'), start };
}

/** Returns the path of the first icon that an index names. */
function iconIn(service: Service, index: string): string {
  const [icon = ''] = /"(?:\/)?icons\/[^"]+/.exec(index) ?? [];
  return new URL(icon.slice(1), `${service.url}/index/static`).pathname;
}

function names(index: string): string[] {
  return (JSON.parse(index) as { Results: { Name: string }[] }).Results.map(({ Name }) => Name);
}

async function addClock(images: string): Promise<void> {
  await cp(join(SAMPLE_IMAGES, 'apps/clock'), join(images, 'apps/clock'), { recursive: true });
}

test('an index is built, and served at once after a restart', async (t) => {
  const { start, images, stateDir, log } = await setUp(t);
  const { service, ask } = await start();
  assert.equal((await ask('/healthz')).statusCode, 200);
  await service.started;
  assert.equal((await ask('/readyz')).statusCode, 200);
  const before = await ask('/index/static');
  assert.deepEqual(names(before.text), ['apps/hello']);
  assert.equal((await ask(iconIn(service, before.text))).headers['content-type'], 'image/png');
  assert.equal((await ask('/v2/apps/hello/manifests/latest')).statusCode, 200);
  await service.close();
  await assert.rejects(ask('/healthz'), { code: 'ECONNREFUSED' });
  assert.deepEqual(
    (await readdir(stateDir, { recursive: true })).filter((name) => name.endsWith('.png')),
    [],
    'icons are files only where icons_dir is set',
  );

  await addClock(images);
  const again = await start();
  const first = await again.ask('/index/static');
  assert.deepEqual(
    [first.statusCode, first.headers['etag'], first.headers['last-modified']],
    [200, before.headers['etag'], before.headers['last-modified']],
    'what was on disk',
  );
  await again.service.started;
  assert.deepEqual(names((await again.ask('/index/static')).text), ['apps/clock', 'apps/hello']);
  assert.deepEqual(
    log.filter(({ level }) => level >= 40),
    [],
  );
});

test('the service is not ready while a registry with configured repositories cannot be read', async (t) => {
  const { start, stateDir } = await setUp(t);
  const registry = createServer((incoming, response) =>
    response.writeHead(incoming.url?.includes('/gone/') === true ? 404 : 503).end(),
  ).listen(0, '127.0.0.1');
  t.after(() => registry.close());
  await once(registry, 'listening');
  const url = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
  await writeFile(
    join(stateDir, '..', 'config.yaml'),
    stringify({
      state_dir: 'state',
      indexes: { apps: { registry: url } },
      registries: { [url]: { repositories: ['apps/hello', 'gone/app'] } },
      server: { port: 0 },
    }),
  );
  const { service, ask } = await start();
  await service.started;
  assert.equal((await ask('/readyz')).statusCode, 503);
  assert.equal((await ask('/index/static')).statusCode, 503);
  assert.match(
    (await ask('/status')).text,
    /the index is not built yet: it would be empty, and apps\/hello could not be read/,
  );
});

test('a requested rebuild is in the index when it ends, and the token never in the log', async (t) => {
  const { start, images, log } = await setUp(t);
  const { service, ask } = await start();
  await service.started;
  await addClock(images);
  const rebuilt = await ask('/reindex?wait=true', {
    method: 'POST',
    headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' },
    body: '{"repository":"apps/clock"}',
  });
  assert.equal(rebuilt.statusCode, 200);
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/clock', 'apps/hello']);
  assert.deepEqual(names((await ask('/index/dynamic?repository=apps/clock')).text), ['apps/clock']);
  assert.equal(
    (
      await ask('/reindex', {
        method: 'POST',
        headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' },
        body: '{"repository":"apps/none"}',
      })
    ).statusCode,
    404,
  );
  assert.equal((await ask('/reindex', { method: 'POST', headers: bearer('a-wrong-token') })).statusCode, 401);

  await rm(join(images, 'apps/clock'), { recursive: true });
  assert.equal(
    (
      await ask('/events', {
        method: 'POST',
        headers: bearer(EVENTS_TOKEN),
        body: '{"events":[{"action":"delete","target":{"repository":"apps/clock"}}]}',
      })
    ).statusCode,
    202,
  );
  await ask('/reindex?wait=true', { method: 'POST', headers: bearer(ADMIN_TOKEN) });
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/hello']);
  const status = await ask('/status');
  assert.match(status.text, /"images":1/);
  assert.doesNotMatch(status.text + JSON.stringify(log), new RegExp(`${ADMIN_TOKEN}|${EVENTS_TOKEN}|a-wrong-token`));
});

test('the service survives the death of its threads', async (t) => {
  const { start, images, log } = await setUp(t);
  const threads: Worker[] = [];
  const remember = (worker: Worker): void => void threads.push(worker);
  process.on('worker', remember);
  t.after(() => process.off('worker', remember));
  const { service, ask } = await start();
  await service.started;
  await ask('/index/dynamic?repository=apps/hello');
  assert.equal(threads.length, 1, 'one rebuilds');
  for (const worker of threads) {
    const exit = once(worker, 'exit');
    await worker.terminate();
    await exit;
  }
  assert.deepEqual(
    log
      .filter(({ level }) => level >= 50)
      .map(({ msg }) => msg)
      .toSorted(),
    ['the indexing thread has ended unexpectedly; the next rebuild starts another'],
  );
  await addClock(images);
  assert.equal((await ask('/reindex?wait=true', { method: 'POST', headers: bearer(ADMIN_TOKEN) })).statusCode, 200);
  assert.deepEqual(names((await ask('/index/dynamic?repository=apps/clock')).text), ['apps/clock']);
  assert.equal(threads.length, 2);
});

/** Changes the publications, as a faulty disk might. */
function damage({ stateDir }: Setup, sql: string): void {
  using database = new DatabaseSync(storeFiles(stateDir).publications);
  database.exec(sql);
}

/** Flips bits in each row of a column, without changing its length. */
function flipped(column: string): string {
  return `${column} = CAST(unhex(CASE WHEN substr(hex(${column}), 21, 2) = '00' THEN insert_at('FF') ELSE insert_at('00') END) AS BLOB)`.replaceAll(
    /insert_at\('(..)'\)/g,
    (_, byte: string) => `substr(hex(${column}), 1, 20) || '${byte}' || substr(hex(${column}), 23)`,
  );
}

test('publications of a newer version are set aside at the start and replaced', async (t) => {
  const setup = await setUp(t);
  const first = await setup.start();
  await first.service.started;
  await first.service.close();
  damage(setup, 'PRAGMA user_version = 999');
  await addClock(setup.images);
  const { service, ask } = await setup.start();
  await service.started;
  await eventually(async () =>
    assert.deepEqual(names((await ask('/index/static')).text), ['apps/clock', 'apps/hello']),
  );
  assert.ok(setup.log.some(({ msg }) => /made by a newer version.*set aside/.test(msg)));
});

test('publications in another format are not served, nor are their lists of apps', async (t) => {
  const setup = await setUp(t);
  const first = await setup.start();
  await first.service.started;
  await eventually(async () => assert.equal((await first.ask('/api/apps')).statusCode, 200));
  await first.service.close();
  const { catalog, publications: file } = storeFiles(setup.stateDir);
  const publications = SqlitePublications.open(file, assert.fail);
  const published = (await publications.publication('apps')) ?? assert.fail('nothing is published');
  await publications.publish({ ...published, format: 'another' }, []);
  await publications.close();
  // Nothing is left to rebuild it from.
  await rm(catalog);
  await rename(setup.images, `${setup.images}.gone`);
  const { service, ask } = await setup.start();
  await service.started;
  for (const path of ['/index/static', '/api/apps', '/api/apps/org.example.Hello'])
    assert.equal((await ask(path)).statusCode, 503, path);
});

test('damaged publications are never served, and rebuilt without the registry', async (t) => {
  for (const [what, sql] of [
    ['a publication', "UPDATE publication SET registry = 'https://other.example.org'"],
    ['the head of a chunk', `UPDATE chunk SET ${flipped('head')}`],
    ['the body of a chunk', `UPDATE chunk SET ${flipped('body')}`],
    ['a chunk that is gone', 'DELETE FROM chunk'],
    ['the list of apps', `UPDATE apps SET ${flipped('body')}`],
  ] as const) {
    await t.test(what, async (sub) => {
      const setup = await setUp(sub);
      const first = await setup.start();
      await first.service.started;
      const paths = [
        '/index/static',
        '/index/static?tag=latest&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1',
        '/index/dynamic?repository=apps/hello',
        '/api/apps',
        '/api/apps/org.example.Hello',
      ];
      const right = new Map<string, string>();
      for (const path of paths) right.set(path, (await first.ask(path)).text);
      const icon = iconIn(first.service, right.get('/index/static') ?? '');
      await first.service.close();
      damage(setup, sql);
      await rm(setup.images, { recursive: true });
      const { service, ask } = await setup.start();
      const ended = new AbortController();
      const asking = (async () => {
        for (let round = 0; !ended.signal.aborted; round++) {
          for (const path of paths) {
            const { statusCode, text } = await ask(path);
            assert.ok(statusCode === 503 || text === right.get(path), `${path}: ${statusCode} ${text.slice(0, 200)}`);
          }
        }
      })();
      await service.started;
      await eventually(async () => {
        for (const path of paths) assert.equal((await ask(path)).text, right.get(path), path);
      });
      assert.equal((await ask(icon)).statusCode, 200, 'no icon is lost');
      ended.abort();
      await asking;
      const told = setup.log
        .filter(({ msg, level }) => level >= 40 && !/could not be read|failed|cannot be read: /.test(msg))
        .map(({ msg }) => msg);
      assert.ok(
        what === 'the list of apps' || told.some((msg) => /is damaged|cannot be read, and is rebuilt/.test(msg)),
        JSON.stringify(setup.log.filter(({ level }) => level >= 40)),
      );
      await service.close();

      // And it stays so.
      const again = await setup.start();
      for (const path of paths) assert.equal((await again.ask(path)).text, right.get(path), path);
    });
  }
});

test('parts that are damaged or removed while served are rebuilt when requested', async (t) => {
  for (const [what, sql] of [
    ['the body of a chunk', `UPDATE chunk SET ${flipped('body')}`],
    ['a chunk that is gone', 'DELETE FROM chunk'],
  ] as const) {
    await t.test(what, async (sub) => {
      const setup = await setUp(sub);
      const first = await setup.start();
      await first.service.started;
      const right = await first.ask('/index/static');
      await first.service.close();
      const { service, ask } = await setup.start();
      await service.started;
      const { headers } = await ask('/index/static', { headers: { 'if-none-match': '*' } });
      assert.equal(headers['etag'], right.headers['etag']);
      damage(setup, sql);
      const { statusCode, text } = await ask('/index/dynamic');
      assert.ok(statusCode === 503 || text === right.text);
      await eventually(async () => assert.equal((await ask('/index/dynamic')).text, right.text));
      assert.equal(setup.log.filter(({ msg }) => /cannot be read, and is rebuilt/.test(msg)).length, 1);
      assert.equal((await ask('/readyz')).statusCode, 200);
    });
  }
});

test('an icon that is damaged on disk is read again', async (t) => {
  const setup = await setUp(t);
  const first = await setup.start();
  await first.service.started;
  const icon = iconIn(first.service, (await first.ask('/index/static')).text);
  await first.service.close();
  damage(setup, `UPDATE png SET ${flipped('bytes')}`);
  const { service, ask } = await setup.start();
  await service.started;
  assert.equal((await ask(icon)).statusCode, 404);
  await eventually(async () => assert.equal((await ask(icon)).statusCode, 200));
});

test('a truncated file of publications is rebuilt', async (t) => {
  const setup = await setUp(t);
  const first = await setup.start();
  await first.service.started;
  const before = await first.ask('/index/static');
  await first.service.close();
  damage(setup, 'PRAGMA wal_checkpoint(TRUNCATE)');
  const file = storeFiles(setup.stateDir).publications;
  await truncate(file, Math.floor((await stat(file)).size / 2));
  const { service, ask } = await setup.start();
  await service.started;
  await eventually(async () => assert.equal((await ask('/index/static')).text, before.text));
  assert.ok(setup.log.some(({ msg, level }) => level === 40 && /publications\.sqlite is damaged/.test(msg)));
});

test('the service can be stopped during its start without damage to the state', async (t) => {
  const { start, log } = await setUp(t);
  for (let i = 0; i < 3; i++) {
    const { service } = await start();
    await service.close();
    await service.started;
  }
  const { service, ask } = await start();
  await service.started;
  assert.deepEqual(names((await ask('/index/static')).text), ['apps/hello']);
  assert.deepEqual(
    log.filter(({ level }) => level >= 50),
    [],
  );
});

test('a port in use is an error, and unlocks the state', async (t) => {
  const { start } = await setUp(t);
  const { service } = await start();
  await service.started;
  const other = await setUp(t, { port: Number(new URL(service.url).port) });
  await assert.rejects(other.start(), { code: 'EADDRINUSE' });
  await assert.rejects(other.start(), { code: 'EADDRINUSE' }, 'not that the state is locked');
});
