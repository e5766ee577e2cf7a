import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import Schema from 'typebox/schema';
import { Agent, request } from 'undici';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { randomIcon } from '../sources/random-images.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, reindex, settled, TOKEN } from './ask-server.ts';

const ICON = randomIcon('icon', 2000);

/** A schema of objects that have nothing else than what it names. */
function closed(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(closed);
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return 'properties' in schema ? { ...inner, additionalProperties: false } : inner;
}

async function json(url: string): Promise<{ status: number; body: unknown }> {
  const answer = await request(url);
  return { status: answer.statusCode, body: await answer.body.json() };
}

suite('what stands behind the page', () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let server: Regindexer;
  before(async () => {
    registry = resources.use(await LabelRegistry.start());
    registry.push('app', {
      labels: flatpakLabels({
        id: 'org.example.App',
        name: 'App',
        icon: ICON,
        appdata: '<name xml:lang="pt_BR">Aplicativo</name><content_rating type="oars-1.1"/>',
      }),
    });
    server = resources.use(
      await startRegindexer({
        config: {
          indexes: { apps: { registry: registry.url }, others: { registry: registry.url, tags: ['none'] } },
          server: { port: 0, admin_token: TOKEN, events_token: TOKEN },
        },
      }),
    );
    await settled(server.url);
  });
  after(() => resources.disposeAsync());

  /** How often an index was sent. */
  const answered = async (): Promise<number> => {
    const { body } = await get(`${server.url}/metrics`);
    return Number(
      /^regindexer_http_requests_total\{method="GET",route="\/:index\/index\/static",status="200"\} (\d+)$/m.exec(
        body.toString(),
      )?.[1] ?? 0,
    );
  };

  test('the apps of each index, and all about one', async () => {
    const { body } = await get(`${server.url}/api/apps`);
    assert.deepEqual(
      (JSON.parse(body.toString()) as { apps: { id: string }[] }).apps.map(({ id }) => id),
      ['org.example.App'],
    );
    assert.deepEqual((await json(`${server.url}/api/apps?index=others`)).body, { index: 'others', apps: [] });
    assert.equal(
      ((await json(`${server.url}/api/apps/org.example.App?index=apps`)).body as { name: string }).name,
      'App',
    );
    assert.deepEqual((await json(`${server.url}/api/apps/org.example.App/translations?index=apps`)).body, {
      'pt-BR': { name: 'Aplicativo' },
    });
    for (const path of [
      '/api/apps?index=none',
      '/api/apps/org.example.None/translations',
      '/api/apps/org.example.App?index=others',
      '/api/apps/org.example.None',
      '/api/apps/*',
      '/apps/org.example.None.flatpakref',
    ])
      assert.equal((await json(server.url + path)).status, 404, path);
    assert.equal((await json(`${server.url}/api/apps?indx=apps`)).status, 400);
  });

  test('the size of each part of the store is told, and how long reads from it take', async () => {
    const figures = (await get(`${server.url}/metrics`)).body.toString();
    for (const part of ['catalog', 'publications'])
      assert.ok(
        Number(new RegExp(`^regindexer_store_size_bytes\\{part="${part}"\\} (\\d+)$`, 'm').exec(figures)?.[1]) > 0,
        part,
      );
    for (const operation of ['publication', 'chunkHeads', 'chunkSegment', 'apps'])
      assert.ok(
        Number(
          new RegExp(`^regindexer_store_read_duration_seconds_count\\{operation="${operation}"\\} (\\d+)$`, 'm').exec(
            figures,
          )?.[1],
        ) > 0,
        operation,
      );
  });

  test('an icon that the index holds is given out by itself', async () => {
    const list = JSON.parse((await get(`${server.url}/api/apps`)).body.toString()) as { apps: { icon: string }[] };
    const path = list.apps[0]?.icon ?? '';
    const address = new URL(path, `${server.url}/apps/index/static`);
    const icon = await request(address);
    assert.deepEqual(Buffer.from(await icon.body.arrayBuffer()), ICON);
    assert.deepEqual(
      [icon.headers['content-type'], icon.headers['cache-control']],
      ['image/png', 'public, max-age=31536000, immutable'],
    );
    const fresh = await request(address, { headers: { 'if-none-match': String(icon.headers.etag) } });
    await fresh.body.dump();
    assert.equal(fresh.statusCode, 304);
    const unversioned = await request(`${server.url}/api/apps/org.example.App/icon`);
    await unversioned.body.dump();
    assert.equal(unversioned.headers['cache-control'], 'no-cache');
    for (const none of [
      '/api/apps/org.example.None/icon',
      '/api/apps/org.example.App/icon?index=others',
      '/api/apps/*/icon',
    ])
      assert.equal((await json(server.url + none)).status, 404, none);
  });

  test('they are sent compressed, cached like the index, and have the entity tag of their content, a weak one where it is compressed', async () => {
    for (const path of ['/api/apps', '/api/apps/org.example.App']) {
      const plain = await request(server.url + path);
      const zipped = await request(server.url + path, { headers: { 'accept-encoding': 'gzip' } });
      await Promise.all([plain.body.dump(), zipped.body.dump()]);
      assert.equal(zipped.headers['content-encoding'], 'gzip');
      assert.equal(zipped.headers['cache-control'], 'public, max-age=60');
      assert.equal(zipped.headers.vary, 'accept-encoding');
      assert.match(String(plain.headers.etag), /^"[\w-]{43}"$/);
      assert.equal(zipped.headers.etag, `W/${String(plain.headers.etag)}`);
    }
  });

  test('rebuilds are told of as they happen', async () => {
    const abort = new AbortController();
    const stream = await request(`${server.url}/api/events`, { signal: abort.signal, headersTimeout: 10_000 });
    assert.equal(stream.headers['content-type'], 'text/event-stream; charset=utf-8');
    await reindex(server.url);
    let text = '';
    for await (const chunk of stream.body) {
      text += String(chunk);
      if (text.includes('"state":"done"')) break;
    }
    assert.match(text, /^retry: \d+\n\n/);
    assert.deepEqual(
      Array.from(text.matchAll(/"state":"(\w+)"/g), ([, state]) => state).filter(
        (state, index, states) => state !== states[index - 1],
      ),
      ['queued', 'running', 'done'],
    );
    abort.abort();
  });

  test('the figures are those of what has happened', async () => {
    await request(`${server.url}/nowhere/at-all/of-that-name`).then(({ body }) => body.dump());
    const { body } = await get(`${server.url}/metrics`);
    const figures = body.toString();
    for (const pattern of [
      /^regindexer_rebuilds_total\{registry="[^"]+",result="success"\} [1-9]/m,
      /^regindexer_rebuild_duration_seconds_count\{registry="[^"]+"\} [1-9]/m,
      /^regindexer_registry_requests_total\{registry="http:\/\/127\.0\.0\.1:\d+",status="200"\} [1-9]/m,
      /^regindexer_index_images\{index="apps"\} 1$/m,
      /^regindexer_index_apps\{index="others"\} 0$/m,
      /^regindexer_failed_repositories\{registry="[^"]+"\} 0$/m,
      /^regindexer_events_total\{result="triggered"\} 0$/m,
      /^regindexer_query_answers_total\{cache="miss"\} \d/m,
      /^regindexer_http_requests_total\{method="GET",route="[^"]+",status="200"\} \d/m,
      /^nodejs_eventloop_lag_p99_seconds /m,
    ])
      assert.match(figures, pattern);
    // Whatever path is asked for, there are only so many routes.
    assert.doesNotMatch(figures, /nowhere/);
    for (const [, name] of figures.matchAll(/^# TYPE (regindexer_\w+) counter$/gm))
      assert.match(String(name), /_total$/);
  });

  test('what each thread answers is counted', async () => {
    const earlier = await answered();
    // Over a connection of its own each, so that any of the threads may answer.
    const dispatcher = new Agent({ pipelining: 0 });
    for (let number = 0; number < 40; number++)
      await request(`${server.url}/apps/index/static`, { dispatcher }).then(({ body }) => body.dump());
    await dispatcher.close();
    assert.equal((await answered()) - earlier, 40);
  });

  test('the routes are described by their schemas', async () => {
    const { body } = await get(`${server.url}/openapi.json`);
    const { openapi, paths } = JSON.parse(body.toString()) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: object; parameters?: { name: string }[] }>>;
    };
    assert.equal(openapi, '3.1.0');
    for (const path of [
      '/api/apps',
      '/api/apps/{id}',
      '/status',
      '/reindex',
      '/events',
      '/healthz',
      '/readyz',
      '/metrics',
      '/index/static',
      '/{index}/index/static',
      '/{index}.flatpakrepo',
    ])
      assert.ok(paths[path], path);
    for (const [path, url, method] of [
      ['/status', '/status', 'get'],
      ['/index/static', '/index/static', 'get'],
      ['/{index}/index/dynamic', '/others/index/dynamic?tag=none', 'get'],
      ['/index/{file}', '/index/apps.json', 'get'],
      ['/api/apps', '/api/apps', 'get'],
      ['/api/apps/{id}', '/api/apps/org.example.App', 'get'],
      ['/reindex', '/reindex?wait=true', 'post'],
      ['/events', '/events', 'post'],
      ['/healthz', '/healthz', 'get'],
      ['/readyz', '/readyz', 'get'],
    ] as const) {
      const answer = await request(server.url + url, {
        method: method === 'get' ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${TOKEN}` },
        ...(path === '/events' && { body: '{"events":[]}' }),
      });
      const responses = paths[path]?.[method]?.responses as Record<
        string,
        { content: Record<string, { schema: object }> }
      >;
      const schema = responses[answer.statusCode]?.content['application/json']?.schema;
      assert.ok(schema, `${path} ${answer.statusCode}`);
      const [fits, problems] = Schema.Compile(closed(schema) as object).Errors(await answer.body.json());
      assert.ok(fits, `${path}: ${JSON.stringify(problems)}`);
    }
    assert.deepEqual(Object.keys(paths['/reindex'] ?? {}), ['post']);
    assert.deepEqual(
      paths['/api/apps/{id}']?.['get']?.parameters?.map(({ name }) => name),
      ['index', 'id'],
    );
  });
});
