import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineIndex, named, TestState } from '../indexing/test-state.ts';
import { ADMIN_TOKEN, bearer, TestServer } from './test-server.ts';

const THERE = ['constructor', 'toString', 'hasOwnProperty'];
const NOT_THERE = ['valueOf', '__proto__', 'isPrototypeOf'];

test('an index may have the name of an inherited property, and others do not exist', async (t) => {
  const state = await TestState.open(t, { definitions: THERE.map((name) => defineIndex({ name })) });
  state.registry.pushImage('app', 'latest', named('app'));
  const server = await TestServer.create(t, state, { indexes: THERE });
  const { fastify } = server;
  await server.rebuild();
  const statusOf = async (url: string): Promise<number> =>
    (await fastify.inject({ url, headers: { 'accept-encoding': 'constructor, __proto__;q=1' } })).statusCode;
  const reindex = async (index: string): Promise<number> =>
    (await fastify.inject({ method: 'POST', url: '/reindex', headers: bearer(ADMIN_TOKEN), payload: { index } }))
      .statusCode;
  for (const [names, expected] of [
    [THERE, 200],
    [NOT_THERE, 404],
  ] as const) {
    for (const name of names) {
      for (const url of [
        `/${name}/index/static?tag=latest`,
        `/${name}/index/dynamic?label:name=app`,
        `/index/${name}-file.json`,
      ])
        assert.equal(await statusOf(url), expected, url);
      assert.equal(await reindex(name), expected === 200 ? 202 : 404, name);
    }
  }
  for (const name of [...THERE, ...NOT_THERE])
    for (const url of [`/${name}`, `/${name}/${name}`, `/icons/${name}`]) assert.equal(await statusOf(url), 404, url);
});
