import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import type { HttpRegistryOptions } from '../../../src/registry/http/http-registry-source.ts';
import { pushSamples, SAMPLE_REPOSITORIES, type SampleRepository } from '../../fixtures/samples.ts';
import { makeCertificates, type Certificates } from '../../peers/certificates.ts';
import { startDockerRegistry, type DockerRegistry, type DockerRegistryOptions } from '../../peers/docker-registry.ts';
import { needs } from '../../peers/installed.ts';
import { startNginx } from '../../peers/nginx.ts';
import { runRegindexer } from '../../peers/regindexer.ts';
import { startTokenService } from '../../peers/token-service.ts';
import { named, startForwardProxy } from './forward-proxy.ts';
import { readRegistry } from './play-registry.ts';

suite('a real docker-registry', needs('docker-registry', 'skopeo', 'openssl', 'nginx'), () => {
  const resources = new AsyncDisposableStack();
  let folder: string;
  let certificates: Certificates;
  /** Anybody may read it. */
  let open: DockerRegistry;
  let digests: Record<SampleRepository, string>;
  before(async () => {
    folder = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-registry-'))).path;
    certificates = await makeCertificates(folder);
    open = resources.use(await startDockerRegistry());
    digests = await pushSamples(open.host);
  });
  after(() => resources.disposeAsync());

  /** Another registry with the same content. */
  function startWithSamples({ sections, ...options }: DockerRegistryOptions): Promise<DockerRegistry> {
    return startDockerRegistry({
      ...options,
      sections: { ...sections, storage: { filesystem: { rootdirectory: join(open.folder, 'storage') } } },
    });
  }

  /** Reads everything, down to configs. */
  async function readAll(t: TestContext, url: string, options: Partial<HttpRegistryOptions>): Promise<void> {
    const source = readRegistry(t, url, options);
    assert.deepEqual((await Array.fromAsync(source.repositories())).flat(), SAMPLE_REPOSITORIES);
    for (const repository of SAMPLE_REPOSITORIES) {
      assert.deepEqual(await source.tags(repository), ['latest']);
      const { digest } = await source.resolve(repository, 'latest');
      assert.equal(digest, digests[repository]);
      const manifest = await source.manifest(repository, digest);
      assert.equal(
        manifest.kind === 'image' && (await source.config(repository, manifest.config))?.architecture,
        'amd64',
      );
    }
  }

  /** A configuration with an index of the registry at `url`, whose token server is on this machine. */
  async function configure(name: string, url: string): Promise<string> {
    const path = join(folder, `${name}.yaml`);
    await writeFile(
      path,
      JSON.stringify({
        state_dir: `./${name}-state`,
        indexes: { apps: { registry: url, output: `./${name}.json` } },
        registries: { [url]: { private_redirects: true } },
      }),
    );
    return path;
  }

  /** An auth file as after a login. */
  async function authFile(name: string, auths: Readonly<Record<string, object>>): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, JSON.stringify({ auths }));
    return path;
  }

  test('that anybody may read', async (t) => {
    await readAll(t, open.url, {});
  });

  test('whose pages are smaller than what is asked for', async (t) => {
    await using registry = await startWithSamples({ sections: { catalog: { maxentries: 2 } } });
    assert.equal((await fetch(`${registry.url}/v2/_catalog?n=1000`)).status, 400);
    await readAll(t, registry.url, {});
  });

  test('that wants Basic credentials (htpasswd)', async (t) => {
    const login = { username: 'reader', password: 'p:ss wörd' };
    await using registry = await startWithSamples({ login });
    await readAll(t, registry.url, { credentials: login });
    const entry = { auth: Buffer.from(`${login.username}:${login.password}`).toString('base64') };
    await readAll(t, registry.url, {
      authFiles: [{ path: await authFile('basic.json', { [registry.host]: entry }), required: true }],
    });
    await assert.rejects(readRegistry(t, registry.url).tags('apps/hello'), {
      code: 'denied',
      message: /answered 401 \(UNAUTHORIZED/,
    });
    await assert.rejects(
      readRegistry(t, registry.url, { credentials: { ...login, password: 'wrong' } }).tags('apps/hello'),
      { code: 'denied' },
    );
    await assert.rejects(Array.fromAsync(readRegistry(t, registry.url).repositories()), { code: 'no-catalog' });
  });

  test('that is behind a front that wants a client certificate', async (t) => {
    await using front = await startNginx({
      tls: certificates,
      server: `ssl_client_certificate ${certificates.authority}; ssl_verify_client on;
        location / { proxy_pass ${open.url}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https; }`,
    });
    const { authority, clientCertificate, clientKey } = certificates;
    await readAll(t, front.url, { caFile: authority, clientCert: clientCertificate, clientKey });

    const its = join(folder, 'certs.d', `127.0.0.1:${front.port}`);
    await mkdir(its, { recursive: true });
    for (const [from, to] of [
      [authority, 'ca.crt'],
      [clientCertificate, 'client.cert'],
      [clientKey, 'client.key'],
    ] as const)
      await copyFile(from, join(its, to));
    await readAll(t, front.url, { certsDirs: [join(folder, 'nowhere'), join(folder, 'certs.d')] });

    await assert.rejects(readRegistry(t, front.url, { caFile: authority }).tags('apps/hello'), {
      code: 'malformed',
      message: /answered 400/,
    });
    await assert.rejects(readRegistry(t, front.url, { pauses: [] }).tags('apps/hello'), {
      code: 'unavailable',
      message: /not signed by a trusted authority/,
    });
  });

  test('that wants the tokens of a service, anonymously', async (t) => {
    await using service = await startTokenService({ certificates });
    await using registry = await startWithSamples(service.registry);
    await readAll(t, registry.url, {});
    const scopes = ['registry:catalog:*', ...SAMPLE_REPOSITORIES.map((repository) => `repository:${repository}:pull`)];
    assert.deepEqual(
      service.requests,
      scopes.map((scope) => ({ method: 'GET', scopes: [scope], user: undefined })),
    );
  });

  test('that wants the tokens of a service, for several users, by password and by identity token', async (t) => {
    const readers = { catalog: 'admin', 'apps/hello': 'helen', 'apps/clock': 'admin', 'runtime/platform': 'admin' };
    await using service = await startTokenService({ certificates, readers, passwords: { admin: 'secret' } });
    await using registry = await startWithSamples(service.registry);
    const path = await authFile('tokens.json', {
      [registry.host]: { auth: btoa('admin:secret') },
      [`${registry.host}/apps/hello`]: { identitytoken: 'identity-of-helen' },
    });
    await readAll(t, registry.url, { authFiles: [{ path, required: true }] });
    assert.deepEqual(
      service.requests.map(({ method, user }) => [method, user]),
      [
        ['GET', 'admin'],
        ['GET', 'admin'],
        ['POST', 'helen'],
        ['GET', 'admin'],
      ],
    );
    await assert.rejects(
      readRegistry(t, registry.url, { credentials: { username: 'admin', password: 'secret' } }).tags('apps/hello'),
      { code: 'denied' },
    );
    await assert.rejects(
      readRegistry(t, registry.url, { credentials: { username: 'admin', password: 'wrong' } }).tags('apps/hello'),
      {
        code: 'denied',
        message: /\/token: answered 401 \(UNAUTHORIZED: who are you\?\); the login is refused: check registries\./,
      },
    );
  });

  test('that does not know of the front with TLS before it, and redirects for tokens', async (t) => {
    const login = { username: 'helen', password: 'secret' };
    await using service = await startTokenService({
      certificates,
      readers: { 'apps/hello': login.username },
      passwords: { [login.username]: login.password },
    });
    const { auth, ...sections } = service.registry.sections as { readonly auth: { readonly token: object } };
    await using registry = await startWithSamples({
      sections: { ...sections, auth: { token: { ...auth.token, realm: 'http://127.0.0.1/token' } } },
    });
    await using front = await startNginx({
      tls: certificates,
      server: `location = /token { return 301 http://127.0.0.1/token/$is_args$args; }
        location /token/ { proxy_pass ${service.url}; }
        location / { proxy_pass ${registry.url}; proxy_set_header Host $http_host; }`,
    });
    await readAll(t, front.url, { caFile: certificates.authority, credentials: login });
    assert.deepEqual(new Set(service.requests.map(({ user }) => user)), new Set([login.username]));
  });

  test('whose tokens are good for a second', async (t) => {
    await using service = await startTokenService({ certificates, lifetime: 1 });
    await using registry = await startWithSamples(service.registry);
    const source = readRegistry(t, registry.url);
    const started = performance.now();
    while (service.requests.length < 4) {
      assert.deepEqual(await source.tags('apps/hello'), ['latest']);
      assert.ok(performance.now() - started < 30_000, 'the token was not renewed');
    }
    assert.ok(performance.now() - started > 2000);
  });

  test('through a forward proxy, behind a front with TLS', async (t) => {
    await using front = await startNginx({
      tls: certificates,
      server: `location / { proxy_pass ${open.url}; proxy_set_header Host $http_host; }`,
    });
    const proxy = await startForwardProxy(t, { login: 'user:secret' });
    const address = proxy.url.replace('//', '//user:secret@');
    const proxies = { http: address, https: address };
    await readAll(t, named(front.url), { caFile: certificates.authority, proxies });
    await readAll(t, named(open.url), { proxies });
    assert.deepEqual(
      new Set(proxy.seen.map(([request]) => request.split(' ')[0])),
      new Set(['CONNECT', 'HEAD', 'GET']),
    );
  });

  test('with all that the environment says, by the program itself', async (t) => {
    await using service = await startTokenService({
      certificates,
      readers: { 'apps/hello': 'helen' },
      passwords: { helen: 'secret' },
    });
    await using registry = await startWithSamples(service.registry);
    const proxy = await startForwardProxy(t);
    const url = named(registry.url);
    const path = await authFile('environment.json', { [new URL(url).host]: { auth: btoa('helen:secret') } });

    const anonymous = await runRegindexer(['-v', '-c', await configure('direct', registry.url), 'index']);
    assert.equal(anonymous.code, 1);
    assert.match(anonymous.stderr, /apps\/hello/);
    const proxied = await runRegindexer(['-v', '-c', await configure('proxied', url), 'index'], {
      REGISTRY_AUTH_FILE: path,
      HTTP_PROXY: proxy.url,
    });
    assert.equal(proxied.code, 0, proxied.stderr);
    assert.match(proxied.stdout, /^apps: 3 images/);
    assert.ok(proxy.seen.some(([request]) => request === `GET ${url}/v2/_catalog?n=1000`));
    for (const text of [anonymous, proxied].flatMap(({ stdout, stderr }) => [stdout, stderr]))
      assert.ok(!/secret|Bearer|Basic/.test(text), text);
  });
});
