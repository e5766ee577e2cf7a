import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Bus, type BusOptions } from '../../../src/triggers/bus/bus.ts';
import { pino } from 'pino';
import { accepting, StompServer, type Answer } from './stomp-server.ts';
import type { TlsOptions } from 'node:tls';

/** A bus that begins to connect, and what it asks for and logs. */
function startBus(t: TestContext, options: Partial<BusOptions> & Pick<BusOptions, 'urls'>) {
  const happened = new EventEmitter<{ trigger: []; line: [] }>();
  const triggers: string[] = [];
  const lines: { readonly level: number; readonly msg: string; readonly omitted?: number }[] = [];
  const logger = pino({}, {
    write: (line) => {
      lines.push(JSON.parse(line) as (typeof lines)[number]);
      happened.emit('line');
    },
  });
  const bus = new Bus({
    destinations: [{ destination: '/topic/x' }],
    contentTypes: ['container', 'flatpak'],
    firstConnectionTriggers: false,
    pauses: { first: 20, longest: 500 },
    onTrigger: (reason) => {
      triggers.push(reason);
      happened.emit('trigger');
    },
    logger,
    ...options,
  });
  bus.start();
  t.after(() => bus.close());
  /** Waits for so many triggers. */
  const triggered = async (count: number): Promise<void> => {
    while (triggers.length < count) await once(happened, 'trigger');
  };
  const logged = async (pattern: RegExp) => {
    for (;;) {
      const line = lines.find(({ msg }) => pattern.test(msg));
      if (line !== undefined) return line;
      await once(happened, 'line');
    }
  };
  return { bus, triggers, lines, triggered, logged };
}

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
  for (const [id, body] of [FLATPAK, '{"ctype":"container"}', '{"ctype":"rpm"}', 'rebuild!', '{}', Buffer.alloc(1024 * 1024 + 1, ' ')].entries()) {
    peer.message(String(id), body);
    await peer.acked(String(id));
  }
  await triggered(2);
  assert.deepEqual(triggers, ['bus: flatpak on /topic/x', 'bus: container on /topic/x']);
  assert.deepEqual(bus.status().messages, { triggered: 2, ignored: 1, malformed: 3 });
  assert.deepEqual(lines.map(({ msg }) => msg), [`bus: connected to ${server.url()}`, 'bus: passed over a message on /topic/x: no JSON'], 'malformed messages are logged once a minute');
});

test('with any, every message triggers', async (t) => {
  const server = await startServer(t);
  const { bus, triggers, logged } = startBus(t, { urls: [server.url()], contentTypes: 'any' });
  await logged(/connected/);
  const peer = await server.peer(0);
  for (const [id, body] of ['{"ctype":"rpm"}', 'rebuild!', ''].entries()) peer.message(String(id), body);
  await peer.acked('2');
  assert.deepEqual([triggers.length, triggers[0], bus.status().messages.triggered], [3, 'bus: a message on /topic/x', 3]);
});

test('a message is not acknowledged if no rebuild could be queued', async (t) => {
  const server = await startServer(t);
  let stopping = true;
  const { bus, logged } = startBus(t, {
    urls: [server.url()],
    onTrigger: () => {
      if (stopping) throw new Error('the server is stopping');
    },
  });
  await logged(/connected/);
  const peer = await server.peer(0);
  peer.message('1', FLATPAK);
  await logged(/could not be asked for/);
  stopping = false;
  peer.message('2', FLATPAK);
  await peer.acked('2');
  assert.deepEqual(peer.frames.filter(({ command }) => command === 'ACK').length, 1);
  assert.equal(bus.status().messages.triggered, 1);
});

test('a connection made anew asks for a rebuild, the first one only if it should', async (t) => {
  const server = await startServer(t);
  const { bus, triggers, triggered, logged } = startBus(t, { urls: [server.url()] });
  await logged(/connected/);
  assert.deepEqual([triggers, bus.status().state, bus.status().reconnects], [[], 'connected', 0]);

  (await server.peer(0)).socket.destroy();
  await triggered(1);
  assert.match(triggers[0] ?? '', /^bus: connected/);
  assert.deepEqual([bus.status().state, bus.status().reconnects, bus.status().lastError?.message], ['connected', 1, 'the broker closed the connection']);
  await logged(/lost the connection to .*the broker closed the connection/);

  const first = startBus(t, { urls: [server.url()], firstConnectionTriggers: true });
  await first.triggered(1);
});

test('a silent connection is dropped and made anew', async (t) => {
  const server = await startServer(t, accepting('50,50'));
  const { triggered, logged } = startBus(t, { urls: [server.url()], heartbeat: 50 });
  await triggered(2);
  await logged(/silent for longer than its heart-beats allow/);
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

test('a broker is tried for ever, and what goes wrong is logged once', async (t) => {
  const server = await startServer(t, (peer) => peer.send('ERROR', { message: 'Bad CONNECT' }, 'Access refused for user me'));
  const url = server.url({ credentials: 'me:s3cret@', path: '/fedora' });
  const { bus, lines } = startBus(t, { urls: [url], pauses: { first: 1, longest: 5 } });
  await server.peer(20);
  const status = bus.status();
  assert.deepEqual(lines.map(({ level, msg }) => [level, msg]), [
    [50, `bus: ${server.url({ path: '/fedora' })} refuses the connection as me to the virtual host fedora: Bad CONNECT: Access refused for user me. Check login, passcode and virtual host in bus.url`],
  ]);
  assert.equal(status.state, 'connecting');
  assert.doesNotMatch(JSON.stringify([status, lines]), /s3cret/);
});

test('a connection that is lost as soon as it is made is not made again without growing pauses', async (t) => {
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
  // At least half of 20, 40, 80, 160 and 320 ms.
  assert.ok((arrivals[5] ?? 0) - (arrivals[0] ?? 0) >= 310);
});

test('closing takes leave of the broker, and stops trying', async (t) => {
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
  const options: BusOptions = { urls: ['stomp://x'], destinations: [], contentTypes: [], onTrigger: () => undefined, logger: pino({ level: 'silent' }) };
  assert.throws(() => new Bus({ ...options, urls: [] }), TypeError);
  assert.throws(() => new Bus({ ...options, urls: ['http://x'] }), TypeError);
  assert.throws(() => new Bus({ ...options, headers: { 'client-id': 'a\nb' } }), TypeError);
  const durable = { headers: { id: 'one' } };
  assert.throws(() => new Bus({ ...options, destinations: [{ destination: 'a', ...durable }, { destination: 'b', ...durable }] }), /two destinations .* "one"/);
});

test('TLS: the broker is known by its authority, the client by its certificate, both read anew for each connection', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bus-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = (name: string): string => join(folder, name);
  makeCertificates(folder);
  const server = await startServer(t, accepting(), {
    ca: await readFile(file('ca.pem')),
    cert: await readFile(file('server.pem')),
    key: await readFile(file('server.key')),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const urls = [server.url({ host: 'localhost' })];

  const stranger = startBus(t, { urls });
  await stranger.logged(/cannot connect to stomps:.*certificate/);
  const nobody = startBus(t, { urls, caFile: file('ca.pem') });
  await nobody.logged(/cannot connect|lost/);

  const missing = startBus(t, { urls, caFile: file('ca.pem'), certFile: file('later.pem'), keyFile: file('client.key') });
  await missing.logged(/cannot connect to .*ENOENT.*later\.pem/);
  await writeFile(file('later.pem'), await readFile(file('client.pem')));
  await missing.logged(/connected to stomps:/);
});

/** An authority, and certificates that it has signed: for a server at `localhost` and for a client. */
function makeCertificates(folder: string): void {
  const openssl = (...parameters: string[]): void => {
    execFileSync('openssl', parameters, { cwd: folder, stdio: 'pipe' });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  openssl('req', '-x509', ...key, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', 'server.key', '-out', 'server.pem', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost');
  openssl('req', '-x509', ...key, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', 'client.key', '-out', 'client.pem', '-subj', '/CN=client');
}
