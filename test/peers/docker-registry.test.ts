import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { Agent, request } from 'undici';
import { pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { makeCertificates } from './certificates.ts';
import { startDockerRegistry } from './docker-registry.ts';
import { pushImageIndex } from './image-index.ts';
import { needs } from './installed.ts';
import { copyImage, deleteImage } from './skopeo.ts';

const HELLO = `oci:${SAMPLE_IMAGES}/apps/hello`;

/** Body of a notification. */
interface Envelope {
  readonly events: readonly [{ readonly action: string; readonly target: { readonly tag?: string } }];
}

async function getJson(url: string): Promise<unknown> {
  const { body } = await request(url);
  return body.json();
}

test(
  'a registry holds what was pushed, also after it was stopped and started again',
  needs('docker-registry', 'skopeo'),
  async () => {
    await using registry = await startDockerRegistry();
    const digests = await pushSamples(registry.host);
    await registry.stop();
    await assert.rejects(request(registry.url), { code: 'ECONNREFUSED' });
    await registry.start();

    assert.deepEqual(await getJson(`${registry.url}/v2/_catalog`), { repositories: Object.keys(digests) });
    const { headers, body } = await request(`${registry.url}/v2/apps/hello/manifests/latest`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    await body.dump();
    assert.equal(headers['docker-content-digest'], digests['apps/hello']);
  },
);

test('a deleted image takes its tags along', needs('docker-registry', 'skopeo'), async () => {
  await using registry = await startDockerRegistry();
  await copyImage({ from: HELLO, to: `${registry.host}/apps/hello:old` });
  await deleteImage(`${registry.host}/apps/hello:old`);
  assert.deepEqual(await getJson(`${registry.url}/v2/apps/hello/tags/list`), { name: 'apps/hello', tags: null });
});

test('an image index is made of pushed images', needs('docker-registry', 'skopeo'), async () => {
  await using registry = await startDockerRegistry();
  const digest = await copyImage({ from: HELLO, to: `${registry.host}/apps/hello:amd64` });
  await pushImageIndex(registry.url, 'apps/hello', 'latest', [{ digest, architecture: 'amd64' }]);
  const { tags } = (await getJson(`${registry.url}/v2/apps/hello/tags/list`)) as { tags: readonly string[] };
  assert.deepEqual(tags.toSorted(), ['amd64', 'latest']);
});

test('it notifies of a push, with its token', needs('docker-registry', 'skopeo'), async (t) => {
  const receiver = createServer().listen(0, '127.0.0.1');
  t.after(() => receiver.close());
  await once(receiver, 'listening');
  const { promise: pushed, resolve } = Promise.withResolvers<readonly unknown[]>();
  receiver.on('request', (received, answer) => {
    answer.writeHead(202).end();
    void json(received).then((envelope) => {
      const { action, target } = (envelope as Envelope).events[0];
      if (target.tag === 'stable') resolve([received.headers.authorization, action]);
    });
  });
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/events`;
  await using registry = await startDockerRegistry({ notifications: { url, token: 'events-token' } });
  await copyImage({ from: HELLO, to: `${registry.host}/apps/hello:stable` });
  assert.deepEqual(await pushed, ['Bearer events-token', 'push']);
});

test('it asks for a login over HTTPS', needs('docker-registry', 'openssl', 'skopeo'), async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
  const certificates = await makeCertificates(folder.path);
  const login = { username: 'reader', password: 'p:ss wörd' };
  await using registry = await startDockerRegistry({ tls: certificates, login });
  await assert.rejects(
    copyImage({ from: HELLO, to: `${registry.host}/apps/hello:latest` }),
    /unauthorized|authentication required/,
  );
  await copyImage({ from: HELLO, to: `${registry.host}/apps/hello:latest`, login });

  const dispatcher = new Agent({ connect: { ca: await readFile(certificates.authority) } });
  const authorization = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const { statusCode, body } = await request(`${registry.url}/v2/apps/hello/tags/list`, {
    dispatcher,
    headers: { authorization },
  });
  assert.deepEqual([statusCode, await body.json()], [200, { name: 'apps/hello', tags: ['latest'] }]);
  await dispatcher.close();
});
