import assert from 'node:assert/strict';
import { copyFile, mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { pino } from 'pino';
import { Bus, type BusOptions } from '../../../src/triggers/bus/bus.ts';
import { makeCertificates } from '../../peers/certificates.ts';
import { needs } from '../../peers/installed.ts';
import { startBus } from './start-bus.ts';
import { accepting, StompServer, type Answer } from './stomp-server.ts';

async function startServer(t: TestContext, answer: Answer = accepting(), tls?: TlsOptions): Promise<StompServer> {
  const server = await StompServer.start(answer, tls);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

const FLATPAK = JSON.stringify({ topic: 'org.example.compose.complete', msg: { ctype: 'flatpak' } });

test('messages of the wanted content types trigger; all are acknowledged and counted', async (t) => {
  const server = await startServer(t);
  const { bus, triggers, triggered, lines, logged } = startBus(t, { urls: [server.url()] });
  await logged(/connected/);
  const peer = await server.peer(0);
  for (const [id, body] of [
    FLATPAK,
    '{"ctype":"container"}',
    '{"ctype":"rpm"}',
    'rebuild!',
    '{}',
    Buffer.alloc(1024 * 1024 + 1, ' '),
  ].entries()) {
    peer.message(String(id), body);
    await peer.acked(String(id));
  }
  await triggered(2);
  assert.deepEqual(triggers, ['bus: flatpak on /topic/x', 'bus: container on /topic/x']);
  assert.deepEqual(bus.status().messages, { triggered: 2, ignored: 1, malformed: 3 });
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    [`bus: connected to ${server.url()}`, 'bus: ignored a malformed message on /topic/x: not JSON'],
    'malformed messages are logged once a minute',
  );
});

test('with any, every message triggers', async (t) => {
  const server = await startServer(t);
  const { bus, triggers, logged } = startBus(t, { urls: [server.url()], contentTypes: 'any' });
  await logged(/connected/);
  const peer = await server.peer(0);
  for (const [id, body] of ['{"ctype":"rpm"}', 'rebuild!', ''].entries()) peer.message(String(id), body);
  await peer.acked('2');
  assert.deepEqual(
    [triggers.length, triggers[0], bus.status().messages.triggered],
    [3, 'bus: a message on /topic/x', 3],
  );
});

test('a message is not acknowledged if its rebuild could not be queued', async (t) => {
  const server = await startServer(t);
  let stopping = true;
  const { bus, logged } = startBus(t, {
    urls: [server.url()],
    onTrigger: () => {
      if (stopping) throw new Error('the service is stopping');
    },
  });
  await logged(/connected/);
  const peer = await server.peer(0);
  peer.message('1', FLATPAK);
  await logged(/could not request/);
  stopping = false;
  peer.message('2', FLATPAK);
  await peer.acked('2');
  assert.deepEqual(peer.frames.filter(({ command }) => command === 'ACK').length, 1);
  assert.equal(bus.status().messages.triggered, 1);
});

test('a reconnect triggers a rebuild, the first connection only if configured', async (t) => {
  const server = await startServer(t);
  const { bus, triggers, triggered, logged } = startBus(t, { urls: [server.url()] });
  await logged(/connected/);
  assert.deepEqual([triggers, bus.status().state, bus.status().reconnects], [[], 'connected', 0]);

  (await server.peer(0)).socket.destroy();
  await triggered(1);
  assert.match(triggers[0] ?? '', /^bus: connected/);
  assert.deepEqual(
    [bus.status().state, bus.status().reconnects, bus.status().lastError?.message],
    ['connected', 1, 'the broker closed the connection'],
  );
  await logged(/lost the connection to .*the broker closed the connection/);

  const first = startBus(t, { urls: [server.url()], firstConnectionTriggers: true });
  await first.triggered(1);
});

test('a connection without heart-beats is closed and made again', async (t) => {
  const server = await startServer(t, accepting('50,50'));
  const { triggered, logged } = startBus(t, { urls: [server.url()], heartbeat: 50 });
  await triggered(2);
  await logged(/has stopped sending heart-beats/);
  assert.ok(server.connections >= 3);
});

test('the next broker of the list is tried at once', async (t) => {
  const gone = await startServer(t);
  const url = gone.url();
  await gone[Symbol.asyncDispose]();
  const server = await startServer(t);
  const { bus, logged } = startBus(t, { urls: [url, server.url()], pauses: { first: 600_000, longest: 600_000 } });
  await logged(/connected/);
  assert.equal(bus.status().url, server.url());
  await logged(/cannot connect to .*ECONNREFUSED/);
});

test('a broker is retried for ever, and its error is logged once', async (t) => {
  const server = await startServer(t, (peer) =>
    peer.send('ERROR', { message: 'Bad CONNECT' }, 'Access refused for user me'),
  );
  const url = server.url({ credentials: 'me:s3cret@', path: '/fedora' });
  const { bus, lines } = startBus(t, { urls: [url], pauses: { first: 1, longest: 5 } });
  await server.peer(20);
  const status = bus.status();
  assert.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [
      [
        50,
        `bus: ${server.url({ path: '/fedora' })} refuses the connection as me to the virtual host fedora: Bad CONNECT: Access refused for user me. Check login, passcode and virtual host in bus.url`,
      ],
    ],
  );
  assert.equal(status.state, 'connecting');
  assert.doesNotMatch(JSON.stringify([status, lines]), /s3cret/);
});

test('a connection that is lost at once is made again with backoff', async (t) => {
  const server = await startServer(t, (peer, frame) => {
    accepting()(peer, frame);
    if (frame.command === 'SUBSCRIBE') peer.socket.end();
  });
  const arrivals: number[] = [];
  startBus(t, { urls: [server.url()], pauses: { first: 20, longest: 100_000 } });
  for (let position = 0; position < 6; position++) {
    await server.peer(position);
    arrivals.push(performance.now());
  }
  // At least half of 20, 40, 80, 160 and 320 ms: the rest is jitter.
  assert.ok((arrivals[5] ?? 0) - (arrivals[0] ?? 0) >= 310);
});

test('closing disconnects, and stops retrying', async (t) => {
  const server = await startServer(t);
  const { bus, logged } = startBus(t, { urls: [server.url()] });
  await logged(/connected/);
  await bus.close();
  assert.equal(bus.status().state, 'closed');
  assert.equal((await server.peer(0)).frames.at(-1)?.command, 'DISCONNECT');

  const deaf = await startServer(t, () => undefined);
  const waiting = startBus(t, { urls: [deaf.url()] });
  await deaf.peer(0);
  await waiting.bus.close();
  const pausing = startBus(t, { urls: ['stomp://127.0.0.1:1'], pauses: { first: 600_000, longest: 600_000 } });
  await pausing.logged(/cannot connect/);
  await pausing.bus.close();
});

test('wrong options are refused', () => {
  const options: BusOptions = {
    urls: ['stomp://x'],
    destinations: [],
    contentTypes: [],
    exchange: 'amq.topic',
    keepSetting: async (_key, value) => value,
    onTrigger: () => undefined,
    logger: pino({ level: 'silent' }),
  };
  assert.throws(() => new Bus({ ...options, urls: [] }), TypeError);
  assert.throws(() => new Bus({ ...options, urls: ['http://x'] }), TypeError);
  assert.throws(() => new Bus({ ...options, headers: { 'client-id': 'a\nb' } }), TypeError);
  const durable = { headers: { id: 'one' } };
  assert.throws(
    () =>
      new Bus({
        ...options,
        destinations: [
          { destination: 'a', ...durable },
          { destination: 'b', ...durable },
        ],
      }),
    /two destinations .* "one"/,
  );
});

test(
  'TLS: the broker is known by its authority, the client by its certificate, both read anew for each connection',
  needs('openssl'),
  async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-bus-'));
    const { authority, certificate, key, clientCertificate, clientKey } = await makeCertificates(folder.path);
    const server = await startServer(t, accepting(), {
      ca: await readFile(authority),
      cert: await readFile(certificate),
      key: await readFile(key),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const urls = [server.url({ host: 'localhost' })];

    const stranger = startBus(t, { urls });
    await stranger.logged(/cannot connect to stomps:.*certificate/);
    const nobody = startBus(t, { urls, caFile: authority });
    await nobody.logged(/cannot connect to stomps:/);

    const later = join(folder.path, 'later.crt');
    const client = startBus(t, { urls, caFile: authority, clientCert: later, clientKey });
    await client.logged(/cannot connect to .*ENOENT.*later\.crt/);
    await copyFile(clientCertificate, later);
    await client.logged(/connected to stomps:/);
  },
);
