import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { digestOf } from '../../../../src/registry/digest.ts';
import { isPrivateAddress } from '../../../../src/registry/http/access/private-addresses.ts';
import { named, startForwardProxy } from '../forward-proxy.ts';
import { playRegistry, readRegistry, sendJson, type Played } from '../play-registry.ts';

test('addresses of this machine and of inner networks are private, however they are written', () => {
  const inner = [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
  ];
  const inner6 = [
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '::10.0.0.1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'ff02::1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::192.168.0.1',
  ];
  for (const address of [...inner, ...inner6]) assert.equal(isPrivateAddress(address), true, address);
  for (const address of [
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.1',
    '100.63.0.1',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '192.167.1.1',
    '223.255.255.255',
    '2606:4700::1111',
    '::ffff:1.1.1.1',
    '64:ff9b::1.1.1.1',
    'registry.example.org',
  ])
    assert.equal(isPrivateAddress(address), false, address);
});

const BODY = JSON.stringify({ os: 'linux', architecture: 'amd64' });
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(BODY), size: BODY.length };

/** A registry that redirects to a store on this machine, also at a name that only a proxy can resolve. */
async function playRedirecting(
  t: TestContext,
): Promise<{ store: Played; inside: string; outside: string; proxies: { http: string } }> {
  const store = await playRegistry(t, (_request, response) => response.end(BODY));
  const registry = await playRegistry(t, ({ url }, response) => {
    const host = new URL(url, 'http://x').searchParams.get('at') ?? '127.0.0.1';
    response.writeHead(307, { location: `${store.url.replace('127.0.0.1', host)}/blob` }).end();
  });
  const proxy = await startForwardProxy(t);
  return { store, inside: registry.url, outside: named(registry.url), proxies: { http: proxy.url } };
}

suite('a redirect to a private address', () => {
  test('is followed if the registry is at one itself, or it is allowed', async (t) => {
    const { inside, outside, proxies } = await playRedirecting(t);
    assert.equal((await readRegistry(t, inside).config('a', DESCRIPTOR))?.os, 'linux');
    assert.equal(
      (await readRegistry(t, outside, { proxies, privateRedirects: true }).config('a', DESCRIPTOR))?.os,
      'linux',
    );
  });

  test('is not followed otherwise, and no request is sent there', async (t) => {
    const { store, inside, outside, proxies } = await playRedirecting(t);
    for (const [url, options] of [
      [outside, { proxies }],
      [inside, { privateRedirects: false }],
    ] as const) {
      await assert.rejects(readRegistry(t, url, options).config('a', DESCRIPTOR), {
        code: 'malformed',
        message: `GET ${store.url}/blob: 127.0.0.1 is at the private address 127.0.0.1, to which this registry may not lead; to allow it, set registries."${url}".private_redirects to true`,
      });
    }
    assert.deepEqual(store.seen, []);
  });

  test('is recognised by the addresses of its name, and in all spellings of an address', async (t) => {
    const store = await playRegistry(t, (_request, response) => response.end(BODY));
    let host = '';
    const registry = await playRegistry(t, (_request, response) =>
      response.writeHead(307, { location: `${store.url.replace('127.0.0.1', host)}/blob` }).end(),
    );
    for (host of ['localhost', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', '0', '[::1]']) {
      const proxy = await startForwardProxy(t);
      await assert.rejects(
        readRegistry(t, named(registry.url), { proxies: { http: proxy.url } }).config('a', DESCRIPTOR),
        { code: 'malformed', message: /is at the private address/ },
        host,
      );
    }
    assert.deepEqual(store.seen, []);
  });

  test('is not sent to a proxy either', async (t) => {
    const registry = await playRegistry(t, (_request, response) =>
      response.writeHead(307, { location: 'http://10.0.0.1/blob' }).end(),
    );
    const proxy = await startForwardProxy(t);
    await assert.rejects(
      readRegistry(t, named(registry.url), { proxies: { http: proxy.url } }).config('a', DESCRIPTOR),
      { code: 'malformed', message: /^GET http:\/\/10\.0\.0\.1\/blob: 10\.0\.0\.1 is at the private address/ },
    );
    assert.equal(proxy.seen.length, 1);
  });
});

test('the same rule holds for a token server at a private address', async (t) => {
  const realm = await playRegistry(t, (_request, response) => sendJson(response, { token: 'abc' }));
  const registry = await playRegistry(t, (request, response) => {
    if (request.headers.authorization === 'Bearer abc') sendJson(response, { tags: ['a'] });
    else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token"` }, 401);
  });
  const proxy = await startForwardProxy(t);
  const proxies = { http: proxy.url };
  await assert.rejects(
    readRegistry(t, named(registry.url), { proxies, credentials: { username: 'user', password: 'secret' } }).tags('a'),
    { code: 'malformed', message: /\/token: 127\.0\.0\.1 is at the private address/ },
  );
  assert.deepEqual(realm.seen, []);
  assert.deepEqual(await readRegistry(t, named(registry.url), { proxies, privateRedirects: true }).tags('a'), ['a']);
  assert.deepEqual(await readRegistry(t, registry.url).tags('a'), ['a']);
});
