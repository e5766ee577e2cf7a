import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { Agent, request } from 'undici';
import { Snapshot } from '../../src/indexing/snapshot/snapshot.ts';
import { Answers } from '../../src/server/answers.ts';
import { ServingThreads } from '../../src/threads/serving-threads.ts';
import { Querier } from '../../src/threads/querier.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { freePort } from '../peers/free-port.ts';
import { ADMIN_TOKEN, bearer, EVENTS_TOKEN, memoryLog, TestServer } from '../server/test-server.ts';
import { LayoutRegistrySource } from '../../src/registry/layout/layout-registry-source.ts';

/** Only the threads listen: the first one is asked by them alone. */
async function setUp(t: TestContext, { count = 1, memoryLimit }: { count?: number; memoryLimit?: number } = {}) {
  const state = await TestState.open(t);
  for (const name of ['clock', 'hello']) state.registry.pushImage(`apps/${name}`, 'latest', named(name, { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable`, text: 'words '.repeat(500) }));
  const server = await TestServer.create(t, state, { pullSources: [new LayoutRegistrySource(SAMPLE_IMAGES)] });
  const { log, logger, logged } = memoryLog();
  const querier = new Querier((error) => logger.error({ err: error }, 'the query thread ended'));
  const threads = new ServingThreads({ count, logger });
  /** Shared, as the first thread does it, so that what one has asked for is there for all. */
  const { answer } = new Answers({ answer: querier.answer });
  let snapshots: readonly Snapshot[] = [];
  const publish = async (): Promise<void> => {
    await server.rebuild();
    const snapshot = await Snapshot.open(state.snapshotFile(), memoryLimit);
    t.after(() => snapshot.close());
    snapshots = [snapshot];
    await Promise.all([querier.use(snapshot), threads.use(snapshot)]);
  };
  const port = await freePort();
  const listen = () =>
    threads.listen({ host: '127.0.0.1', port }, {
      app: server.app, answer, snapshots, rebuilds: server.queue,
      serve: { level: 'trace', trustProxy: false, defaultIndex: 'apps', indexes: [{ name: 'apps', fileName: 'apps-file', maxAge: 60 }], iconsDir: state.path('icons'), iconsUri: 'icons/', pulls: { layouts: [{ folder: SAMPLE_IMAGES, repositories: [] }] } },
    });
  const dispatcher = new Agent({ pipelining: 0 });
  t.after(async () => {
    await dispatcher.close();
    await threads.close(1000);
    await querier.close();
  });
  /** Over a connection of its own, so that any of the threads may answer. */
  const ask = async (path: string, options: { method?: 'GET' | 'HEAD' | 'POST' | 'PUT'; headers?: Record<string, string>; body?: string } = {}) => {
    const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}${path}`, { dispatcher, ...options });
    return { statusCode, headers, body: Buffer.from(await body.arrayBuffer()) };
  };
  return { state, server, threads, log, logged, publish, listen, ask, url: `http://127.0.0.1:${port}` };
}

test('a thread answers as the first one does', async (t) => {
  for (const memoryLimit of [undefined, 0]) {
    const { state, server, publish, listen, ask } = await setUp(t, memoryLimit === undefined ? {} : { memoryLimit });
    await publish();
    await listen();
    const digest = String((await server.app.inject('/v2/apps/hello/manifests/latest')).headers['docker-content-digest']);
    const same = async (): Promise<void> => {
      for (const path of [
        '/index/static?label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest', '/index/apps-file.json', '/apps/index/static', '/index/dynamic?repository=apps/hello', '/index/static?repository=apps/hello',
        '/index/static?os=linux', '/index/static?repository=apps/none', '/index/static?nonsense=1', '/index/none.json', '/healthz', '/readyz', '/v2/apps/hello/tags/list', `/v2/apps/hello/blobs/${digest}`,
        `/v2/apps/hello/manifests/${digest}`, '/none', '/%zz', '/reindex', '/reindex/none', '/events', '/reindex/a/b',
      ]) {
        for (const method of ['GET', 'HEAD'] as const) {
          const headers = { 'accept-encoding': 'gzip' };
          const [theirs, ours] = [await ask(path, { method, headers }), await server.app.inject({ method, url: path, headers, remoteAddress: '127.0.9.9' })];
          assert.equal(theirs.statusCode, ours.statusCode, `${method} ${path}`);
          assert.ok(theirs.body.equals(ours.rawPayload), `${method} ${path}`);
          for (const name of ['etag', 'content-type', 'content-length', 'content-encoding', 'cache-control', 'last-modified', 'vary', 'allow', 'www-authenticate']) assert.equal(theirs.headers[name], ours.headers[name], `${method} ${path} ${name}`);
        }
      }
    };
    await same();
    state.registry.pushImage('apps/new', 'latest', named('new'));
    await publish();
    assert.match((await ask('/index/static')).body.toString(), /"name":"new"/);
    await same();
  }
});

test('what only the first thread knows is asked there', async (t) => {
  const { state, server, publish, listen, ask } = await setUp(t);
  await publish();
  await listen();
  state.registry.pushImage('apps/new', 'latest', named('new'));
  const rebuilt = await ask('/reindex?wait=true', { method: 'POST', headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' }, body: '{"index":"apps"}' });
  assert.equal(rebuilt.statusCode, 200);
  const { id, reasons } = JSON.parse(rebuilt.body.toString()) as { id: string; reasons: string[] };
  assert.deepEqual(reasons, ['POST /reindex from 127.0.0.1'], 'the address is that of the client');
  assert.equal(rebuilt.headers['location'], `/reindex/${id}`);
  assert.equal(server.queue.get(id)?.state, 'done');
  assert.equal((await ask(`/reindex/${id}`, { headers: bearer(ADMIN_TOKEN) })).statusCode, 200);

  assert.equal((await ask('/events', { method: 'POST', headers: { ...bearer(EVENTS_TOKEN), 'content-type': ';;;' }, body: '{"events":["nonsense"]}' })).statusCode, 202);
  const status = JSON.parse((await ask('/status')).body.toString()) as { version: string; rebuilds: { id: string }[]; events: { malformed: number } };
  assert.deepEqual([status.version, status.events.malformed, status.rebuilds.some((rebuild) => rebuild.id === id)], ['1.2.3', 1, true]);

  const wrong = await ask('/reindex', { method: 'POST', headers: bearer('wrong') });
  assert.deepEqual([wrong.statusCode, wrong.headers['www-authenticate']], [401, 'Bearer realm="regindexer"']);
  const large = 'x'.repeat(1024 * 1024 + 1);
  assert.equal((await ask('/events', { method: 'POST', headers: bearer('wrong'), body: large })).statusCode, 401, 'the token comes before the body');
  assert.equal((await ask('/events', { method: 'POST', headers: bearer(EVENTS_TOKEN), body: large })).statusCode, 413);
  assert.equal((await ask('/reindex', { method: 'PUT', headers: bearer(ADMIN_TOKEN), body: '{}' })).headers['allow'], 'POST');
  assert.equal((await ask('/reindex', { method: 'POST', headers: { ...bearer(ADMIN_TOKEN), 'content-type': 'text/xml' }, body: '<a/>' })).statusCode, 415);

  // Three of them were asked so far, through whichever thread.
  const statuses: number[] = [];
  for (let i = 0; i < 8; i++) statuses.push((await server.app.inject({ method: 'POST', url: '/reindex', headers: bearer(ADMIN_TOKEN) })).statusCode);
  assert.deepEqual(statuses, [202, 202, 202, 202, 202, 202, 202, 429]);
  const refused = await ask('/reindex', { method: 'POST', headers: bearer(ADMIN_TOKEN) });
  assert.equal(refused.statusCode, 429);
  assert.ok(Number(refused.headers['retry-after']) > 0);
});

test('equal questions to all threads are worked out once, and too many different ones refused', async (t) => {
  const { publish, listen, ask } = await setUp(t, { count: 2 });
  await publish();
  await listen();
  const same = await Promise.all(Array.from({ length: 20 }, () => ask('/index/static?repository=apps/hello')));
  assert.equal(new Set(same.map(({ headers }) => headers['etag'])).size, 1);
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(`/index/dynamic?repository=apps/hello&tag=latest&tag=x${i}`)));
  assert.deepEqual(new Set(many.map(({ statusCode }) => (statusCode === 503 ? 200 : statusCode))), new Set([200]));
  for (const { statusCode, headers } of many) if (statusCode === 503) assert.equal(headers['retry-after'], '1');
});

test('a thread that dies is started again, with what is to be served then', async (t) => {
  const { state, threads, log, logged, publish, listen, ask } = await setUp(t);
  await publish();
  const started = once(process, 'worker') as Promise<[Worker]>;
  await listen();
  const [worker] = await started;
  const again = logged(/^Another thread serves at port/);
  await worker.terminate();
  await assert.rejects(ask('/healthz'), { code: 'ECONNREFUSED' });
  state.registry.pushImage('apps/new', 'latest', named('new'));
  await publish();
  await again;
  assert.match((await ask('/index/static')).body.toString(), /"name":"new"/);
  assert.ok(log.some(({ msg, level }) => level === 50 && msg === 'a thread that serves has ended; another is started'));
  await threads.close(1000);
  await assert.rejects(ask('/healthz'), { code: 'ECONNREFUSED' });
});

test('what a thread logs is in the log', async (t) => {
  const { server, log, publish, listen, ask } = await setUp(t);
  await publish();
  await listen();
  assert.ok(log.some(({ msg }) => msg.startsWith('Another thread serves at port')));
  await server.app.close();
  const answer = await ask('/status');
  assert.equal(answer.statusCode, 503, 'the first one is stopping');
  assert.equal((JSON.parse(answer.body.toString()) as { statusCode: number }).statusCode, 503);
  assert.equal((await ask('/index/static')).statusCode, 200);
});

test('with none of them nothing is started', async (t) => {
  const { threads, publish, listen, ask } = await setUp(t, { count: 0 });
  let started = 0;
  const count = (): void => void started++;
  process.on('worker', count);
  t.after(() => process.off('worker', count));
  await publish();
  await listen();
  assert.equal(started, 0);
  await assert.rejects(ask('/healthz'), { code: 'ECONNREFUSED' });
  await threads.close(0);
});

test('a thread tells of rebuilds as they happen', async (t) => {
  const { state, server, publish, listen, url } = await setUp(t);
  await publish();
  await listen();
  const held = state.registry.hold({ method: 'repositories' });
  const { id } = server.queue.request({ reason: 'test', scope: { kind: 'everything' } });
  await held.reached;
  const { body } = await request(`${url}/api/events`);
  let text = '';
  for await (const chunk of body) {
    text += String(chunk);
    // It begins with what is under way.
    if (text.includes('"state":"running"')) held.release();
    if (text.includes('"state":"done"')) break;
  }
  assert.match(text, new RegExp(`^retry: \\d+\n\nevent: rebuild\ndata: \\{"id":"${id}"`));
});
