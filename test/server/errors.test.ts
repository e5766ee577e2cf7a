import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { test } from 'node:test';
import { pngPath } from '../indexing/png.ts';
import { TestState } from '../indexing/test-state.ts';
import { ADMIN_TOKEN, bearer, TestServer } from './test-server.ts';

interface ErrorBody {
  readonly statusCode: number;
  readonly error: string;
  readonly message: string;
}

test('all errors are JSON', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  await server.rebuild();
  const { fastify } = server;

  await t.test('unknown paths are 404', async () => {
    for (const url of [
      '/none',
      '/index',
      '/index/',
      '/index/static/',
      '/index/static/more',
      '/INDEX/static',
      '/healthz/',
      '/reindex',
      '/v2/',
      `/${'a/'.repeat(1000)}`,
      '/🙂',
    ]) {
      const answer = await fastify.inject(url);
      const { statusCode, error, message } = answer.json<ErrorBody>();
      if (url === '/reindex') assert.equal(statusCode, 405);
      else assert.deepEqual([answer.statusCode, statusCode, error], [404, 404, 'Not Found'], url);
      assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.ok(message.length > 0);
    }
    assert.match(
      (await fastify.inject('/none?token=secret')).json<ErrorBody>().message,
      /^Nothing is served at \/none\.$/,
    );
  });

  await t.test('other methods are 405, with Allow', async () => {
    for (const [url, allowed] of [
      ['/index/static', 'GET, HEAD'],
      ['/index/dynamic?tag=a', 'GET, HEAD'],
      ['/apps/index/static', 'GET, HEAD'],
      ['/index/apps-file.json', 'GET, HEAD'],
      [`/index/icons/${pngPath('icon')}`, 'GET, HEAD'],
      ['/healthz', 'GET, HEAD'],
      ['/readyz', 'GET, HEAD'],
      ['/status', 'GET, HEAD'],
      ['/reindex', 'POST'],
      ['/reindex/some-id', 'GET, HEAD'],
      ['/events', 'POST'],
    ] as const) {
      for (const method of METHODS) {
        if (method === 'CONNECT' || allowed.split(', ').includes(method)) continue;
        const answer = await fastify.inject({ method: method as 'GET', url });
        assert.equal(answer.statusCode, 405, `${method} ${url}`);
        assert.equal(answer.headers.allow, allowed, `${method} ${url}`);
        if (method !== 'HEAD')
          assert.deepEqual(answer.json(), {
            statusCode: 405,
            error: 'Method Not Allowed',
            message: `${method} is not allowed here; use ${allowed}.`,
          });
      }
    }
  });

  await t.test('a wrong method is refused before its body is read', async () => {
    for (const headers of [
      { 'content-type': 'text/xml' },
      { 'content-type': 'application/json' },
      { 'content-type': ';;' },
    ]) {
      assert.equal(
        (await fastify.inject({ method: 'PUT', url: '/index/static', headers, payload: '<a' })).statusCode,
        405,
      );
    }
    assert.equal(
      (
        await fastify.inject({
          method: 'POST',
          url: '/status',
          headers: { 'content-type': 'application/json' },
          payload: 'x'.repeat(2_000_000),
        })
      ).statusCode,
      405,
    );
  });

  await t.test('an invalid URL is an error of the same form', async () => {
    for (const [url, status] of [
      ['/%zz', 400],
      ['/index/%c3%28.json', 400],
      ['/%', 400],
      [`/index/${'a'.repeat(600)}.json`, 414],
      [`/${'a'.repeat(600)}/index/static`, 414],
    ] as const) {
      const answer = await fastify.inject(url);
      assert.equal(answer.statusCode, status, url);
      const body = answer.json<ErrorBody>();
      assert.deepEqual(Object.keys(body), ['statusCode', 'error', 'message'], url);
      assert.equal(body.statusCode, status);
    }
  });

  await t.test('every GET route has a HEAD without a body', async () => {
    for (const url of [
      '/healthz',
      '/readyz',
      '/status',
      '/index/static',
      '/index/dynamic',
      '/apps/index/static',
      '/apps/index/dynamic',
      '/index/apps-file.json',
    ]) {
      const [get, head] = [await fastify.inject(url), await fastify.inject({ method: 'HEAD', url })];
      assert.deepEqual(
        [head.statusCode, head.rawPayload.length, head.headers['content-type']],
        [get.statusCode, 0, get.headers['content-type']],
        url,
      );
    }
    const missing = await fastify.inject({ method: 'HEAD', url: '/none' });
    assert.deepEqual([missing.statusCode, missing.rawPayload.length], [404, 0]);
    const { id } = (await fastify.inject({ method: 'POST', url: '/reindex', headers: bearer(ADMIN_TOKEN) })).json<{
      id: string;
    }>();
    assert.equal(
      (await fastify.inject({ method: 'HEAD', url: `/reindex/${id}`, headers: bearer(ADMIN_TOKEN) })).statusCode,
      200,
    );
  });

  assert.deepEqual(
    server.log.filter(({ level }) => level >= 50),
    [],
    'nobody else needs to know',
  );
});
