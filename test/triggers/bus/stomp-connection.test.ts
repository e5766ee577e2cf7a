import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { BusError, type BusMessage } from '../../../src/triggers/bus/broker-connection.ts';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';
import { StompConnection, type StompConnectionOptions } from '../../../src/triggers/bus/stomp-connection.ts';
import { accepting, StompServer, type Answer } from './stomp-server.ts';

/** A broker with these answers, and a function that connects to it and collects messages. */
async function startServer(t: TestContext, answer: Answer = accepting()) {
  const server = await StompServer.start(answer);
  const leaving = new AbortController();
  t.after(async () => {
    leaving.abort();
    await server[Symbol.asyncDispose]();
  });
  const messages: BusMessage[] = [];
  const open = (options: Partial<StompConnectionOptions> & { readonly url?: string } = {}): Promise<StompConnection> =>
    StompConnection.open({
      address: parseBusUrl(options.url ?? server.url()),
      tls: {},
      headers: {},
      destinations: [{ destination: '/topic/x' }],
      heartbeat: 10_000,
      timeout: 10_000,
      onMessage: (message) => {
        messages.push(message);
        message.ack();
      },
      signal: leaving.signal,
      ...options,
    });
  return { server, open, messages, leaving };
}

test('CONNECT and SUBSCRIBE have the configured headers', async (t) => {
  const { server, open } = await startServer(t);
  await open({
    url: server.url({ credentials: 'me:pass:word@', path: '/fedora' }),
    headers: { 'client-id': 'indexer' },
    heartbeat: 5_000,
    destinations: [
      { destination: '/topic/a.b' },
      {
        destination: '/queue/q:1',
        headers: { id: 'durable-one', durable: 'true', 'auto-delete': 'false', 'prefetch-count': '7', ack: 'auto' },
      },
    ],
  });
  const [connect, first, second] = (await server.peer(0)).frames;
  assert.deepEqual(connect, {
    command: 'CONNECT',
    headers: {
      'client-id': 'indexer',
      'accept-version': '1.1,1.2',
      host: 'fedora',
      login: 'me',
      passcode: 'pass:word',
      'heart-beat': '5000,5000',
    },
  });
  assert.deepEqual(first, {
    command: 'SUBSCRIBE',
    headers: {
      id: 'regindexer-0',
      destination: '/topic/a.b',
      ack: 'client-individual',
      'activemq.prefetchSize': '100',
      'prefetch-count': '100',
      receipt: '1',
    },
  });
  assert.deepEqual(second, {
    command: 'SUBSCRIBE',
    headers: {
      id: 'durable-one',
      durable: 'true',
      'auto-delete': 'false',
      ack: 'client-individual',
      'activemq.prefetchSize': '100',
      'prefetch-count': '7',
      destination: '/queue/q\\c1',
      receipt: '2',
    },
  });
});

test('messages arrive in order, with and without a length, and are acknowledged', async (t) => {
  const { server, open, messages } = await startServer(t);
  await open();
  const peer = await server.peer(0);
  peer.message('1', 'one');
  peer.message('2', 'a\0b');
  peer.send('MESSAGE', { subscription: 'regindexer-0', 'message-id': '3', ack: '3', destination: '/topic/x' }, 'three');
  peer.message('4', '');
  await peer.acked('4');
  assert.deepEqual(
    messages.map(({ destination, body }) => [destination, body?.toString()]),
    [
      ['/topic/x', 'one'],
      ['/topic/x', 'a\0b'],
      ['/topic/x', 'three'],
      ['/topic/x', ''],
    ],
  );
});

test('a body over 1 MiB is discarded, and the next message arrives', async (t) => {
  const { server, open, messages } = await startServer(t);
  await open();
  const peer = await server.peer(0);
  peer.message('1', Buffer.alloc(1024 * 1024, 'x'));
  peer.message('2', Buffer.alloc(1024 * 1024 + 1, 'x'));
  peer.message('3', 'small');
  await peer.acked('3');
  assert.deepEqual(
    messages.map(({ body }) => body?.length),
    [1024 * 1024, undefined, 5],
  );
});

test('headers of a message can be long, many, and named like anything', async (t) => {
  const { server, open, messages } = await startServer(t);
  await open();
  const peer = await server.peer(0);
  peer.message('1', 'x', { long: 'x'.repeat(100_000) });
  peer.message('2', 'x', Object.fromEntries(Array.from({ length: 500 }, (_, number) => [`header-${number}`, 'x'])));
  peer.message('3', 'x', { hasOwnProperty: 'x', ['__proto__']: 'x', constructor: 'x', toString: 'x', next: 'x' });
  await peer.acked('3');
  assert.equal(messages.length, 3);
});

test('heart-beats go both ways, and keep the connection', async (t) => {
  const { server, open } = await startServer(t, accepting('300,300'));
  const connection = await open({ heartbeat: 300 });
  const peer = await server.peer(0);
  const beating = setInterval(() => peer.socket.write('\n'), 100);
  t.after(() => clearInterval(beating));
  const before = peer.heartbeats;
  while (peer.heartbeats < before + 4) await once(peer.socket, 'data');
  const state = await Promise.race([connection.closed, Promise.resolve('open')]);
  assert.equal(state, 'open');
});

test('a connection without heart-beats is closed', async (t) => {
  const { open } = await startServer(t, accepting('50,50'));
  const connection = await open({ heartbeat: 50 });
  assert.match((await connection.closed).message, /has stopped sending heart-beats/);
});

test('a broker that never answers ends with the timeout', async (t) => {
  const { open } = await startServer(t, () => undefined);
  await assert.rejects(open({ timeout: 50 }), /no answer within 0.05 s/);
  const half = await startServer(t, (peer, { command }) => {
    if (command === 'CONNECT') peer.send('CONNECTED', { version: '1.2' });
  });
  await assert.rejects(half.open({ timeout: 50 }), /no answer within 0.05 s/);
});

test('a refusal of the broker is reported, without the passcode', async (t) => {
  const { server, open } = await startServer(t, (peer) => {
    const body = 'cannot log in me with s3cret\nat some.java.Class';
    peer.send('ERROR', { message: 'Bad CONNECT', 'content-type': 'text/plain', 'content-length': body.length }, body);
  });
  await assert.rejects(open({ url: server.url({ credentials: 'me:s3cret@' }) }), (error) => {
    assert.ok(error instanceof BusError && error.refused);
    assert.equal(error.message, 'Bad CONNECT: cannot log in me with ***');
    return true;
  });
});

test('an ERROR for SUBSCRIBE or later is reported, and is not a refusal of the login', async (t) => {
  const { open } = await startServer(t, (peer, frame) => {
    if (frame.command === 'SUBSCRIBE') peer.send('ERROR', { message: 'access_refused' });
    else accepting()(peer, frame);
  });
  await assert.rejects(
    open(),
    (error) => error instanceof BusError && !error.refused && error.message === 'access_refused',
  );

  const { server, open: openOther } = await startServer(t);
  const connection = await openOther();
  (await server.peer(0)).send('ERROR', { message: 'shutting down' });
  const error = await connection.closed;
  assert.deepEqual([error.message, error.refused], ['shutting down', false]);
});

test('a connection that the broker closes is reported', async (t) => {
  const { server, open } = await startServer(t);
  const url = server.url();
  const connection = await open({ url });
  (await server.peer(0)).socket.end();
  assert.equal((await connection.closed).message, 'the broker closed the connection');
  await server[Symbol.asyncDispose]();
  await assert.rejects(open({ url }), /ECONNREFUSED/);
});

test('anything but STOMP ends the connection', async (t) => {
  const { server, open } = await startServer(t, (peer) => peer.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await assert.rejects(open(), BusError);
  const later = await startServer(t);
  const connection = await later.open();
  (await later.server.peer(0)).socket.write('\0\0\0garbage\n\n');
  assert.ok((await connection.closed) instanceof BusError);
  assert.equal(server.connections, 1);
});

test('disconnecting waits for the broker, but not for ever', async (t) => {
  const { server, open, leaving } = await startServer(t);
  const connection = await open();
  leaving.abort();
  await connection.closed;
  assert.equal((await server.peer(0)).frames.at(-1)?.command, 'DISCONNECT');

  const deaf = await startServer(t, (peer, frame) => {
    if (frame.command !== 'DISCONNECT') accepting()(peer, frame);
  });
  const other = await deaf.open();
  deaf.leaving.abort();
  await other.closed;
});
