import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { AmqpConnection } from '../../../src/triggers/bus/amqp-connection.ts';
import { BusError } from '../../../src/triggers/bus/broker-connection.ts';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';
import {
  acceptingAmqp,
  AmqpServer,
  closing,
  delivery,
  frame,
  longText,
  method,
  octet,
  shortText,
  type AmqpAnswer,
  type AmqpPeer,
  type Method,
} from './amqp-server.ts';
import { flood, gone, MEBIBYTE, noMore, repeated, used } from './flood.ts';
import { startBus } from './start-bus.ts';

const STRANGE = 'the broker sent something other than AMQP 0.9.1; it may speak another protocol, or require TLS';

async function startServer(t: TestContext, answer: AmqpAnswer): Promise<AmqpServer> {
  const server = await AmqpServer.start(answer);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

/** The reason why a connection is refused or closed. */
async function end(server: AmqpServer): Promise<BusError> {
  try {
    const connection = await AmqpConnection.open({
      address: parseBusUrl(server.url()),
      tls: {},
      destinations: [{ destination: '#' }],
      exchange: 'amq.topic',
      queue: async () => 'q',
      heartbeat: 10_000,
      timeout: 10_000,
      onMessage: ({ ack }) => ack(),
      signal: new AbortController().signal,
    });
    return await connection.closed;
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
}

/** Accepts everything up to the method `after`, and writes `bytes` together with that answer, and nothing else. */
function sending(after: Method, bytes: Buffer): AmqpAnswer {
  const accept = acceptingAmqp();
  return (peer, received) => {
    if (received.method === after) peer.socket.cork();
    accept(peer, received);
    if (received.method !== after) return;
    peer.socket.end(bytes);
    peer.socket.uncork();
  };
}

test('an error that comes with the frame that opens the connection ends only the connection', async (t) => {
  for (const [bytes, reason] of [
    [closing('close', 0, 541, 'INTERNAL_ERROR'), 'INTERNAL_ERROR'],
    [method('channelOpenOk', 7, longText('')), 'Frame on unknown channel: <ChannelOpenOk channel:7>'],
    [method('openOk', 0, shortText('')), 'Unexpected frame on channel 0: <ConnectionOpenOk channel:0>'],
    [frame(77, 0, Buffer.of()), STRANGE],
  ] as const)
    assert.equal((await end(await startServer(t, sending('open', bytes)))).message, reason);
});

test('frames out of turn end the connection', async (t) => {
  const header = delivery(1, Buffer.of());
  for (const bytes of [
    frame(3, 1, Buffer.from('a body without a header')),
    header.subarray(header.length - 22),
    method('ack', 1),
    method('bindOk', 1),
    method('cancel', 1, shortText('__proto__'), octet(0)),
    method('cancel', 1, shortText('another'), octet(0)),
    method('channelOpenOk', 99),
    frame(1, 1, Buffer.of(0xff, 0xff, 0xff, 0xff)),
    frame(2, 1, Buffer.of()),
  ]) {
    const error = await end(await startServer(t, sending('consume', bytes)));
    assert.ok(error instanceof BusError, bytes.toString('hex'));
  }
});

test('ten thousand invalid frames do not end the process', { timeout: 120_000 }, async (t) => {
  const names: readonly Method[] = [
    'start',
    'tune',
    'openOk',
    'close',
    'closeOk',
    'blocked',
    'channelOpenOk',
    'channelClose',
    'channelCloseOk',
    'declareOk',
    'consumeOk',
    'cancel',
    'deliver',
    'ack',
  ];
  const channel = fc.constantFrom(0, 1, 1, 1, 2, 65_535);
  const bytes = fc.uint8Array({ maxLength: 40 }).map((some) => Buffer.from(some));
  const anyFrame = fc.oneof(
    fc.tuple(fc.constantFrom(...names), channel, bytes).map((args) => method(...args)),
    fc.tuple(fc.constantFrom(1, 2, 3, 8, 77), channel, bytes).map((args) => frame(...args)),
    fc
      .tuple(fc.nat(300), bytes, fc.constantFrom(0, 1, 2 ** 20 + 1, 2 ** 40))
      .map(([tag, body, more]) => delivery(tag, body, { size: body.length + more })),
    fc.tuple(bytes, channel).map(([text, on]) => closing('channelClose', on, 406, text.toString('hex'))),
    bytes,
  );
  const connection = fc.record({
    after: fc.constantFrom<Method>(
      'startOk',
      'open',
      'open',
      'channelOpen',
      'declare',
      'consume',
      'consume',
      'consume',
    ),
    frames: fc.array(anyFrame, { minLength: 10, maxLength: 10 }),
  });
  let sent = 0;
  const waiting: AmqpAnswer[] = [];
  const plays = new WeakMap<AmqpPeer, AmqpAnswer>();
  const server = await startServer(t, (peer, received) => {
    const play = plays.get(peer) ?? waiting.pop() ?? assert.fail('a connection too many');
    plays.set(peer, play);
    play(peer, received);
  });
  await fc.assert(
    fc.asyncProperty(fc.array(connection, { minLength: 20, maxLength: 20 }), async (connections) => {
      for (const { after, frames } of connections) {
        waiting.push(sending(after, Buffer.concat(frames)));
        sent += frames.length;
      }
      await Promise.all(connections.map(async () => assert.ok((await end(server)) instanceof BusError)));
    }),
    { numRuns: 50 },
  );
  t.diagnostic(`${sent} frames`);
  assert.ok(sent >= 10_000);
});

/** The start of a message of this size. */
function start(size: number): Buffer {
  return delivery(1, Buffer.of(), { size });
}

/** Pieces of a body of this length. */
function bodyFrames(length: number): Buffer {
  return repeated(frame(3, 1, Buffer.alloc(length)), 64 * 1024);
}

test(
  'a hostile broker neither ends the process nor fills its memory, and is used again when it behaves',
  { timeout: 120_000 },
  async (t) => {
    /** Each resolves when the client has closed the connection, or was sent enough. */
    const tricks: Readonly<Record<string, (peer: AmqpPeer) => Promise<void>>> = {
      'a frame larger than asked for': async (peer) => {
        peer.send(frame(3, 1, Buffer.alloc(1024 * 1024)));
        await gone(peer);
      },
      'a body without end': async (peer) => {
        peer.send(start(2 ** 50));
        const before = used();
        await flood(peer, bodyFrames(100_000), 50 * MEBIBYTE);
        await noMore(before, 10 * MEBIBYTE);
        peer.socket.end();
      },
      'a body in frames of a byte': async (peer) => {
        peer.send(start(2 ** 20));
        const before = used();
        await flood(peer, bodyFrames(1), 5 * MEBIBYTE);
        await noMore(before, 10 * MEBIBYTE);
        peer.socket.end();
      },
      'a body in empty frames': async (peer) => {
        peer.send(start(1));
        const before = used();
        await flood(peer, bodyFrames(0), 20 * MEBIBYTE);
        await noMore(before, 10 * MEBIBYTE);
        peer.socket.end();
      },
      'nothing but heart-beats': async (peer) => {
        await flood(peer, repeated(frame(8, 0, Buffer.of()), 64 * 1024), 20 * MEBIBYTE);
        peer.socket.end();
      },
      'messages without end, and deaf to what is answered': async (peer) => {
        peer.socket.pause();
        const before = used();
        await flood(peer, repeated(delivery(1, Buffer.from('x')), 64 * 1024));
        await noMore(before, 40 * MEBIBYTE);
      },
      noise: async (peer) => {
        peer.send(Buffer.from(Array.from({ length: 100_000 }, (_, place) => (place * 7919) % 256)));
        peer.socket.end();
      },
    };
    const names = Object.keys(tricks);
    const rounds = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const honest = Promise.withResolvers<AmqpPeer>();
    let plays = 0;
    const accept = acceptingAmqp();
    const server = await startServer(t, (peer, received) => {
      accept(peer, received);
      if (received.method !== 'consume') return;
      const play = plays++;
      const round = rounds[Math.floor(play / names.length)];
      if (round === undefined) honest.resolve(peer);
      else
        tricks[names[play % names.length] ?? '']?.(peer).then(
          () => play % names.length === names.length - 1 && round.resolve(),
          round.reject,
        );
    });
    const { bus, triggers } = startBus(t, {
      urls: [server.url()],
      pauses: { first: 1, longest: 5 },
      contentTypes: 'any',
    });
    await rounds[0]?.promise;
    const before = used();
    await rounds[1]?.promise;
    await noMore(before, 20 * MEBIBYTE);

    const peer = await honest.promise;
    peer.send(delivery(1, Buffer.from('x')));
    await peer.received('ack');
    assert.equal(triggers.at(-1), 'bus: a message on a.b');
    assert.equal(bus.status().state, 'connected');
  },
);

test('a large frame before the connection is open ends it', async (t) => {
  const server = await startServer(t, (peer) => void flood(peer, frame(1, 0, Buffer.alloc(128 * 1024 + 1))));
  assert.equal((await end(server)).message, STRANGE);
});
