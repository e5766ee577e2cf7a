import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { request } from 'undici';
import { OCI_IMAGE_MANIFEST } from '../../src/registry/media-types.ts';
import { runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import { playRegistry, sendJson } from '../registry/http/play-registry.ts';
import { AUTHORIZED, TOKEN } from './ask-server.ts';

test('what a redirect’s target answers is for the log alone', async (t) => {
  const inner = await playRegistry(t, ({ url }, response) => {
    if (url === '/denied') sendJson(response, { errors: [{ code: 'DENIED', message: 'hunter2' }] }, {}, 403);
    else if (url === '/fields') sendJson(response, { mediaType: OCI_IMAGE_MANIFEST, annotations: { hunter2: 7 } });
    else response.writeHead(302, { location: 'http://127.0.0.1:1/hunter2' }).end();
  });
  const registry = await playRegistry(t, ({ url }, response) => {
    const [, repository = '', kind] = /^\/v2\/(.*)\/(tags|manifests)\//.exec(url) ?? [];
    if (kind === undefined) sendJson(response, { repositories: ['denied', 'fields', 'moved'] });
    else if (kind === 'tags') sendJson(response, { tags: ['latest'] });
    else response.writeHead(307, { location: `${inner.url}/${repository}` }).end();
  });
  await using server = await startRegindexer({
    config: { indexes: { apps: { registry: registry.url } }, server: { port: 0, admin_token: TOKEN } },
  });
  const answers = [
    await request(`${server.url}/reindex?wait=true`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } }),
  ];
  for (const path of ['/status', '/readyz']) answers.push(await request(server.url + path, { headers: AUTHORIZED }));
  const told = (await Promise.all(answers.map(({ body }) => body.text()))).join('\n');
  const secrets = ['hunter2', new URL(inner.url).host, 'ECONNREFUSED'];
  for (const secret of secrets) assert.ok(!told.includes(secret), told);
  for (const said of [
    '"repository":"denied","error":"tag latest: a host that the registry refers to refuses access; a login may be missing or wrong; see the log for details"',
    '"repository":"fields","error":"tag latest: a host that the registry refers to gives an invalid answer; see the log for details"',
    '"repository":"moved","error":"tag latest: a host that the registry refers to cannot be reached, or fails; see the log for details"',
  ])
    assert.ok(told.includes(said), told);
  for (const said of [`GET ${inner.url}/denied: answered 403 (DENIED: hunter2)`, ...secrets])
    assert.ok(server.logSinceStart.includes(said), said);

  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-inner-'));
  const config = join(folder.path, 'config.yaml');
  await writeFile(config, JSON.stringify({ indexes: { apps: { registry: registry.url } } }));
  const { code, stderr } = await runRegindexer(['-c', config, 'index']);
  assert.equal(code, 1);
  for (const said of secrets) assert.ok(stderr.includes(said), stderr);
});
