import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, request } from 'undici';
import { RequestCounts } from '../../../../src/registry/http/transport/request-counts.ts';
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

test('what is asked through a proxy is told by where it goes', async (t) => {
  const proxy = await playRegistry(t, (_request, response) => void response.end());
  const told: LoggedRequest[] = [];
  const log = logRequests((one) => told.push(one));
  t.after(() => log[Symbol.dispose]());
  using counts = new RequestCounts(['http://registry.example.org']);
  const client = new Client(proxy.url);
  t.after(() => client.close());
  await (await client.request({ method: 'GET', path: 'http://registry.example.org/v2/_catalog?n=1000' })).body.dump();
  assert.deepEqual(told.map(describeLogged), ['GET http://registry.example.org/v2/_catalog: 200']);
  assert.deepEqual(counts.take(), [{ registry: 'http://registry.example.org', status: '200', count: 1 }]);
});
