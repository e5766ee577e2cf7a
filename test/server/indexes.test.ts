import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { named, TestState } from '../indexing/test-state.ts';
import type { PushedImage } from '../sources/memory-registry.ts';
import { type TestServerOptions, TestServer } from './test-server.ts';

const QUERY = 'label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest';

function app(name: string, architecture = 'amd64'): PushedImage {
  return {
    architecture,
    ...named(name, { 'org.flatpak.ref': `app/org.example.${name}/x86_64/stable`, text: 'words '.repeat(500) }),
  };
}

/** Serves two apps, one of them for two architectures. */
async function serve(
  t: TestContext,
  options: TestServerOptions = {},
): Promise<{ state: TestState; server: TestServer }> {
  const state = await TestState.open(t, { definitions: (options.indexes ?? ['apps']).map((name) => ({ name })) });
  const { registry } = state;
  registry.pushImage('apps/clock', 'latest', app('Clock'));
  registry.pushIndex('apps/hello', 'latest', [
    registry.pushImage('apps/hello', undefined, app('Hello')),
    registry.pushImage('apps/hello', undefined, app('HelloArm', 'arm64')),
  ]);
  const server = await TestServer.create(t, state, options);
  await server.rebuild();
  return { state, server };
}

const CHOSEN: readonly (readonly [header: string | undefined, encoding: string])[] = [
  [undefined, 'identity'],
  ['', 'identity'],
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['GZIP', 'gzip'],
  ['gzip, deflate, br, zstd', 'gzip'],
  ['br, zstd', 'identity'],
  ['*', 'gzip'],
  ['*;q=0', 'identity'],
  ['gzip;q=0, *', 'identity'],
  ['gzip;q=1.0, br;q=0.5', 'gzip'],
  ['gzip;q=0.001', 'gzip'],
  ['gzip;q=0', 'identity'],
  ['gzip ; q=0.4 , br ; q=0.3', 'gzip'],
  ['gzip;Q=0.2,zstd;Q=0.1', 'gzip'],
  ['identity', 'identity'],
  ['identity, gzip;q=0.5', 'identity'],
  ['identity;q=0.5, gzip;q=0.4', 'identity'],
  ['identity;q=0.5, gzip;q=0.6', 'gzip'],
  ['identity;q=0, gzip', 'gzip'],
  ['identity;q=0', 'identity'],
  ['deflate, compress', 'identity'],
  ['gzip;q=abc', 'identity'],
  [';;;,,,q=1,=', 'identity'],
  ['constructor, __proto__, toString', 'identity'],
  ['gzip;level=9;q=0.5', 'gzip'],
];

test('answers of indexes', async (t) => {
  const { server, state } = await serve(t);
  const stored = await TestServer.create(t, state, { maxBodyBytes: 1 });
  await stored.publish();
  const paths = [
    '/index/apps-file.json',
    `/index/static?${QUERY}`,
    '/index/static?repository=apps/hello',
    `/index/dynamic?${QUERY}`,
    '/index/dynamic?repository=apps/hello',
  ];

  await t.test('a query by Flatpak has all headers for caching', async () => {
    const answer = await server.fastify.inject(`/index/static?${QUERY}`);
    assert.equal(answer.statusCode, 200);
    assert.deepEqual(
      answer.json<{ Results: { Name: string }[] }>().Results.map(({ Name }) => Name),
      ['apps/clock', 'apps/hello'],
    );
    const { headers } = answer;
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(headers['content-length'], String(answer.rawPayload.length));
    assert.equal(headers['cache-control'], 'public, max-age=60, stale-while-revalidate=60, stale-if-error=86400');
    assert.equal(headers.vary, 'accept-encoding');
    assert.match(String(headers.etag), /^"[\w-]{43}"$/);
    const modified = Date.parse(String(headers['last-modified']));
    assert.ok(Date.now() - modified < 600_000 && modified <= Date.now());
    assert.equal('content-encoding' in headers, false);
  });

  await t.test('gzip decodes to the same bytes, with a weak tag and its own length', async () => {
    for (const path of paths) {
      const plain = await server.fastify.inject(path);
      const zipped = await server.fastify.inject({ url: path, headers: { 'accept-encoding': 'gzip' } });
      assert.equal(zipped.headers['content-encoding'], 'gzip', path);
      assert.equal(zipped.headers.vary, 'accept-encoding');
      assert.equal(zipped.headers['content-length'], String(zipped.rawPayload.length));
      assert.deepEqual(gunzipSync(zipped.rawPayload), plain.rawPayload);
      assert.ok(zipped.rawPayload.length < plain.rawPayload.length);
      assert.equal(zipped.headers.etag, `W/${String(plain.headers.etag)}`);
    }
  });

  await t.test('the encoding is negotiated', async () => {
    for (const [header, encoding] of CHOSEN) {
      const answer = await server.fastify.inject({
        url: '/index/apps-file.json',
        headers: header === undefined ? {} : { 'accept-encoding': header },
      });
      assert.equal(answer.headers['content-encoding'] ?? 'identity', encoding, String(header));
    }
  });

  await t.test('a matching If-None-Match gets 304 with the headers for caching', async () => {
    for (const url of paths) {
      for (const encoding of ['identity', 'gzip']) {
        const headers = { 'accept-encoding': encoding };
        const full = await server.fastify.inject({ url, headers });
        const sent = String(full.headers.etag);
        const etag = sent.replace(/^W\//, '');
        for (const header of [
          sent,
          etag,
          `W/${etag}`,
          `"other", ${etag}`,
          `${etag},"other"`,
          `"other",W/${etag} , "more"`,
          '*',
          ' * ',
        ]) {
          const fresh = await server.fastify.inject({ url, headers: { ...headers, 'if-none-match': header } });
          assert.equal(fresh.statusCode, 304, `${url} ${header}`);
          assert.equal(fresh.rawPayload.length, 0);
          for (const name of ['etag', 'cache-control', 'last-modified', 'vary'])
            assert.equal(fresh.headers[name], full.headers[name], name);
          for (const name of ['content-type', 'content-encoding', 'content-length'])
            assert.equal(fresh.headers[name], undefined, name);
        }
        for (const header of ['"other"', etag.slice(1, -1), `"${etag}`, '', 'W/"other"', '"a", "b"']) {
          assert.equal(
            (await server.fastify.inject({ url, headers: { ...headers, 'if-none-match': header } })).statusCode,
            200,
            `${url} ${header}`,
          );
        }
      }
      const gzip = await server.fastify.inject({ url, headers: { 'accept-encoding': 'gzip' } });
      assert.equal(
        (await server.fastify.inject({ url, headers: { 'if-none-match': String(gzip.headers.etag) } })).statusCode,
        304,
        'the same content in other bytes',
      );
    }
  });

  await t.test('If-Modified-Since counts where there is no If-None-Match', async () => {
    for (const url of paths) {
      const modified = Date.parse(String((await server.fastify.inject(url)).headers['last-modified']));
      const status = async (headers: Record<string, string>): Promise<number> =>
        (await server.fastify.inject({ url, headers })).statusCode;
      assert.equal(await status({ 'if-modified-since': httpTime(modified) }), 304);
      assert.equal(await status({ 'if-modified-since': httpTime(modified + 5000) }), 304);
      assert.equal(await status({ 'if-modified-since': httpTime(modified - 1000) }), 200);
      assert.equal(await status({ 'if-modified-since': 'yesterday' }), 200);
      assert.equal(await status({ 'if-modified-since': httpTime(modified), 'if-none-match': '"other"' }), 200);
    }
  });

  await t.test('HEAD has the headers of GET without a body, from memory and from disk', async () => {
    for (const { fastify: its } of [server, stored]) {
      for (const url of paths) {
        const get = await its.inject({ url, headers: { 'accept-encoding': 'gzip' } });
        const head = await its.inject({ method: 'HEAD', url, headers: { 'accept-encoding': 'gzip' } });
        assert.equal(head.statusCode, 200);
        assert.equal(head.rawPayload.length, 0);
        assert.deepEqual(withoutDate(head.headers), withoutDate(get.headers), url);
        assert.equal(
          (
            await its.inject({
              method: 'HEAD',
              url,
              headers: { 'accept-encoding': 'gzip', 'if-none-match': String(get.headers.etag) },
            })
          ).statusCode,
          304,
        );
      }
    }
  });

  await t.test('what is not cached is served with the same bytes and headers', async () => {
    for (const url of paths) {
      for (const encoding of ['identity', 'gzip']) {
        const [one, other] = await Promise.all([
          server.fastify.inject({ url, headers: { 'accept-encoding': encoding } }),
          stored.fastify.inject({ url, headers: { 'accept-encoding': encoding } }),
        ]);
        assert.deepEqual(one.rawPayload, other.rawPayload);
        assert.deepEqual(withoutDate(one.headers), withoutDate(other.headers));
      }
    }
  });

  await t.test('a body that cannot be read is an error without the headers of the body', async () => {
    const failing = await TestServer.create(t, state, {
      maxBodyBytes: 1,
      readBody: () => Promise.reject(new Error('a faulty disk')),
    });
    await failing.publish();
    const answer = await failing.fastify.inject({
      url: '/index/apps-file.json',
      headers: { 'accept-encoding': 'gzip' },
    });
    assert.deepEqual(answer.json(), {
      statusCode: 503,
      error: 'Service Unavailable',
      message: 'A part of the index cannot be read and is being rebuilt; ask again in a moment.',
    });
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers['retry-after'], '1');
    for (const name of ['etag', 'content-encoding', 'last-modified', 'vary'])
      assert.equal(answer.headers[name], undefined, name);
  });
});

test('chunks that vanish from the store lead to the newest publication', async (t) => {
  const { state, server } = await serve(t, { maxBodyBytes: 1 });
  const urls = ['/index/apps-file.json', '/index/dynamic?label:name=Clock'];
  const before = await Promise.all(urls.map((url) => server.fastify.inject(url)));
  state.registry.pushImage('apps/clock', 'latest', { ...app('Clock'), ...named('Clock', { version: '2' }) });
  await state.rebuild();
  const now = Date.now();
  await state.store.publications.clean({ named: () => true, chunksBefore: now + 60_000, pngsBefore: 0, now });
  for (const [place, url] of urls.entries()) {
    const { statusCode, headers, payload } = await server.fastify.inject({
      url,
      headers: { 'accept-encoding': 'gzip, identity;q=0.5' },
    });
    assert.equal(statusCode, 200, payload);
    assert.notEqual(headers.etag, `W/${String(before[place]?.headers.etag)}`);
    assert.match((await server.fastify.inject(url)).payload, /"version":"2"/);
  }
  assert.deepEqual(
    server.log.filter(({ level }) => level >= 40),
    [],
  );
});

test('the default index answers at /index/static, each at /NAME/index/static and as a file', async (t) => {
  const { server, state } = await serve(t, { indexes: ['apps', 'more'], defaultIndex: 'more' });
  const whole = await state.text('more');
  for (const path of [
    '/index/static',
    '/index/dynamic',
    '/more/index/static',
    '/apps/index/static',
    '/index/more-file.json',
    '/index/apps-file.json',
  ]) {
    const answer = await server.fastify.inject(path);
    assert.equal(answer.statusCode, 200, path);
    assert.equal(answer.payload, whole, path);
  }
  for (const path of [
    '/none/index/static',
    '/none/index/dynamic',
    '/index/none.json',
    '/index/more.json',
    '/index/',
    '/index',
  ]) {
    const answer = await server.fastify.inject(path);
    assert.equal(answer.statusCode, 404, path);
    const { statusCode, error, message } = answer.json<Record<string, string>>();
    assert.deepEqual([statusCode, error, typeof message], [404, 'Not Found', 'string']);
  }
});

test('before the first build an index is 503 with Retry-After, and an invalid query still 400', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  for (const path of ['/index/static', '/index/dynamic?tag=a', '/apps/index/static', '/index/apps-file.json']) {
    const answer = await server.fastify.inject(path);
    assert.equal(answer.statusCode, 503, path);
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.match(answer.json<{ message: string }>().message, /being built/);
  }
  assert.equal((await server.fastify.inject('/index/static?nonsense=1')).statusCode, 400);
  assert.deepEqual(server.log, [], 'that is nothing for the log');
});

test('only a rebuild that finds changes changes tags and times', async (t) => {
  const { server, state } = await serve(t);
  const before = await server.fastify.inject(`/index/static?${QUERY}`);
  await server.rebuild();
  const again = await server.fastify.inject(`/index/static?${QUERY}`);
  for (const name of ['etag', 'last-modified']) assert.equal(again.headers[name], before.headers[name]);
  state.registry.pushImage(
    'apps/new',
    'latest',
    named('New', { 'org.flatpak.ref': 'app/org.example.New/x86_64/stable' }),
  );
  await server.rebuild();
  const after = await server.fastify.inject(`/index/static?${QUERY}`);
  assert.notEqual(after.headers.etag, before.headers.etag);
  assert.match(after.payload, /org\.example\.New/);
});

test('a large document is sent in parts, and completed if it is replaced meanwhile', async (t) => {
  const state = await TestState.open(t);
  const push = (version: string): void => {
    for (let i = 0; i < 15; i++)
      state.registry.pushImage(
        `apps/app${i}`,
        'latest',
        named(`${version}-${i}`, { text: `${version} `.repeat(100_000) }),
      );
  };
  push('one');
  const server = await TestServer.create(t, state, { maxBodyBytes: 1 });
  await server.rebuild();
  const port = await server.listen();
  const ask = () =>
    fetch(`http://127.0.0.1:${port}/index/apps-file.json`, { headers: { 'accept-encoding': 'identity' } });
  const before = Buffer.from(await state.text());
  assert.ok(before.length > 5_000_000);
  assert.ok(Buffer.from(await (await ask()).arrayBuffer()).equals(before));

  const answer = await ask();
  assert.equal(answer.headers.get('content-length'), String(before.length));
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body ?? []) {
    if (chunks.push(chunk) > 1) continue;
    push('two');
    await server.rebuild();
  }
  assert.ok(Buffer.concat(chunks).equals(before), 'all of it is of the one before');
  const after = await (await ask()).text();
  assert.equal(after, await state.text());
  assert.match(after, /two-14/);
});

function httpTime(time: number): string {
  return new Date(time).toUTCString();
}

function withoutDate(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { ...headers, date: undefined };
}
