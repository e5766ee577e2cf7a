import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { named, TestState } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { RawConnection } from './raw-connection.ts';
import { type TestServerOptions, TestServer } from './test-server.ts';

const FILE = '/apps.flatpakrepo';
const GOOD = [
  'apps.example.org',
  'apps.example.org:8443',
  'APPS.example.org.',
  'localhost:8080',
  '127.0.0.1',
  '[::1]:8080',
  '[2001:db8::1]',
  'my_container',
  'xn--bcher-kva.example',
];
const ODD = [
  '',
  ' ',
  'a b',
  'a/b',
  'a@b',
  'user:pass@example.org',
  'example.org/path',
  'example.org?x',
  'example.org#x',
  'example.org\\x',
  'a,b',
  'a"b',
  '<script>',
  "a'b",
  'a%2fb',
  'bücher.example',
  'example.org:',
  'example.org:x',
  'example.org:0',
  'example.org:65536',
  'example.org:80:80',
  '::1',
  '[::1',
  '[::1]x',
  '[zz]',
  '.',
  '..',
  'a..b',
  '.example.org',
  '1.2.3.999',
  `${'a'.repeat(64)}.org`,
  `${'a.'.repeat(130)}org`,
];

async function serve(t: TestContext, options: TestServerOptions = {}, baseUrl?: string): Promise<TestServer> {
  const state = await TestState.open(t);
  state.registry.pushImage(
    'apps/clock',
    'latest',
    named('clock', { 'org.flatpak.ref': 'app/org.example.Clock/x86_64/stable' }),
  );
  const description = { indexes: [{ name: 'apps', title: 'apps', remoteName: 'apps', signatures: false }], baseUrl };
  const server = await TestServer.create(t, state, { description, ...options });
  await server.rebuild();
  return server;
}

test('an invalid host gets 400, and never gets into a file', async (t) => {
  const port = await (await serve(t)).listen();
  for (const host of GOOD) {
    using connection = RawConnection.open(port);
    connection.send(`GET ${FILE} HTTP/1.1\nHost: ${host}\n\n`);
    const { statusCode, headers, body } = await connection.answer();
    assert.equal(statusCode, 200, host);
    assert.ok(body.toString().includes(`\nUrl=oci+http://${host}/apps\n`), host);
    assert.equal(headers['cache-control'], 'private, max-age=60', 'what a request has named is for nobody else');
  }
  for (const host of ODD) {
    // The second time, the answer could be cached.
    for (const path of [
      FILE,
      '/apps/org.example.Clock.flatpakref',
      '/index/apps-file.json',
      '/index/apps-file.json',
      '/none',
      '/healthz',
    ]) {
      using connection = RawConnection.open(port);
      connection.send(`GET ${path} HTTP/1.1\nHost: ${host}\n\n`);
      const { statusCode, body } = await connection.answer();
      assert.equal(statusCode, 400, `${path} for ${JSON.stringify(host)}`);
      assert.match(body.toString(), /"statusCode":400,.*Host/);
      await connection.closed();
    }
  }
  using old = RawConnection.open(port);
  old.send(`GET ${FILE} HTTP/1.0\n\n`);
  assert.match((await old.closed()).toString(), /^HTTP\/1\.1 400 /, 'HTTP/1.0 needs no host, but this file does');
});

test('X-Forwarded-Host and X-Forwarded-Proto are checked where they are trusted', async (t) => {
  const trusting = await serve(t, { trustProxy: true });
  const ask = (headers: Record<string, string>, server = trusting) => server.fastify.inject({ url: FILE, headers });
  const forwarded = await ask({ 'x-forwarded-host': 'apps.example.org', 'x-forwarded-proto': 'HTTPS' });
  assert.match(forwarded.payload, /^Url=oci\+https:\/\/apps\.example\.org\/apps$/m);
  for (const host of ODD.filter((odd) => odd.trim() !== '' && !odd.includes(','))) {
    const { statusCode, json } = await ask({ 'x-forwarded-host': host });
    assert.deepEqual([statusCode, /X-Forwarded-Host/.test(json<{ message: string }>().message)], [400, true], host);
  }
  for (const protocol of ['javascript', 'ftp', 'https:', 'https://evil.example/?', 'http\\']) {
    const { statusCode, json } = await ask({ 'x-forwarded-proto': protocol });
    assert.deepEqual(
      [statusCode, /X-Forwarded-Proto/.test(json<{ message: string }>().message)],
      [400, true],
      protocol,
    );
  }
  const plain = await ask({ 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'javascript' }, await serve(t));
  assert.match(
    plain.payload,
    /^Url=oci\+http:\/\/localhost:80\/apps$/m,
    'nobody is believed unless that is configured',
  );
});

test('a number of hops trusts that many proxies', async (t) => {
  const server = await serve(t, { trustProxy: 1 });
  const { payload } = await server.fastify.inject({
    url: FILE,
    headers: { 'x-forwarded-host': 'apps.example.org', 'x-forwarded-proto': 'https' },
  });
  assert.match(payload, /^Url=oci\+https:\/\/apps\.example\.org\/apps$/m);
});

test('with a base URL, files name it, and may be cached publicly', async (t) => {
  const server = await serve(t, { trustProxy: true }, 'https://apps.example.org');
  const { payload, headers } = await server.fastify.inject({
    url: FILE,
    headers: { 'x-forwarded-proto': 'javascript', 'x-forwarded-host': 'evil.example' },
  });
  assert.match(payload, /^Url=oci\+https:\/\/apps\.example\.org\/apps$/m);
  assert.equal(headers['cache-control'], 'public, max-age=60');
});

test(':authority and Host that differ get 400, as do requests without both', needs('openssl'), async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
  const certificates = await makeCertificates(folder.path);
  const ca = await readFile(certificates.authority);
  const server = await serve(t, {
    tls: { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) },
  });
  const port = await server.listen();
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ca });
  t.after(() => session.destroy());
  const status = async (headers: Record<string, string>): Promise<number | undefined> => {
    const stream = session.request({ ':path': FILE, ...headers });
    const [answered] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
    stream.resume();
    await once(stream, 'close');
    return answered[':status'];
  };
  assert.equal(await status({ ':authority': 'apps.example.org' }), 200);
  assert.equal(await status({ ':authority': 'apps.example.org', host: 'APPS.example.org' }), 200);
  assert.equal(
    await status({ ':authority': 'apps.example.org', host: 'apps.example.org:443' }),
    200,
    'the port of https',
  );
  for (const [authority, host] of [
    ['apps.example.org', 'evil.example'],
    ['apps.example.org', 'apps.example.org:8443'],
    ['a,b', ''],
    ['apps.example.org:0', ''],
  ] as const) {
    assert.equal(await status({ ':authority': authority, ...(host && { host }) }), 400, `${authority} and ${host}`);
  }
});
