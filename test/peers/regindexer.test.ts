import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'undici';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { runRegindexer, startRegindexer } from './regindexer.ts';

test('the program serves at the URL that it logs, and at another after a restart', async () => {
  await using regindexer = await startRegindexer({
    config: { indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } }, server: { port: 0 } },
  });
  const first = await request(`${regindexer.url}/healthz`);
  await first.body.dump();
  await regindexer.kill();
  await assert.rejects(request(regindexer.url), { code: 'ECONNREFUSED' });
  await regindexer.start();
  const second = await request(`${regindexer.url}/healthz`);
  await second.body.dump();
  assert.deepEqual([first.statusCode, second.statusCode], [200, 200]);
});

test('a command gives its exit status and output', async () => {
  const { code, stdout, stderr } = await runRegindexer(['-c', '/nonexistent.yaml', 'check']);
  assert.equal(code, 2);
  assert.match(stdout + stderr, /\/nonexistent\.yaml/);
});
