import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../../../src/registry/digest.ts';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

const BODY = JSON.stringify({ os: 'linux', architecture: 'amd64' });
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(BODY), size: BODY.length };
const CREDENTIALS = { username: 'user', password: 'secret' };
const BASIC = `Basic ${btoa('user:secret')}`;

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
  assert.deepEqual(sent, [BASIC, undefined]);
  assert.equal(source.requests, 2);
});

test('a challenge of another host for a login is not answered', async (t) => {
  const storage = await playRegistry(t, (_request, response) =>
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
  );
  const { url } = await playRegistry(t, (_request, response) =>
    response.writeHead(302, { location: `${storage.url}/blob?signature=x` }).end(),
  );
  await assert.rejects(
    readRegistry(t, url, { credentials: CREDENTIALS }).config('a', DESCRIPTOR),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'denied');
      assert.ok(!/signature|secret/.test(error.message), error.message);
      return true;
    },
  );
  assert.equal(storage.seen.length, 1);
});

test('a redirect within the API keeps the credentials', async (t) => {
  for (const prefix of ['', '/mirror']) {
    const { url } = await playRegistry(t, (request, response) => {
      if (request.url !== `${prefix}/v2/elsewhere`)
        response.writeHead(308, { location: `${prefix}/v2/elsewhere` }).end();
      else response.end(request.headers.authorization === BASIC ? BODY : '');
    });
    assert.equal(
      (await readRegistry(t, url + prefix, { credentials: CREDENTIALS }).config('a', DESCRIPTOR))?.os,
      'linux',
    );
  }
});

test('storage at the registry’s own host, outside the API, is shown neither a login nor a token', async (t) => {
  for (const scheme of ['Basic', 'Bearer']) {
    const { url } = await playRegistry(t, ({ url: path, headers: { authorization } }, response) => {
      if (path.startsWith('/token')) sendJson(response, { token: 'abc' });
      else if (path.startsWith('/storage/')) response.writeHead(authorization === undefined ? 200 : 400).end(BODY);
      else if (authorization === (scheme === 'Basic' ? BASIC : 'Bearer abc'))
        response.writeHead(302, { location: '/storage/v2/a/blobs/x' }).end();
      else response.writeHead(401, { 'www-authenticate': `${scheme} realm="${url}/token"` }).end();
    });
    const source = readRegistry(t, url, { credentials: CREDENTIALS });
    for (const _ of [1, 2]) assert.equal((await source.config('a', DESCRIPTOR))?.os, 'linux', scheme);
  }
});

test('a second registry gets an anonymous token of its own, for the repository that is read', async (t) => {
  const asked: string[] = [];
  const realm = await playRegistry(t, (request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    sendJson(response, { token: 'of-the-second' });
  });
  const second = await playRegistry(t, (request, response) => {
    if (request.headers.authorization === 'Bearer of-the-second') response.end(BODY);
    else
      response
        .writeHead(401, {
          'www-authenticate': `Bearer realm="${realm.url}/token",service="second",scope="repository:secret:pull,push"`,
        })
        .end();
  });
  const { url } = await playRegistry(t, (request, response) => {
    if (request.headers.authorization === BASIC)
      response.writeHead(307, { location: `${second.url}/v2/mirror/a/blobs/${DESCRIPTOR.digest}` }).end();
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  const source = readRegistry(t, url, { credentials: CREDENTIALS });
  for (const _ of [1, 2]) assert.equal((await source.config('a', DESCRIPTOR))?.os, 'linux');
  assert.deepEqual(asked, [`/token?service=second&scope=${encodeURIComponent('repository:mirror/a:pull')} undefined`]);
  assert.equal(second.seen.length, 3, 'the token is kept');
});

test('a loop of redirects is named', async (t) => {
  const { url, seen } = await playRegistry(t, (request, response) => {
    response.writeHead(302, { location: request.url === '/one' ? '/two' : '/one' }).end();
  });
  await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), {
    code: 'malformed',
    message: /in a loop, back to .*\/one/,
  });
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

test('a redirect without a valid Location is malformed', async (t) => {
  for (const location of [undefined, 'file:///etc/passwd', 'http://']) {
    const { url } = await playRegistry(t, (_request, response) =>
      response.writeHead(302, location === undefined ? {} : { location }).end(),
    );
    await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), { code: 'malformed', message: /Location/ });
  }
});

test('a Location of any length gives a message of limited length', async (t) => {
  const { url } = await playRegistry(t, (request, response) =>
    response.writeHead(302, { location: request.url.startsWith('/v2') ? `/${'x'.repeat(10_000)}` : request.url }).end(),
  );
  await assert.rejects(
    readRegistry(t, url).config('a', DESCRIPTOR),
    (error: Error) => error.message.length <= 2001 && error.message.startsWith(`GET ${url}/xxx`),
  );
});
