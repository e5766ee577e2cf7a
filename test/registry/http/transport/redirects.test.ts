import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../../../src/registry/digest.ts';
import { playRegistry, readRegistry } from '../play-registry.ts';

const BODY = JSON.stringify({ os: 'linux', architecture: 'amd64' });
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(BODY), size: BODY.length };
const CREDENTIALS = { username: 'user', password: 'secret' };

test('a blob at another host is read there, without credentials', async (t) => {
  const sent: (string | undefined)[] = [];
  const storage = await playRegistry(t, (request, response) => {
    sent.push(request.headers.authorization);
    response.end(BODY);
  });
  const { url } = await playRegistry(t, (request, response) => {
    sent.push(request.headers.authorization);
    response.writeHead(307, { location: `${storage.url}/blob?signature=x` }).end();
  });
  const source = readRegistry(t, url, { credentials: CREDENTIALS });
  assert.equal((await source.config('a', DESCRIPTOR))?.os, 'linux');
  assert.deepEqual(storage.seen, ['GET /blob?signature=x']);
  assert.deepEqual(sent, [`Basic ${btoa('user:secret')}`, undefined]);
  assert.equal(source.requests, 2);
});

test('a challenge of another host is not answered', async (t) => {
  const storage = await playRegistry(t, (_request, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end());
  const { url } = await playRegistry(t, (_request, response) => response.writeHead(302, { location: `${storage.url}/blob?signature=x` }).end());
  await assert.rejects(readRegistry(t, url, { credentials: CREDENTIALS }).config('a', DESCRIPTOR), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'denied');
    assert.ok(!/signature|secret/.test(error.message), error.message);
    return true;
  });
  assert.equal(storage.seen.length, 1);
});

test('a redirect within the registry keeps the credentials', async (t) => {
  const { url } = await playRegistry(t, (request, response) => {
    if (request.url !== '/elsewhere') response.writeHead(308, { location: '/elsewhere' }).end();
    else response.end(request.headers.authorization === `Basic ${btoa('user:secret')}` ? BODY : '');
  });
  assert.equal((await readRegistry(t, url, { credentials: CREDENTIALS }).config('a', DESCRIPTOR))?.os, 'linux');
});

test('a loop of redirects is named', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    response.writeHead(302, { location: request.url === '/one' ? '/two' : '/one' }).end();
  });
  await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), { code: 'malformed', message: /in a loop, back to .*\/one/ });
  assert.equal(seen.length, 3);
});

test('five redirects are followed, and no more', async (t) => {
  let allowed = 5;
  const { url, seen } = await playRegistry(t, (_request, response) => {
    if (seen.length > allowed) response.end(BODY);
    else response.writeHead(302, { location: `/hop${seen.length}` }).end();
  });
  const source = readRegistry(t, url);
  assert.equal((await source.config('a', DESCRIPTOR))?.os, 'linux');
  allowed = Number.POSITIVE_INFINITY;
  await assert.rejects(source.config('a', DESCRIPTOR), { code: 'malformed', message: /more than 5 times/ });
  assert.equal(seen.length, 6 + 6);
});

test('a redirect to nowhere is malformed', async (t) => {
  for (const location of [undefined, 'file:///etc/passwd', 'http://']) {
    const { url } = await playRegistry(t, (_request, response) => response.writeHead(302, location === undefined ? {} : { location }).end());
    await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), { code: 'malformed', message: /Location/ });
  }
});

test('a place of any length leaves a message of some length', async (t) => {
  const { url } = await playRegistry(t, (request, response) => response.writeHead(302, { location: request.url.startsWith('/v2') ? `/${'x'.repeat(10_000)}` : request.url }).end());
  await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), (error: Error) => error.message.length <= 2001 && error.message.startsWith(`GET ${url}/xxx`));
});
