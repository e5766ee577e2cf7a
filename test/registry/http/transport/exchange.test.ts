import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

const once1 = { pauses: [] };

/** A server that answers each connection's first bytes with `text` and, if `end`, ends the connection. */
async function playBytes(t: TestContext, text: string, end: boolean): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => (end ? socket.end(text) : socket.write(text)));
    t.after(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('requests say who asks, and ask for bytes as they are', async (t) => {
  let headers: Record<string, unknown> = {};
  const { url } = await playRegistry(t, (request, response) => {
    headers = request.headers;
    sendJson(response, { tags: [] });
  });
  await readRegistry(t, url, { userAgent: 'regindexer/1.2.3' }).tags('a');
  assert.equal(headers['user-agent'], 'regindexer/1.2.3');
  assert.equal(headers['accept-encoding'], 'identity');
  assert.equal(headers.authorization, undefined);
});

test('a registry that does not answer is unavailable after the time for a request', async (t) => {
  const { url, seen } = await playRegistry(t, () => {});
  await assert.rejects(readRegistry(t, url, { timeout: 100, ...once1 }).tags('a'), { code: 'unavailable', message: `GET ${url}/v2/a/tags/list: no whole answer within 0.1 s` });
  assert.equal(seen.length, 1);
});

test('an answer that drips is ended when the time for all of it is over', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write(' '), 20);
    response.on('close', () => {
      clearInterval(drip);
    });
  });
  await assert.rejects(readRegistry(t, url, { timeout: 200, ...once1 }).tags('a'), { code: 'unavailable', message: /no whole answer/ });
});

test('a host that nobody listens at is unavailable', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(readRegistry(t, `http://127.0.0.1:${port}`, once1).tags('a'), { code: 'unavailable', message: /ECONNREFUSED/ });
});

test('a registry that speaks plain HTTP where TLS is expected is told of as that', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { tags: [] }));
  await assert.rejects(readRegistry(t, url.replace('http:', 'https:'), once1).tags('a'), { code: 'unavailable', message: /: what came is no TLS; .* starts with http:\/\/$/ });
});

const broken: [string, string, boolean][] = [
  ['a body that stops half-way', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"tags":', true],
  ['a chunked body that stops half-way', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{"tags":\r\n', true],
  ['an answer that is no HTTP', 'hello\r\n\r\n', false],
  ['an end without an answer', '', true],
];
for (const [name, text, end] of broken) {
  test(`${name} is unavailable`, async (t) => {
    await assert.rejects(readRegistry(t, await playBytes(t, text, end), once1).tags('a'), { code: 'unavailable' });
  });
}

test('a body that is longer than announced is cut where it should end', async (t) => {
  const url = await playBytes(t, 'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"tags": []}{"tags": ["x"]}', false);
  const source = readRegistry(t, url);
  assert.deepEqual(await source.tags('a'), []);
  assert.deepEqual(await source.tags('a'), []);
});

test('headers of a mebibyte are refused by name', async (t) => {
  const url = await playBytes(t, `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1024 * 1024)}\r\ncontent-length: 0\r\n\r\n`, false);
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /headers/ });
});

test('a compressed answer, which was not asked for, is refused without unpacking it', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(1024 * 1024)));
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'malformed', message: /content-encoding gzip/ });
});

test('an endless explanation of an error is not waited for', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(404);
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x')));
      response.once('drain', more);
    };
    more();
  });
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'not-found' });
});

test('an abort ends a request at once, with the reason of the signal', async (t) => {
  const aborting = new AbortController();
  const reason = new Error('enough');
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(200).write('{');
    aborting.abort(reason);
  });
  const source = readRegistry(t, url);
  await assert.rejects(source.tags('a', aborting.signal), reason);
  await assert.rejects(source.tags('a', aborting.signal), reason);
  assert.equal(source.requests, 1);
});

test('closing ends what is under way', async (t) => {
  const { url } = await playRegistry(t, () => {
    void source.close();
  });
  const source = readRegistry(t, url, { pauses: [60_000] });
  await assert.rejects(source.tags('a'), { code: 'unavailable' });
  await assert.rejects(source.tags('a'), { code: 'unavailable', message: /closed/ });
});
