import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { named, TestState } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { RawConnection } from './raw-connection.ts';
import { type TestServerOptions, TestServer } from './test-server.ts';

const IMAGES = 12;
/** More than socket buffers hold. */
const LARGE = 1_500_000;
/** Bytes that a streamed answer counts. */
const STREAM = 272 * 1024;

async function serve(t: TestContext, options: TestServerOptions, bytes = LARGE): Promise<TestServer> {
  const state = await TestState.open(t);
  for (let i = 0; i < IMAGES; i++)
    state.registry.pushImage(`apps/app${i}`, 'latest', named(`app${i}`, { text: `${i} `.padEnd(bytes, 'text ') }));
  state.registry.pushImage('apps/small', 'latest', named('small'));
  const server = await TestServer.create(t, state, options);
  await server.rebuild();
  return server;
}

/** Returns a question for all images but one, different from all others. */
function question(without: number, spelling: string): string {
  const repositories = Array.from({ length: IMAGES }, (_, i) => `repository=apps/app${i}`).filter(
    (_, i) => i !== without,
  );
  return `/index/dynamic?${[...repositories, 'tag=latest', `tag=${spelling}`].join('&')}`;
}

/** Makes a request, and reads only the status. */
async function askOnly(
  t: TestContext,
  port: number,
  path: string,
): Promise<{ status: number; head: string; socket: Socket }> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  const head = chunk.toString('latin1').split('\r\n\r\n', 1)[0] ?? '';
  return { status: Number(head.split(' ')[1]), head, socket };
}

test('unsent bytes of all clients together are limited', async (t) => {
  const server = await serve(t, { readers: { maxUnsent: 3.5 * STREAM } });
  const port = await server.listen();
  const waiting: Socket[] = [];
  for (const without of [0, 1, 2]) {
    const { status, socket } = await askOnly(t, port, question(without, 'none'));
    assert.equal(status, 200);
    waiting.push(socket);
  }
  const refused = await askOnly(t, port, question(3, 'none'));
  assert.equal(refused.status, 503);
  assert.match(refused.head, /^retry-after: 1$/m);
  assert.match(refused.head, /^cache-control: no-store$/m);
  assert.doesNotMatch(refused.head, /^etag:/m);
  // Small answers still have room.
  using other = RawConnection.open(port);
  other.send('GET /healthz HTTP/1.1\nHost: a\n\nGET /index/dynamic?repository=apps/small HTTP/1.1\nHost: a\n\n');
  assert.deepEqual([(await other.answer()).statusCode, (await other.answer()).statusCode], [200, 200]);

  for (const socket of waiting) socket.destroy();
  for (;;) if ((await askOnly(t, port, question(3, 'none'))).status === 200) break;
});

test('a body that is sent to several clients counts once', needs('openssl'), async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
  const certificates = await makeCertificates(folder.path);
  // Each body is joined once, and shared.
  const server = await serve(
    t,
    {
      tls: { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) },
      readers: { maxUnsent: 2_500_000 },
    },
    80_000,
  );
  const session = connectHttp2(`https://127.0.0.1:${await server.listen()}`, {
    ca: await readFile(certificates.authority),
    settings: { initialWindowSize: 0 },
  });
  t.after(() => session.destroy());
  const ask = async (path: string): Promise<number | undefined> => {
    const stream = session.request({ ':path': path });
    stream.on('error', () => undefined);
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
    return headers[':status'];
  };
  for (let i = 0; i < 8; i++) assert.equal(await ask(question(0, `none${i}`)), 200, 'the same bytes again');
  assert.equal(await ask(question(1, 'none')), 200);
  assert.equal(await ask(question(2, 'none')), 503);
});

test('stalled clients are cut off early where memory is scarce', async (t) => {
  const patience = 9_000;
  const server = await serve(t, { patience, readers: { maxUnsent: 2.5 * STREAM } });
  const port = await server.listen();
  for (const without of [0, 1]) await askOnly(t, port, question(without, 'none'));
  const began = performance.now();
  while ((await askOnly(t, port, question(2, 'none'))).status === 503);
  assert.ok(performance.now() - began < patience);
});

test('pipelined answers count until the connection closes', async (t) => {
  const server = await serve(t, { readers: { maxUnsent: 2.5 * STREAM } });
  const port = await server.listen();
  using connection = RawConnection.open(port);
  connection.socket.pause();
  const asked = [0, 1, 2].map((without) => `GET ${question(without, 'none')} HTTP/1.1\nHost: a\n\n`);
  connection.send(asked.join(''));
  const refused = async (): Promise<boolean> => (await askOnly(t, port, question(4, 'none'))).status === 503;
  while (!(await refused()));
  connection.socket.destroy();
  while (await refused());
});

test('clients that read nothing or too slowly are cut off within twice the patience', async (t) => {
  const patience = 1_200;
  const server = await serve(t, { patience });
  const port = await server.listen();
  const whole = 'GET /index/apps-file.json HTTP/1.1\nHost: a\nAccept-Encoding: identity\n\n';
  /** Resolves with how long the connection of a client lasts that reads so many bytes per tenth of a second. */
  const kept = async (request: string, bytes: number): Promise<number> => {
    const connection = RawConnection.open(port);
    t.after(() => connection.socket.destroy());
    connection.socket.pause();
    const accepted = once(server.fastify.server, 'connection') as Promise<[Socket]>;
    connection.send(request);
    const [socket] = await accepted;
    const reading = setInterval(() => bytes > 0 && connection.socket.read(bytes), 100);
    // From the first unread byte.
    while (socket.writableLength === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    const began = performance.now();
    await once(socket, 'close', { signal: AbortSignal.timeout(20_000) });
    clearInterval(reading);
    const ms = performance.now() - began;
    // Reset: the system has dropped its buffers.
    await assert.rejects(once(connection.socket.resume(), 'end'), { code: 'ECONNRESET' });
    return ms;
  };
  for (const [what, request, bytes] of [
    ['nothing', whole, 0],
    ['nothing of several answers', whole.repeat(5), 0],
    ['nothing behind small answers', `GET /healthz HTTP/1.1\nHost: a\n\n${whole}`, 0],
    ['little', whole, 10],
  ] as const) {
    const ms = await kept(request, bytes);
    assert.ok(ms >= patience * 0.9 && ms < 2 * patience, `${what}: ${ms} ms`);
  }
});

/** Resolves with how long an answer lasts of which so many bytes are read per tenth of a second. */
async function lasts(
  session: ClientHttp2Session,
  path: string,
  bytes: number,
  atMost: number,
): Promise<{ ms: number; code: number | undefined }> {
  const stream: ClientHttp2Stream = session.request(
    { ':path': path, 'accept-encoding': 'identity' },
    { endStream: true },
  );
  stream.on('error', () => undefined);
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
  assert.equal(headers[':status'], 200);
  const began = performance.now();
  const reading = setInterval(() => bytes > 0 && stream.read(bytes), 100);
  const timeout = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), atMost);
  await once(stream, 'close');
  clearInterval(reading);
  clearTimeout(timeout);
  return { ms: performance.now() - began, code: stream.rstCode };
}

test('over HTTP/2 the rate of each answer counts', needs('openssl'), async (t) => {
  const patience = 1_500;
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
  const certificates = await makeCertificates(folder.path);
  const ca = await readFile(certificates.authority);
  const server = await serve(t, {
    tls: { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) },
    patience,
  });
  const port = await server.listen();
  const open = (window: number): ClientHttp2Session => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ca, settings: { initialWindowSize: window } });
    t.after(() => session.destroy());
    session.on('error', () => undefined);
    return session;
  };
  const large = '/index/apps-file.json';
  const [nothing, small, little, enough] = await Promise.all([
    lasts(open(0), large, 0, 20_000),
    lasts(open(0), '/index/dynamic?repository=apps/small', 0, 20_000),
    lasts(open(64), large, 16, 20_000),
    // Several of the largest pieces in that time.
    lasts(open(65_535), large, 32_768, 4 * patience),
  ]);
  for (const [what, { ms, code }] of Object.entries({ nothing, small, little })) {
    assert.ok(ms >= patience * 0.9 && ms < 2 * patience, `${what}: ${ms} ms`);
    assert.equal(code, constants.NGHTTP2_CANCEL, what);
  }
  assert.equal(enough.code, constants.NGHTTP2_NO_ERROR, 'ended by the client');
  const session = open(65_535);
  const stream = session.request({ ':path': large, 'accept-encoding': 'identity' });
  assert.equal((JSON.parse(await text(stream)) as { Results: unknown[] }).Results.length, IMAGES + 1);
});
