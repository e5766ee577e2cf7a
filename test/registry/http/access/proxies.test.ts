import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { makeCertificates, type Certificates } from '../../../peers/certificates.ts';
import { needs } from '../../../peers/installed.ts';
import { Proxies } from '../../../../src/registry/http/access/proxies.ts';
import { named, startForwardProxy } from '../forward-proxy.ts';
import { playRegistry, readRegistry, sendJson, type Answer, type Played } from '../play-registry.ts';
import { playSecurely } from './play-securely.ts';

/** A registry at a name that only the proxy can resolve. */
async function playNamed(t: TestContext, answer: Answer): Promise<Played> {
  const played = await playRegistry(t, answer);
  return { ...played, url: named(played.url) };
}

test('a registry with http is read through the proxy, over connections that are kept', async (t) => {
  const proxy = await startForwardProxy(t);
  const { url, connections } = await playNamed(t, (request, response) =>
    sendJson(response, { tags: [`_${request.headers.host?.replace(':', '.')}`] }),
  );
  const source = readRegistry(t, url, { concurrency: 2, proxies: { http: proxy.url, https: 'http://127.0.0.1:1' } });
  const tag = `_${new URL(url).host.replace(':', '.')}`;
  const answers = await Promise.all(Array.from({ length: 20 }, () => source.tags('a')));
  assert.deepEqual(
    answers,
    Array.from({ length: 20 }, () => [tag]),
  );
  assert.deepEqual(new Set(proxy.seen.map(([request]) => request)), new Set([`GET ${url}/v2/a/tags/list?n=1000`]));
  assert.equal(proxy.seen.length, 20);
  assert.equal(proxy.connections(), 2);
  assert.ok(connections() > 0);
});

test('hosts of NO_PROXY are reached directly, and others through the proxy', async (t) => {
  const proxy = await startForwardProxy(t);
  const { url } = await playNamed(t, (_request, response) => sendJson(response, { tags: ['a'] }));
  await assert.rejects(
    readRegistry(t, url, { pauses: [], proxies: { http: proxy.url, none: 'example.org,registry.test' } }).tags('a'),
    { code: 'unavailable', message: /registry\.test/ },
  );
  assert.deepEqual(proxy.seen, []);
  assert.deepEqual(await readRegistry(t, url, { proxies: { http: proxy.url, none: 'example.org' } }).tags('a'), ['a']);
});

test('this machine is reached directly, whatever NO_PROXY says', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { tags: ['a'] }));
  const proxies = { http: 'http://127.0.0.1:1', https: 'http://127.0.0.1:1', none: 'example.org' };
  for (const name of ['127.0.0.1', 'localhost', 'LOCALHOST', '127.1'])
    assert.deepEqual(await readRegistry(t, url.replace('127.0.0.1', name), { proxies }).tags('a'), ['a'], name);
  const chosen = new Proxies(proxies);
  for (const origin of ['http://127.9.9.9', 'https://[::1]:5000', 'http://[::ffff:127.0.0.1]', 'https://localhost.'])
    assert.equal(chosen.proxyFor(origin), undefined, origin);
  for (const origin of ['http://128.0.0.1', 'https://[::2]', 'http://localhost.example.com', 'http://10.0.0.1'])
    assert.equal(chosen.proxyFor(origin)?.port, '1', origin);
});

test('a redirect is followed through the proxy of where it leads, without credentials', async (t) => {
  const authorizations: (string | undefined)[] = [];
  const proxy = await startForwardProxy(t);
  const elsewhere = await playNamed(t, (request, response) => {
    authorizations.push(request.headers.authorization);
    sendJson(response, { tags: ['a'] });
  });
  const { url } = await playNamed(t, (_request, response) =>
    response.writeHead(307, { location: `${elsewhere.url}/tags` }).end(),
  );
  const source = readRegistry(t, url, {
    credentials: { username: 'user', password: 'secret' },
    proxies: { http: proxy.url },
  });
  assert.deepEqual(await source.tags('a'), ['a']);
  assert.deepEqual(proxy.seen, [
    [`GET ${url}/v2/a/tags/list?n=1000`, undefined],
    [`GET ${elsewhere.url}/tags`, undefined],
  ]);
  assert.deepEqual(authorizations, [undefined]);
});

test('the login of a proxy is sent to it alone, and is in no message', async (t) => {
  const proxy = await startForwardProxy(t, { login: 'us@er:p@ss%' });
  const { url } = await playNamed(t, (request, response) =>
    sendJson(response, { tags: ['proxy-authorization' in request.headers ? 'told' : 'not-told'] }),
  );
  const address = new URL(proxy.url);
  const right = `http://us%40er:p%40ss%25@${address.host}`;
  assert.deepEqual(await readRegistry(t, url, { proxies: { http: right } }).tags('a'), ['not-told']);

  const nameless = await startForwardProxy(t, { login: ':token' });
  assert.deepEqual(
    await readRegistry(t, url, { proxies: { http: nameless.url.replace('//', '//:token@') } }).tags('a'),
    ['not-told'],
  );

  const wrong = `http://hunter1:hunter2@${address.host}`;
  await assert.rejects(
    readRegistry(t, url, { proxies: { http: wrong } }).tags('a'),
    (error: Error) => /answered 407/.test(error.message) && !error.message.includes('hunter'),
  );
});

test('a proxy that is invalid or cannot be reached is named, without its login', async (t) => {
  const { url } = await playNamed(t, (_request, response) => sendJson(response, { tags: [] }));
  for (const [http, reason] of [
    ['http://hunter1:hunter2@127.0.0.1:1', /ECONNREFUSED/],
    ['socks5://hunter1:hunter2@127.0.0.1:1', /HTTP_PROXY is not the URL of a proxy, expected http:\/\/HOST:PORT/],
    ['hunter1:hunter2', /HTTP_PROXY is not the URL of a proxy/],
  ] as const) {
    await assert.rejects(
      readRegistry(t, url, { pauses: [], proxies: { http } }).tags('a'),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'unavailable');
        assert.match(error.message, reason);
        assert.ok(!error.message.includes('hunter'), error.message);
        return true;
      },
    );
  }
});

suite('registries with https, through a proxy', needs('openssl'), () => {
  let folder: DisposableTempDir;
  let certificates: Certificates;
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
    certificates = await makeCertificates(folder.path);
  });
  after(() => folder.remove());

  /** Trusts the test's authority, and uses a client certificate. */
  const access = () => ({
    caFile: certificates.authority,
    clientCert: certificates.clientCertificate,
    clientKey: certificates.clientKey,
  });

  async function playNamedSecurely(t: TestContext): ReturnType<typeof playSecurely> {
    const played = await playSecurely(t, certificates);
    return { ...played, url: named(played.url), host: named(played.host) };
  }

  test('TLS is spoken with the registry itself, in as many tunnels as there may be requests at once', async (t) => {
    const proxy = await startForwardProxy(t, { login: 'user:secret' });
    const { url, host, connections } = await playNamedSecurely(t);
    const source = readRegistry(t, url, {
      ...access(),
      concurrency: 2,
      proxies: { https: proxy.url.replace('//', '//user:secret@') },
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => source.tags('a')));
    assert.deepEqual(
      answers,
      Array.from({ length: 20 }, () => ['regindexer-test-client']),
    );
    assert.deepEqual(
      proxy.seen,
      Array.from({ length: 2 }, () => [`CONNECT ${host}`, 'user:secret']),
    );
    assert.equal(connections(), 2);
  });

  test('the proxy may speak TLS too, and is not shown the client’s certificate', async (t) => {
    const { certificate, key, authority } = certificates;
    const tls = {
      cert: readFileSync(certificate),
      key: readFileSync(key),
      ca: readFileSync(authority),
      requestCert: true,
      rejectUnauthorized: false,
    };
    const proxy = await startForwardProxy(t, { tls });
    const secure = await playNamedSecurely(t);
    const plain = await playNamed(t, (_request, response) => sendJson(response, { tags: ['plain'] }));
    const proxies = { http: proxy.url, https: proxy.url };
    assert.deepEqual(await readRegistry(t, secure.url, { ...access(), proxies }).tags('a'), ['regindexer-test-client']);
    assert.deepEqual(await readRegistry(t, plain.url, { ...access(), proxies }).tags('a'), ['plain']);
    assert.deepEqual(
      proxy.seen.map(([request]) => request),
      [`CONNECT ${secure.host}`, `GET ${plain.url}/v2/a/tags/list?n=1000`],
    );
  });

  test('a tunnel that the proxy refuses or breaks is reported, and retried', async (t) => {
    const proxy = await startForwardProxy(t, { login: 'user:secret' });
    const { url, host, seen } = await playNamedSecurely(t);
    const source = readRegistry(t, url, {
      ...access(),
      pauses: [1],
      proxies: { https: proxy.url.replace('//', '//user:hunter2@') },
    });
    await assert.rejects(source.tags('a'), {
      code: 'unavailable',
      message: `GET ${url}/v2/a/tags/list: the proxy ${proxy.url} answered 407 to CONNECT ${host}`,
    });
    assert.equal(proxy.seen.length, 2);
    assert.deepEqual(seen, []);
    await assert.rejects(
      readRegistry(t, url, { ...access(), pauses: [1], proxies: { https: 'http://user:hunter2@127.0.0.1:1' } }).tags(
        'a',
      ),
      {
        code: 'unavailable',
        message: `GET ${url}/v2/a/tags/list: the proxy http://127.0.0.1:1 did not open a tunnel to ${host}: connect ECONNREFUSED 127.0.0.1:1`,
      },
    );
  });

  test('a proxy that does not answer ends with the timeout of the request', async (t) => {
    const silent = createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
    t.after(() => silent.close());
    await once(silent, 'listening');
    const { url } = await playNamedSecurely(t);
    const source = readRegistry(t, url, {
      ...access(),
      timeout: 200,
      pauses: [],
      proxies: { https: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` },
    });
    await assert.rejects(source.tags('a'), { code: 'unavailable', message: /no complete answer within 0.2 s/ });
  });
});
