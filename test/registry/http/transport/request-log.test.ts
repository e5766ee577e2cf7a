import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'undici';
import { describeLogged, type LoggedRequest, logRequests } from '../../../../src/registry/http/transport/request-log.ts';
import { playRegistry } from '../play-registry.ts';

test('each request is told of with its outcome, without its query', async (t) => {
  const registry = await playRegistry(t, ({ url }, response) => (url === '/broken' ? void response.destroy() : void response.writeHead(url === '/missing' ? 404 : 200).end()));
  const told: LoggedRequest[] = [];
  const log = logRequests((one) => told.push(one));
  await (await request(`${registry.url}/v2/_catalog?n=1000&signature=secret`)).body.dump();
  await (await request(`${registry.url}/missing`, { method: 'HEAD' })).body.dump();
  await assert.rejects(request(`${registry.url}/broken`));
  log[Symbol.dispose]();
  await (await request(`${registry.url}/after`)).body.dump();
  assert.deepEqual(told.map(describeLogged), [
    `GET ${registry.url}/v2/_catalog: 200`,
    `HEAD ${registry.url}/missing: 404`,
    `GET ${registry.url}/broken: other side closed`,
  ]);
  assert.ok(told.every(({ seconds }) => seconds >= 0 && seconds < 60));
});
