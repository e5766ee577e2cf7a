import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { createSecureServer, createServer as createHttp2Server } from 'node:http2';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../../../src/registry/digest.ts';
import { OCI_IMAGE_MANIFEST } from '../../../../src/registry/media-types.ts';
import { makeCertificates } from '../../../peers/certificates.ts';
import { needs } from '../../../peers/installed.ts';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';

const once1 = { pauses: [] };

/** A server that answers the first bytes of each connection with `text` and, if `end`, closes the connection. */
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

test('requests have a User-Agent, and accept only identity', async (t) => {
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

test('a registry that does not answer is unavailable after the timeout', async (t) => {
  const { url, seen } = await playRegistry(t, () => {});
  await assert.rejects(readRegistry(t, url, { timeout: 100, ...once1 }).tags('a'), {
    code: 'unavailable',
    message: `GET ${url}/v2/a/tags/list: no complete answer within 0.1 s`,
  });
  assert.equal(seen.length, 1);
});

test('a dripping answer ends at the timeout', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write(' '), 20);
    response.on('close', () => {
      clearInterval(drip);
    });
  });
  await assert.rejects(readRegistry(t, url, { timeout: 200, ...once1 }).tags('a'), {
    code: 'unavailable',
    message: /no complete answer/,
  });
});

test('a host that refuses connections is unavailable', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(readRegistry(t, `http://127.0.0.1:${port}`, once1).tags('a'), {
    code: 'unavailable',
    message: /ECONNREFUSED/,
  });
});

test('plain HTTP instead of TLS is named', async (t) => {
  const { url } = await playRegistry(t, (_request, response) => sendJson(response, { tags: [] }));
  await assert.rejects(readRegistry(t, url.replace('http:', 'https:'), once1).tags('a'), {
    code: 'unavailable',
    message: /: the server does not speak TLS on this port; .* start the URL with http:\/\/$/,
  });
});

const broken: [string, string, boolean][] = [
  ['a body that stops half-way', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"tags":', true],
  [
    'a chunked body that stops half-way',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{"tags":\r\n',
    true,
  ],
  ['an answer that is not HTTP', 'hello\r\n\r\n', false],
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
  const url = await playBytes(
    t,
    `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1024 * 1024)}\r\ncontent-length: 0\r\n\r\n`,
    false,
  );
  await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /headers/ });
});

suite('an answer that is compressed although identity was requested', () => {
  const CONFIG = JSON.stringify({ os: 'linux', architecture: 'amd64' });
  const DESCRIPTOR = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(CONFIG),
    size: CONFIG.length,
  };

  test('is decompressed', async (t) => {
    for (const encoding of ['gzip', 'x-gzip', 'GZIP']) {
      const { url } = await playRegistry(t, (_request, response) =>
        response.writeHead(200, { 'content-encoding': encoding }).end(gzipSync(CONFIG)),
      );
      assert.equal((await readRegistry(t, url).config('a', DESCRIPTOR))?.os, 'linux', encoding);
    }
  });

  test('explains a failure, too', async (t) => {
    for (const [body, reason] of [
      [gzipSync(JSON.stringify({ errors: [{ code: 'DENIED' }] })), ' \\(DENIED\\);'],
      [gzipSync('x').subarray(0, 12), ';'],
    ] as const) {
      const { url } = await playRegistry(t, (_request, response) =>
        response.writeHead(403, { 'content-encoding': 'gzip' }).end(body),
      );
      await assert.rejects(readRegistry(t, url).tags('a'), {
        code: 'denied',
        message: new RegExp(`answered 403${reason}`),
      });
    }
  });

  test('is not decompressed if only its header says so', async (t) => {
    const { url } = await playRegistry(t, (_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(CONFIG),
    );
    assert.equal((await readRegistry(t, url).config('a', DESCRIPTOR))?.os, 'linux');
  });

  test('has no length in the answer to a HEAD', async (t) => {
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_IMAGE_MANIFEST,
      config: DESCRIPTOR,
      layers: [],
    });
    const packed = gzipSync(manifest);
    const headers = {
      'content-encoding': 'gzip',
      'content-length': packed.length,
      'content-type': OCI_IMAGE_MANIFEST,
      'docker-content-digest': digestOf(manifest),
    };
    const { url } = await playRegistry(t, ({ method }, response) =>
      response.writeHead(200, headers).end(method === 'HEAD' ? undefined : packed),
    );
    assert.equal((await readRegistry(t, url).resolve('a', 'latest')).size, manifest.length);
  });

  test('is not decompressed beyond its limit', async (t) => {
    const { url } = await playRegistry(t, (_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(64 * 1024 * 1024))),
    );
    await assert.rejects(readRegistry(t, url).tags('a'), { code: 'too-large', message: /larger than/ });
  });

  test('is malformed if it cannot be decompressed', async (t) => {
    const packed = gzipSync(CONFIG);
    for (const [encoding, body] of [
      ['gzip', packed.subarray(0, -4)],
      ['br', packed],
    ] as const) {
      const { url } = await playRegistry(t, (_request, response) =>
        response.writeHead(200, { 'content-encoding': encoding }).end(body),
      );
      await assert.rejects(readRegistry(t, url).config('a', DESCRIPTOR), {
        code: 'malformed',
        message: new RegExp(`content-encoding ${encoding}, which was not requested`),
      });
    }
  });
});

/** Lets `server` listen until the test ends. Returns its port. */
async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

suite('a server that speaks only HTTP/2', needs('openssl'), () => {
  const advice = {
    code: 'unavailable',
    message: /\/v2\/a\/tags\/list: the server speaks only HTTP\/2; enable HTTP\/1\.1 in the server or proxy /,
  };
  test('is named over TLS', async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-http2-'));
    const { certificate, key, authority } = await makeCertificates(folder.path);
    const port = await listen(t, createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) }));
    await assert.rejects(
      readRegistry(t, `https://127.0.0.1:${port}`, { caFile: authority, ...once1 }).tags('a'),
      advice,
    );
  });

  test('is named without TLS', async (t) => {
    const port = await listen(t, createHttp2Server());
    await assert.rejects(readRegistry(t, `http://127.0.0.1:${port}`, once1).tags('a'), advice);
  });
});

test('an endless body of an error is cut off', async (t) => {
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

test('closing ends pending requests', async (t) => {
  const { url } = await playRegistry(t, () => {
    void source.close();
  });
  const source = readRegistry(t, url, { pauses: [60_000] });
  await assert.rejects(source.tags('a'), { code: 'unavailable' });
  await assert.rejects(source.tags('a'), { code: 'unavailable', message: /closed/ });
});
