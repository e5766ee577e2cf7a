import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { LayoutRegistrySource } from '../../src/registry/layout/layout-registry-source.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { RawConnection } from './raw-connection.ts';
import { ADMIN_TOKEN, bearer, EVENTS_TOKEN, type TestServerOptions, TestServer } from './test-server.ts';

const FLATPAK_QUERY = '/index/static?label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest';

async function serve(
  t: TestContext,
  options: TestServerOptions = {},
): Promise<{ state: TestState; server: TestServer }> {
  const state = await TestState.open(t);
  state.registry.pushImage(
    'apps/clock',
    'latest',
    named('clock', { 'org.flatpak.ref': 'app/org.example.Clock/x86_64/stable' }),
  );
  const server = await TestServer.create(t, state, {
    pullSources: [new LayoutRegistrySource(SAMPLE_IMAGES)],
    ...options,
  });
  await server.rebuild();
  return { state, server };
}

test('sequential requests on one connection', async (t) => {
  const { server } = await serve(t);
  const port = await server.listen();

  await t.test('a request to upgrade to h2c is answered as HTTP/1.1, and the connection goes on', async () => {
    using connection = RawConnection.open(port);
    for (let i = 0; i < 2; i++) {
      connection.send(
        `GET ${FLATPAK_QUERY} HTTP/1.1\nHost: 127.0.0.1\nAccept-Encoding: gzip\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\n\n`,
      );
      const { statusCode, headers, body } = await connection.answer();
      assert.equal(statusCode, 200);
      assert.equal(headers['content-encoding'], 'gzip');
      assert.equal(headers['upgrade'], undefined);
      assert.equal(headers['content-length'], String(body.length));
    }
  });

  await t.test('a HEAD has no body, so that the next answer is the next', async () => {
    using connection = RawConnection.open(port);
    const digest = String(
      (await server.fastify.inject('/v2/apps/hello/manifests/latest')).headers['docker-content-digest'],
    );
    for (const path of [
      FLATPAK_QUERY,
      '/index/apps-file.json',
      '/index/dynamic?tag=x',
      '/status',
      '/healthz',
      '/v2/',
      '/v2/_catalog',
      '/v2/apps/hello/tags/list',
      `/v2/apps/hello/manifests/${digest}`,
      `/v2/apps/hello/blobs/${digest}`,
      '/none',
      '/v2/none',
    ]) {
      connection.send(`HEAD ${path} HTTP/1.1\nHost: a\n\nGET ${path} HTTP/1.1\nHost: a\n\n`);
      const head = await connection.answer(false);
      const get = await connection.answer();
      assert.equal(head.statusCode, get.statusCode, path);
      // The length differs with the event loop delay.
      if (path !== '/status') assert.equal(head.headers['content-length'], get.headers['content-length'], path);
      assert.ok(get.body.length > 0);
    }
  });

  await t.test('HTTP/1.0, pipelining, and a connection that the client wants closed', async () => {
    using old = RawConnection.open(port);
    old.send('GET /healthz HTTP/1.0\n\n');
    assert.match((await old.closed()).toString(), /^HTTP\/1\.1 200 OK\r\n[^]*\{"status":"ok"\}$/);
    using piped = RawConnection.open(port);
    piped.send(
      'GET /healthz HTTP/1.1\nHost: a\n\nGET /none HTTP/1.1\nHost: a\n\nGET /healthz HTTP/1.1\nHost: a\nConnection: close\n\n',
    );
    assert.deepEqual(
      [(await piped.answer()).statusCode, (await piped.answer()).statusCode, (await piped.answer()).statusCode],
      [200, 404, 200],
    );
    await piped.closed();
  });

  await t.test('requests that are not HTTP, or too large, get an error as JSON and are cut off', async () => {
    for (const [text, status] of [
      ['nonsense\n\n', 400],
      [`GET /index/static?tag=${'x'.repeat(20_000)} HTTP/1.1\nHost: a\n\n`, 431],
      [`GET /healthz HTTP/1.1\nHost: a\nX: ${'x'.repeat(20_000)}\n\n`, 431],
      ['POST /reindex HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n', 400],
    ] as const) {
      using connection = RawConnection.open(port);
      connection.send(text);
      const answer = await connection.answer();
      assert.equal(answer.statusCode, status, text.slice(0, 60));
      assert.equal((JSON.parse(answer.body.toString()) as { statusCode: number }).statusCode, status);
      await connection.closed();
    }
    await server.fastify.inject('/index/static');
    for (const path of ['/healthz', '/index/static', '/index/static']) {
      using connection = RawConnection.open(port);
      connection.send(`GET ${path} HTTP/1.1\n\n`);
      const answer = await connection.answer();
      assert.equal(answer.statusCode, 400, 'HTTP/1.1 has a Host');
      assert.match(answer.body.toString(), /"statusCode":400.*needs the header Host, once/);
      await connection.closed();
      using ambiguous = RawConnection.open(port);
      ambiguous.send(`GET ${path} HTTP/1.1\nHost: a\nHost: b\n\n`);
      assert.equal((await ambiguous.answer()).statusCode, 400, 'and only one');
    }
  });

  await t.test('a body over the limit is refused without being read', async () => {
    using connection = RawConnection.open(port);
    connection.send(
      `POST /reindex HTTP/1.1\nHost: a\nAuthorization: Bearer ${ADMIN_TOKEN}\nContent-Type: application/json\nContent-Length: 10000000000\n\n{`,
    );
    assert.equal((await connection.answer()).statusCode, 413);
    await connection.closed();
  });

  await t.test('OPTIONS * is answered', async () => {
    using connection = RawConnection.open(port);
    connection.send('OPTIONS * HTTP/1.1\nHost: a\n\n');
    assert.ok((await connection.answer()).statusCode < 500);
  });
});

test('stalled clients are cut off', async (t) => {
  const { state, server } = await serve(t, { patience: 300 });
  const port = await server.listen();
  const closed = async (text: string, more?: string): Promise<{ answer: string; ms: number }> => {
    using connection = RawConnection.open(port);
    const started = performance.now();
    connection.send(text);
    const trickle = setInterval(() => more !== undefined && connection.send(more), 20);
    const answer = (await connection.closed()).toString();
    clearInterval(trickle);
    return { answer, ms: performance.now() - started };
  };
  await t.test('that stall in the head, in the body, or before either', async () => {
    const post = 'POST /events HTTP/1.1\nHost: a\nAuthorization: Bearer the-events-token\nContent-Length: 100000\n\n';
    const answers = await Promise.all([
      closed('GET /healthz HTTP/1.1\nX: ', 'x'),
      closed(post, 'x'),
      closed(''),
      closed('G'),
    ]);
    for (const { ms } of answers) assert.ok(ms >= 250 && ms < 20_000, `${ms} ms`);
    for (const { answer } of answers) assert.match(answer, /^HTTP\/1\.1 408 [^]*"statusCode":408/);
  });
  await t.test('that do not read their answer', async (t2) => {
    for (let i = 0; i < 12; i++)
      state.registry.pushImage(`large/app${i}`, 'latest', named(`large${i}`, { text: 'text '.repeat(200_000) }));
    await server.rebuild();
    const connection = RawConnection.open(port);
    t2.after(() => connection.socket.destroy());
    connection.socket.pause();
    const accepted = once(server.fastify.server, 'connection') as Promise<[NodeJS.EventEmitter]>;
    connection.send('GET /index/apps-file.json HTTP/1.1\nHost: a\nAccept-Encoding: identity\n\n');
    const [socket] = await accepted;
    await once(socket, 'close');
  });
  await t.test('that do not read a pipelined answer', async (t2) => {
    const head = 'GET /index/apps-file.json HTTP/1.1\nHost: a\nAccept-Encoding: identity\n';
    using before = RawConnection.open(port);
    before.send(`${head}\n`);
    const { etag } = (await before.answer()).headers;
    // Once both answers are cached.
    before.send(`${head}If-None-Match: ${etag}\n\n`);
    assert.equal((await before.answer()).statusCode, 304);
    const connection = RawConnection.open(port);
    t2.after(() => connection.socket.destroy());
    connection.socket.pause();
    const accepted = once(server.fastify.server, 'connection') as Promise<[NodeJS.EventEmitter]>;
    connection.send(`${head}If-None-Match: ${etag}\n\n${head}\n`);
    const [socket] = await accepted;
    await once(socket, 'close', { signal: AbortSignal.timeout(20_000) });
  });
  await t.test('that read their answer too slowly', async (t2) => {
    const connection = RawConnection.open(port);
    t2.after(() => connection.socket.destroy());
    connection.socket.pause();
    const reading = setInterval(() => connection.socket.read(1), 20);
    const accepted = once(server.fastify.server, 'connection') as Promise<[NodeJS.EventEmitter]>;
    connection.send('GET /index/apps-file.json HTTP/1.1\nHost: a\nAccept-Encoding: identity\n\n');
    const [socket] = await accepted;
    await once(socket, 'close');
    clearInterval(reading);
  });
  await t.test('but not those that wait for a rebuild', async () => {
    const held = state.registry.hold({ method: 'repositories' });
    using connection = RawConnection.open(port);
    connection.send(
      `POST /reindex?wait=true HTTP/1.1\nHost: a\nAuthorization: Bearer ${ADMIN_TOKEN}\nContent-Length: 0\n\n`,
    );
    await held.reached;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    held.release();
    assert.equal((await connection.answer()).statusCode, 200);
  });
});

test('a shutdown waits for pending requests only', async (t) => {
  const { state, server } = await serve(t);
  const port = await server.listen();
  const held = state.registry.hold({ method: 'repositories' });
  using idle = RawConnection.open(port);
  idle.send('GET /healthz HTTP/1.1\nHost: a\n\n');
  await idle.answer();
  using waiting = RawConnection.open(port);
  waiting.send(
    `POST /reindex?wait=true HTTP/1.1\nHost: a\nAuthorization: Bearer ${ADMIN_TOKEN}\nContent-Length: 0\n\n`,
  );
  await held.reached;

  const stopped = server.server.close(60_000);
  await idle.closed();
  using late = RawConnection.open(port);
  assert.equal((await late.closed()).length, 0, 'nobody is let in any more');
  held.release();
  assert.equal((await waiting.answer()).statusCode, 200);
  await stopped;
  await waiting.closed();
});

test('a request that does not end is cut off at shutdown', async (t) => {
  const { state, server } = await serve(t);
  const port = await server.listen();
  const held = state.registry.hold({ method: 'repositories' });
  using waiting = RawConnection.open(port);
  waiting.send(
    `POST /reindex?wait=true HTTP/1.1\nHost: a\nAuthorization: Bearer ${ADMIN_TOKEN}\nContent-Length: 0\n\n`,
  );
  await held.reached;
  const started = performance.now();
  await server.server.close(200);
  assert.ok(performance.now() - started >= 190);
  assert.equal((await waiting.closed()).length, 0);
});

test('the number of connections is limited', async (t) => {
  const { server } = await serve(t, { maxConnections: 1, patience: 3000 });
  const port = await server.listen();
  using first = RawConnection.open(port);
  first.send('GET /healthz HTTP/1.1\nHost: a\n\n');
  await first.answer();
  const told = server.logged(/connections were closed at once/);
  using second = RawConnection.open(port);
  assert.equal((await second.closed()).length, 0);
  await told;
});

test('localhost means both of its addresses', async (t) => {
  const { server } = await serve(t);
  const port = await server.server.listen({ host: 'localhost', port: 0 });
  // Without IPv6, there is only the first.
  const loopbacks = Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.filter(({ internal }) => internal).map(({ address }) => address) ?? [],
  );
  for (const address of loopbacks.filter((one) => one === '127.0.0.1' || one === '::1')) {
    using connection = new RawConnection(connectTcp(port, address));
    connection.send('GET /healthz HTTP/1.1\nHost: a\n\n');
    assert.equal((await connection.answer()).statusCode, 200, address);
  }
});

test('a port in use and an unavailable address are errors that say what to do', async (t) => {
  const { server } = await serve(t);
  const other = createTcpServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  await assert.rejects(server.server.listen({ host: '127.0.0.1', port }), {
    code: 'EADDRINUSE',
    message: `cannot listen at 127.0.0.1, port ${port}: another program listens there; end it, or set server.port to another port`,
  });
  // Reserved for documentation (RFC 5737).
  await assert.rejects(server.server.listen({ host: '192.0.2.1', port: 0 }), {
    code: 'EADDRNOTAVAIL',
    message: /^cannot listen at 192\.0\.2\.1, port 0: .* set server\.host to /,
  });
});

/** Makes a request over HTTP/2. */
async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string,
): Promise<{ headers: IncomingHttpHeaders & { ':status'?: number }; body: Buffer }> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  const [answered] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { headers: answered, body: await buffer(stream) };
}

test('HTTPS, with HTTP/2 and HTTP/1.1', needs('openssl'), async (t) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
  t.after(() => folder.remove());
  const certificates = await makeCertificates(folder.path);
  const ca = await readFile(certificates.authority);
  const { state, server } = await serve(t, {
    tls: { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) },
    patience: 1000,
    keptAlive: 1500,
  });
  const { fastify } = server;
  const port = await server.listen();
  for (let i = 0; i < 5; i++)
    state.registry.pushImage(`large/app${i}`, 'latest', named(`large${i}`, { text: `text${i} `.repeat(50_000) }));
  await server.rebuild();

  let session = connectHttp2(`https://127.0.0.1:${port}`, { ca });
  t.after(() => session.destroy());
  await t.test('the same answers over both', async () => {
    const digest = String((await fastify.inject('/v2/apps/hello/manifests/latest')).headers['docker-content-digest']);
    for (const path of [
      FLATPAK_QUERY,
      '/index/apps-file.json',
      '/index/static?repository=large/app3',
      `/v2/apps/hello/blobs/${digest}`,
      '/v2/apps/hello/tags/list',
      '/none',
      '/v2/none',
      '/%zz',
    ]) {
      const injected = await fastify.inject({ url: path, headers: { 'accept-encoding': 'gzip' } });
      const two = await ask(session, { ':path': path, 'accept-encoding': 'gzip' });
      assert.deepEqual(
        [two.headers[':status'], two.headers.etag, two.body],
        [injected.statusCode, injected.headers.etag, injected.rawPayload],
        path,
      );
      const head = await ask(session, { ':path': path, ':method': 'HEAD', 'accept-encoding': 'gzip' });
      assert.deepEqual(
        [head.headers[':status'], head.headers['content-length'], head.body.length],
        [injected.statusCode, two.headers['content-length'], 0],
        path,
      );

      const { promise: one, resolve } = Promise.withResolvers<{
        statusCode: number | undefined;
        body: Promise<Buffer>;
      }>();
      httpsRequest({ host: '127.0.0.1', port, path, ca, headers: { 'accept-encoding': 'gzip' } }, (answer) =>
        resolve({ statusCode: answer.statusCode, body: buffer(answer) }),
      ).end();
      assert.equal((await one).statusCode, injected.statusCode);
      assert.deepEqual(await (await one).body, injected.rawPayload, path);
    }
    // HSTS.
    assert.equal(
      (await ask(session, { ':path': '/healthz' })).headers['strict-transport-security'],
      'max-age=31536000',
    );
    const fresh = await ask(session, {
      ':path': FLATPAK_QUERY,
      'if-none-match': String((await fastify.inject(FLATPAK_QUERY)).headers.etag),
    });
    assert.equal(fresh.headers[':status'], 304);
    assert.equal((await ask(session, { ':path': '/index/static', ':method': 'PUT' }, '{}')).headers[':status'], 405);
  });

  await t.test('bodies and tokens over HTTP/2', async () => {
    const post = { ':path': '/reindex?wait=true', ':method': 'POST', ...bearer(ADMIN_TOKEN) };
    assert.equal((await ask(session, post)).headers[':status'], 200);
    assert.equal(
      (await ask(session, { ...post, 'content-type': 'application/json' }, '{"index":"apps"}')).headers[':status'],
      200,
    );
    assert.equal((await ask(session, { ...post, 'content-type': 'application/json' })).headers[':status'], 200);
    assert.equal((await ask(session, { ...post, authorization: 'Bearer wrong' })).headers[':status'], 401);
  });

  await t.test('stalled requests over HTTP/1.1 are cut off with TLS too', async () => {
    using connection = new RawConnection(connectTls({ port, host: '127.0.0.1', ca, ALPNProtocols: ['http/1.1'] }));
    connection.send('GET /healthz HTTP/1.1\nX: ');
    assert.match((await connection.closed()).toString(), /^HTTP\/1\.1 408 /);
  });

  await t.test('clients that do not read over HTTP/1.1 are cut off with TLS too', async (t2) => {
    for (let i = 0; i < 12; i++)
      state.registry.pushImage(`larger/app${i}`, 'latest', named(`larger${i}`, { text: 'text '.repeat(200_000) }));
    await server.rebuild();
    const accepted = once(server.fastify.server, 'secureConnection') as Promise<[NodeJS.EventEmitter]>;
    const connection = new RawConnection(connectTls({ port, host: '127.0.0.1', ca, ALPNProtocols: ['http/1.1'] }));
    t2.after(() => connection.socket.destroy());
    const [socket] = await accepted;
    connection.socket.pause();
    connection.send('GET /index/apps-file.json HTTP/1.1\nHost: a\nAccept-Encoding: identity\n\n');
    await once(socket, 'close', { signal: AbortSignal.timeout(20_000) });
  });

  await t.test('stalled HTTP/2 clients are cut off: in requests, in reading, and when idle', async (t2) => {
    const other = connectHttp2(`https://127.0.0.1:${port}`, { ca, settings: { initialWindowSize: 1 } });
    t2.after(() => other.destroy());
    const ended = once(other, 'close');
    const slow = other.request(
      { ':path': '/events', ':method': 'POST', ...bearer(EVENTS_TOKEN), 'content-length': '100000' },
      { endStream: false },
    );
    const trickle = setInterval(() => slow.write('x'), 50);
    slow.once('close', () => clearInterval(trickle));
    const [refused] = (await once(slow, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
    assert.equal(refused[':status'], 408);
    slow.resume();
    await once(slow, 'close');

    const unread = other.request({ ':path': '/index/apps-file.json', 'accept-encoding': 'identity' });
    unread.on('error', () => undefined);
    await once(unread, 'response');
    await once(unread, 'close');
    assert.notEqual(unread.rstCode, constants.NGHTTP2_NO_ERROR);

    // The client is not idle, but does not ask for anything.
    const pings = setInterval(() => !other.destroyed && other.ping(() => undefined), 100);
    await ended;
    clearInterval(pings);
  });

  await t.test('a shutdown lets streams end, and cuts off others', async () => {
    // The previous session was closed as idle.
    if (!session.closed) await once(session, 'close');
    session = connectHttp2(`https://127.0.0.1:${port}`, { ca });
    const held = state.registry.hold({ method: 'repositories' });
    const waiting = session.request({ ':path': '/reindex?wait=true', ':method': 'POST', ...bearer(ADMIN_TOKEN) });
    const answered = once(waiting, 'response');
    waiting.resume();
    await held.reached;
    const other = connectHttp2(`https://127.0.0.1:${port}`, { ca });
    other.on('error', () => undefined);
    const never = other.request(
      { ':path': '/reindex', ':method': 'POST', ...bearer(ADMIN_TOKEN), 'content-type': 'application/json' },
      { endStream: false },
    );
    never.on('error', () => undefined);
    await once(other, 'remoteSettings');
    never.write('{');
    const stopped = server.server.close(500);
    held.release();
    const [headers] = (await answered) as [IncomingHttpHeaders & { ':status'?: number }];
    assert.equal(headers[':status'], 200);
    await Promise.all([stopped, once(never, 'close')]);
    assert.notEqual(never.rstCode, constants.NGHTTP2_NO_ERROR);
  });
});
