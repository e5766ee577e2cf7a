import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestState } from '../../indexing/test-state.ts';
import { bearer, EVENTS_TOKEN, TestServer } from '../test-server.ts';

const PATH = '/status';

test('each request has an id, in its answer and in its log lines', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  const ids = await Promise.all(
    [PATH, PATH, '/none'].map(
      async (path) =>
        (await server.fastify.inject({ url: path, headers: { 'x-request-id': 'mine' } })).headers['x-request-id'],
    ),
  );
  assert.equal(new Set(ids).size, 3);
  for (const id of ids) assert.match(String(id), /^[\w-]{8}-[0-9a-z]+$/);

  const answer = await server.fastify.inject({
    method: 'POST',
    url: '/events',
    headers: bearer(EVENTS_TOKEN),
    payload: 'no JSON',
  });
  const line = server.log.find(({ msg }) => msg.startsWith('a notification could not be understood'));
  assert.equal(line?.['request'], answer.headers['x-request-id']);
});

test('a trusted proxy may set the id, if it is valid', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t), { trustProxy: true });
  const named = async (id: string): Promise<string> =>
    String((await server.fastify.inject({ url: PATH, headers: { 'x-request-id': id } })).headers['x-request-id']);
  assert.equal(await named('7f3c.a:1/b+c=@d_e-f'), '7f3c.a:1/b+c=@d_e-f');
  for (const id of ['', 'a b', '"', 'x'.repeat(129), 'ä']) assert.match(await named(id), /^[\w-]{8}-[0-9a-z]+$/);
});

test('at the level debug, each answer is logged', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  const port = await server.listen();
  const line = server.logged(/^answered$/);
  const answer = await fetch(`http://127.0.0.1:${port}${PATH}?x=y`);
  await answer.text();
  assert.partialDeepStrictEqual(await line, {
    level: 20,
    method: 'GET',
    url: '/status?x=y',
    status: 200,
    request: answer.headers.get('x-request-id'),
  });
});
