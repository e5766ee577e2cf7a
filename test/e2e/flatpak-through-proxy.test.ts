import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Agent, request } from 'undici';
import { pushSamples } from '../fixtures/samples.ts';
import { makeCertificates, type Certificates } from '../peers/certificates.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { canTrust, startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer, type RegindexerOptions } from '../peers/regindexer.ts';
import { version } from '../../src/system/version.ts';
import { requestsIn } from './access-log.ts';
import { eventually } from './eventually.ts';
import { addRemote, installHello, runHello } from './sample-user.ts';

const LOGIN = { username: 'indexer', password: 'known-to-regindexer-alone' };

suite(
  'flatpak with one address alone: a registry with a login behind the server',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'openssl'),
  () => {
    const resources = new AsyncDisposableStack();
    let registry: DockerRegistry;
    let certificates: Certificates;
    before(async () => {
      certificates = await makeCertificates(
        resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'))).path,
      );
      registry = resources.use(await startDockerRegistry({ login: LOGIN }));
      await pushSamples(registry.host, LOGIN);
    });
    after(() => resources.disposeAsync());

    const start = (server: object, args: RegindexerOptions['args'] = []): Promise<Regindexer> =>
      startRegindexer({
        config: {
          indexes: { apps: { registry: registry.url, registry_public: '/', tags: ['latest'], extract_icons: true } },
          registries: { [registry.url]: LOGIN },
          server: { port: 0, registry_proxy: true, ...server },
        },
        args,
      });

    test('over http', async () => {
      await using server = await start({}, ['-v']);
      await using user = await startFlatpakClient();
      await built(server);
      await addRemote(user, server.url);
      await installHello(user);
      await runHello(user, '1.0');

      const pulled = requestsIn(registry.log).filter((line) => line.includes('/blobs/')).length;
      assert.ok(pulled > 0, 'the registry was asked with the name of regindexer');
      assert.ok(registry.log.includes(`"regindexer/${version}"`));
      const { headers } = await ask(`${registry.url}/v2/`);
      assert.match(String(headers['www-authenticate']), /^Basic/, 'the registry itself asks for a login');
      assert.doesNotMatch(server.log, new RegExp(LOGIN.password));
      assert.doesNotMatch(server.log, /"level":"(warn|error)"/);
    });

    test("over TLS with an authority of the user's own", canTrust(), async () => {
      await using server = await start({ tls: { cert: certificates.certificate, key: certificates.key } });
      await using user = await startFlatpakClient({
        host: new URL(server.url).host,
        authority: certificates.authority,
      });
      await built(server);
      await addRemote(user, server.url);
      await installHello(user);
      await runHello(user, '1.0');
    });

    test('a part of a blob, its head, and conditions, as the real registry has them', async () => {
      await using server = await start({});
      await built(server);
      const manifest = await ask(`${server.url}/v2/apps/hello/manifests/latest`, {
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
      });
      assert.deepEqual(
        [manifest.statusCode, manifest.headers['content-type']],
        [200, 'application/vnd.oci.image.manifest.v1+json'],
      );
      const { layers } = JSON.parse(manifest.text) as { layers: readonly [{ digest: string; size: number }] };
      const url = `${server.url}/v2/apps/hello/blobs/${layers[0].digest}`;
      const head = await ask(url, { method: 'HEAD' });
      assert.deepEqual(
        [head.statusCode, head.headers['content-length'], head.headers['docker-content-digest'], head.text],
        [200, String(layers[0].size), layers[0].digest, ''],
      );
      const part = await ask(url, { headers: { range: 'bytes=2-5' } });
      assert.deepEqual(
        [part.statusCode, part.headers['content-range'], part.headers['content-length']],
        [206, `bytes 2-5/${layers[0].size}`, '4'],
      );
      const fresh = await ask(`${server.url}/v2/apps/hello/manifests/latest`, {
        headers: {
          'if-none-match': String(manifest.headers['etag']),
          accept: 'application/vnd.oci.image.manifest.v1+json',
        },
      });
      assert.equal(fresh.statusCode, 304);
      assert.equal((await ask(`${server.url}/v2/apps/hello/blobs/sha256:${'0'.repeat(64)}`)).statusCode, 404);
      assert.equal((await ask(`${server.url}/v2/apps/hello/manifests/none`)).statusCode, 404);
      assert.deepEqual(JSON.parse((await ask(`${server.url}/v2/apps/hello/tags/list`)).text), {
        name: 'apps/hello',
        tags: ['latest'],
      });
      const first = await ask(`${server.url}/v2/_catalog?n=2`);
      assert.deepEqual(JSON.parse(first.text), { repositories: ['apps/clock', 'apps/hello'] });
      const [, next = ''] = /^<(.*)>; rel="next"$/.exec(String(first.headers['link'])) ?? [];
      assert.deepEqual(JSON.parse((await ask(new URL(next, server.url).href)).text), {
        repositories: ['runtime/platform'],
      });
      await registry.stop();
      assert.equal((await ask(url)).statusCode, 502);
      await registry.start();
      assert.equal((await ask(url)).statusCode, 200);
    });
  },
);

interface Answer {
  readonly statusCode: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
}

/** Asks without any login. */
async function ask(url: string, options: Parameters<typeof request>[1] = {}): Promise<Answer> {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const { statusCode, headers, body } = await request(url, { dispatcher, ...options });
    return { statusCode, headers, text: await body.text() };
  } finally {
    await dispatcher.close();
  }
}

/** Waits until it has every index. */
function built(server: Regindexer): Promise<void> {
  return eventually(async () => assert.equal((await ask(`${server.url}/readyz`)).statusCode, 200));
}
