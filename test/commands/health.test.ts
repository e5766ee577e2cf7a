import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import type { CommandResult } from '../peers/run-command.ts';

const indexes = { apps: { registry: `oci:${SAMPLE_IMAGES}` } };

/** Runs the health check with the configuration in `folder`. */
const healthIn = (folder: string): Promise<CommandResult> =>
  runRegindexer(['-c', join(folder, 'config.yaml'), 'health']);

test('a service is healthy while it runs, also when it listens on all addresses', async () => {
  await using server = await startRegindexer({
    config: { indexes, server: { host: '0.0.0.0', port: await freePort() } },
  });
  assert.deepEqual(await healthIn(server.folder), { code: 0, stdout: '', stderr: '' });
  await server.stop();
  const { code, stderr } = await healthIn(server.folder);
  assert.equal(code, 1);
  assert.match(stderr, /^regindexer: health check failed: .*ECONNREFUSED/);
});

test('a service with TLS is healthy, whatever name its certificate is for', needs('openssl'), async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
  const { certificate: cert, key } = await makeCertificates(folder.path);
  await using server = await startRegindexer({
    config: { indexes, server: { port: await freePort(), tls: { cert, key } } },
  });
  assert.deepEqual(await healthIn(server.folder), { code: 0, stdout: '', stderr: '' });
});

test('a service that answers another status is not healthy', async (t) => {
  const other = createServer((_, response) => response.writeHead(503).end()).listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-health-'));
  await writeFile(
    join(folder.path, 'config.yaml'),
    stringify({ indexes, server: { port: (other.address() as AddressInfo).port } }),
  );
  const { code, stderr } = await healthIn(folder.path);
  assert.deepEqual([code, stderr], [1, 'regindexer: health check failed: /healthz answered 503\n']);
});
