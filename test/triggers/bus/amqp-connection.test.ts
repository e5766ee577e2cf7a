import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { AmqpConnection, type AmqpConnectionOptions } from '../../../src/triggers/bus/amqp-connection.ts';
import { BusError, type BusMessage } from '../../../src/triggers/bus/broker-connection.ts';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';
import {
  acceptingAmqp,
  AmqpServer,
  closing,
  CONSUMER,
  delivery,
  method,
  octet,
  shortText,
  textsOf,
  type AmqpAnswer,
  type Method,
} from './amqp-server.ts';

/** A broker with these answers, and a function that connects to it and collects messages. */
async function startServer(t: TestContext, answer: AmqpAnswer = acceptingAmqp()) {
  const server = await AmqpServer.start(answer);
  const leaving = new AbortController();
  t.after(async () => {
    leaving.abort();
    await server[Symbol.asyncDispose]();
  });
  const messages: BusMessage[] = [];
  const open = ({
    url = server.url(),
    ...options
  }: Partial<AmqpConnectionOptions> & { readonly url?: string } = {}): Promise<AmqpConnection> =>
    AmqpConnection.open({
      address: parseBusUrl(url),
      tls: {},
      destinations: [{ destination: 'a.#' }],
      exchange: 'amq.topic',
      queue: async () => 'q',
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

/** Accepts everything, but plays `play` in place of the answer to `name`. */
function instead(name: Method, play: AmqpAnswer): AmqpAnswer {
  const accept = acceptingAmqp();
  return (peer, received) => (received.method === name ? play : accept)(peer, received);
}

/** Accepts everything, and then plays `play`. */
function afterwards(play: AmqpAnswer): AmqpAnswer {
  const accept = acceptingAmqp();
  return (peer, received) => {
    accept(peer, received);
    if (received.method === 'consume') play(peer, received);
  };
}

/** Closes the connection. */
function close(code: number, text: string): AmqpAnswer {
  return (peer) => peer.send(closing('close', 0, code, text));
}

/** Closes the channel. */
function closeChannel(code: number, text: string): AmqpAnswer {
  return (peer, { channel }) => peer.send(closing('channelClose', channel, code, text));
}

const PASSIVE = 1;
const DURABLE = 2;

test('a queue that exists is bound and consumed as it is', async (t) => {
  const { server, open } = await startServer(t);
  const connection = await open({
    url: server.url({ credentials: 'me:pass%2Fword@', path: '/%2Ffed%25ora' }),
    destinations: [{ destination: 'a.#' }, { destination: 'b.*.c' }],
    exchange: 'events',
  });
  assert.equal(connection.queue, 'q');
  const { methods } = await server.peer(0);
  const args = (name: Method): readonly Buffer[] => methods.filter((one) => one.method === name).map((one) => one.args);
  assert.ok(args('startOk')[0]?.includes('\0me\0pass/word'));
  assert.deepEqual(textsOf(args('open')[0] ?? Buffer.of(), 0, 1), ['/fed%ora']);
  assert.deepEqual(
    args('declare').map((declare) => [...textsOf(declare, 2, 1), (declare[4] ?? 0) & PASSIVE]),
    [['q', PASSIVE]],
  );
  assert.deepEqual(
    args('bind').map((bind) => textsOf(bind, 2, 3)),
    [
      ['q', 'events', 'a.#'],
      ['q', 'events', 'b.*.c'],
    ],
  );
  assert.deepEqual(
    args('qos').map((qos) => qos.readUInt16BE(4)),
    [100],
  );
  assert.deepEqual(textsOf(args('consume')[0] ?? Buffer.of(), 2, 1), ['q']);
});

test('a queue that is missing is declared, so that it outlives the connection and the broker, for an hour', async (t) => {
  const { server, open } = await startServer(t, (peer, received) => {
    const passive = received.method === 'declare' && ((received.args[4] ?? 0) & PASSIVE) !== 0;
    if (passive) peer.send(closing('channelClose', received.channel, 404, "NOT_FOUND - no queue 'q' in vhost '/'"));
    else acceptingAmqp()(peer, received);
  });
  await open();
  const { methods } = await server.peer(0);
  const [, declare] = methods.filter((one) => one.method === 'declare').map(({ args }) => args);
  assert.deepEqual([textsOf(declare ?? Buffer.of(), 2, 1), declare?.[4]], [['q'], DURABLE]);
  assert.ok(declare?.includes(Buffer.from(`\x09x-expiresI\0\x36\xee\x80`, 'latin1')));
});

test('without a login the client is guest', async (t) => {
  const { server, open } = await startServer(t);
  await open();
  const { args } = await (await server.peer(0)).received('startOk');
  assert.ok(args.includes('\x05PLAIN\0\0\0\x0c\0guest\0guest'));
});

test('messages arrive in order with their routing keys, and are acknowledged', async (t) => {
  const { server, open, messages } = await startServer(t);
  await open();
  const peer = await server.peer(0);
  const large = Buffer.alloc(1024 * 1024, 'x');
  const bodies = [Buffer.from('one'), Buffer.of(), large, Buffer.concat([large, Buffer.of(0)]), Buffer.from('last')];
  peer.send(...bodies.map((body, position) => delivery(position + 1, body)));
  await peer.received('ack', bodies.length);
  assert.deepEqual(peer.acked, [1, 2, 3, 4, 5]);
  assert.deepEqual(
    messages.map(({ destination, body }) => [destination, body?.length]),
    [3, 0, large.length, undefined, 4].map((length) => ['a.b', length]),
  );
});

test('a message that is not acknowledged stays so, and what was acknowledged is sent before the connection ends', async (t) => {
  const received: BusMessage[] = [];
  const { server, open, leaving } = await startServer(t);
  const connection = await open({
    onMessage: (message) => {
      received.push(message);
      if (received.length === 2) {
        message.ack();
        leaving.abort();
      }
    },
  });
  const peer = await server.peer(0);
  peer.send(delivery(1, Buffer.from('one')), delivery(2, Buffer.from('two')));
  await connection.closed;
  assert.deepEqual(peer.acked, [2]);
  assert.deepEqual(
    peer.methods.slice(-3).map((one) => one.method),
    ['ack', 'channelClose', 'close'],
  );
});

test('what refuses a client is told in plain words', async (t) => {
  const cases: readonly (readonly [AmqpAnswer, reason: string, refused?: true])[] = [
    [
      instead('startOk', close(403, 'ACCESS_REFUSED - Login was refused: s3cret. See the logfile.')),
      'ACCESS_REFUSED - Login was refused: ***. See the logfile',
      true,
    ],
    [
      instead('open', close(530, 'NOT_ALLOWED - vhost x not found')),
      'the virtual host is missing, or not for this login',
      true,
    ],
    [
      instead('declare', closeChannel(403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'me'")),
      "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'me'",
    ],
    [
      instead('bind', closeChannel(404, "NOT_FOUND - no exchange 'amq.topic' in vhost '/'")),
      "NOT_FOUND - no exchange 'amq.topic' in vhost '/'",
    ],
    [
      instead('consume', closeChannel(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'")),
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'",
    ],
    [
      instead('startOk', (peer) => peer.socket.end()),
      'the broker closed the connection before it was open; it may speak another protocol, or require TLS',
    ],
    [
      instead('startOk', (peer) => peer.socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
      'the broker sent something other than AMQP 0.9.1; it may speak another protocol, or require TLS',
    ],
    [instead('channelOpen', (peer) => peer.socket.end()), 'the broker closed the connection'],
  ];
  for (const [answer, reason, refused = false] of cases) {
    const { server, open } = await startServer(t, answer);
    await assert.rejects(open({ url: server.url({ credentials: 'me:s3cret@' }) }), (error) => {
      assert.ok(error instanceof BusError);
      assert.deepEqual([error.message, error.refused], [reason, refused]);
      return true;
    });
  }
});

test('what ends a connection is told in plain words', async (t) => {
  const cases: readonly (readonly [AmqpAnswer, reason: string])[] = [
    [
      close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"),
      "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    ],
    [
      closeChannel(406, 'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out'),
      'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out',
    ],
    [
      (peer, { channel }) => peer.send(method('cancel', channel, shortText(CONSUMER), octet(1))),
      'the broker has deleted the queue q',
    ],
    [(peer) => peer.socket.end(), 'the broker closed the connection'],
    [(peer) => peer.socket.resetAndDestroy(), 'read ECONNRESET'],
  ];
  for (const [play, reason] of cases) {
    const { open } = await startServer(t, afterwards(play));
    assert.equal((await (await open()).closed).message, reason);
  }
});

test('a broker that blocks those who publish is still read', async (t) => {
  const { open, messages, server } = await startServer(
    t,
    afterwards((peer) => peer.send(method('blocked', 0, shortText('low on memory')), delivery(1, Buffer.from('x')))),
  );
  await open();
  await (await server.peer(0)).received('ack');
  assert.equal(messages.length, 1);
});

test('heart-beats are sent, and missed', async (t) => {
  const { server, open } = await startServer(t, acceptingAmqp({ heartbeat: 600 }));
  const connection = await open({ heartbeat: 1 });
  assert.equal((await connection.closed).message, 'the broker has stopped sending heart-beats');
  const peer = await server.peer(0);
  const { args } = await peer.received('tuneOk');
  assert.equal(args.readUInt16BE(6), 1, 'in seconds');
  assert.ok(peer.heartbeats > 0);
});

test('a broker that does not answer, and a client that leaves meanwhile', async (t) => {
  for (const name of ['startOk', 'declare', 'consume'] as const) {
    const { server, open, leaving } = await startServer(
      t,
      instead(name, () => undefined),
    );
    await assert.rejects(open({ timeout: 100 }), { name: 'BusError', message: 'no answer within 0.1 s' });
    const peer = await server.peer(0);
    if (!peer.socket.closed) await new Promise((resolve) => peer.socket.once('close', resolve));

    const waiting = open();
    await (await server.peer(1)).received(name);
    leaving.abort();
    await assert.rejects(waiting, BusError);
  }
  const { open, leaving } = await startServer(t);
  leaving.abort();
  await assert.rejects(open(), BusError);
});

test('a queue whose name cannot be read is an error of the connection', async (t) => {
  const { open } = await startServer(t);
  await assert.rejects(open({ queue: () => Promise.reject(new Error('the disk is full')) }), {
    name: 'BusError',
    message: 'the disk is full',
  });
});
