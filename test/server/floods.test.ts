import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { request } from 'undici';
import { named, TestState } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { TestServer } from './test-server.ts';

const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const END_OF_HEADERS_AND_STREAM = 5;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const CANCEL = Buffer.from([0, 0, 0, 8]);

/** Encodes a frame of HTTP/2 (RFC 9113, section 4.1). */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Encodes a GET; header fields are literals, except those of the static table (RFC 7541, appendix A). */
function get(stream: number, path: string): Buffer {
  return frame(
    HEADERS,
    END_OF_HEADERS_AND_STREAM,
    stream,
    Buffer.concat([Buffer.from([0x82, 0x87, 0x04, path.length]), Buffer.from(path), Buffer.from([0x01, 1, 0x61])]),
  );
}

test(
  'an HTTP/2 connection that resets streams in bulk is closed, and its requests are not handled',
  needs('openssl'),
  async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
    const certificates = await makeCertificates(folder.path);
    const ca = await readFile(certificates.authority);
    const state = await TestState.open(t);
    state.registry.pushImage('apps/clock', 'latest', named('clock'));
    let asked = 0;
    const server = await TestServer.create(t, state, {
      tls: { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) },
      maxBodyBytes: 1,
      readBody: (read) => {
        asked++;
        return read();
      },
    });
    await server.rebuild();
    const port = await server.listen();

    const socket = connectTls({ port, host: '127.0.0.1', ca, ALPNProtocols: ['h2'] });
    t.after(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'secureConnect');
    const floods = Array.from({ length: 5000 }, (_, i) => [
      get(2 * i + 1, `/index/dynamic?tag=${i}`),
      frame(RST_STREAM, 0, 2 * i + 1, CANCEL),
    ]).flat();
    socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0, Buffer.alloc(0)), ...floods]));
    await once(socket, 'close', { signal: AbortSignal.timeout(10_000) });
    assert.ok(asked < 50, `${asked} were worked out`);

    // A connection that opens many streams and reads the answers stays.
    const session = connectHttp2(`https://127.0.0.1:${port}`, { ca });
    t.after(() => session.destroy());
    for (let round = 0; round < 10; round++) {
      const answers = Array.from({ length: 90 }, async () => {
        const stream = session.request({ ':path': '/index/dynamic?tag=latest' });
        const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
        stream.resume();
        await once(stream, 'close');
        return headers[':status'];
      });
      assert.deepEqual(new Set(await Promise.all(answers)), new Set([200]));
    }
  },
);

test('the event streams of one address are limited', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t), { trustProxy: true });
  const port = await server.listen();
  const streams: AsyncDisposable[] = [];
  t.after(() => Promise.all(streams.map((stream) => stream[Symbol.asyncDispose]())));
  const follow = async (address: string): Promise<number> => {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/api/events`, {
      headers: { 'x-forwarded-for': address },
    });
    body.on('error', () => undefined);
    streams.push(body);
    return statusCode;
  };
  for (let i = 0; i < 40; i++) assert.equal(await follow(`2001:db8::${i + 1}`), 200);
  assert.equal(await follow('2001:db8::ff'), 503, 'the same network');
  assert.equal(await follow('2001:db8:1::1'), 200);
  await streams.pop()?.[Symbol.asyncDispose]();
  await streams.pop()?.[Symbol.asyncDispose]();
  await streams.pop()?.[Symbol.asyncDispose]();
  for (;;) if ((await follow('2001:db8::ff')) === 200) break;
});
