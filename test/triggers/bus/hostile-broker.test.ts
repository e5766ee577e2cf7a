import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { BusError } from '../../../src/triggers/bus/broker-connection.ts';
import { parseBusUrl } from '../../../src/triggers/bus/bus-url.ts';
import { StompConnection } from '../../../src/triggers/bus/stomp-connection.ts';
import { flood, gone, MEBIBYTE, noMore, repeated, used } from './flood.ts';
import { startBus } from './start-bus.ts';
import { accepting, StompServer, type Answer, type StompPeer } from './stomp-server.ts';

const SOURCES = join(import.meta.dirname, '../../../src');
/** Members of every object. */
const INHERITED = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'isPrototypeOf',
  '__defineGetter__',
  '__lookupSetter__',
];
/** The subscription that a connection makes. */
const SUBSCRIPTION = 'regindexer-0';

async function startServer(t: TestContext, answer: Answer): Promise<StompServer> {
  const server = await StompServer.start(answer);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

/** The reason why a connection is refused or closed. */
async function end(server: StompServer): Promise<BusError> {
  try {
    const connection = await StompConnection.open({
      address: parseBusUrl(server.url()),
      tls: {},
      headers: {},
      destinations: [{ destination: '/topic/x' }],
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

/** Writes `bytes` and nothing else. */
function sending(after: 'CONNECT' | 'SUBSCRIBE', bytes: string | Buffer): Answer {
  return (peer, frame) => {
    if (after === 'SUBSCRIBE') accepting()(peer, frame);
    if (frame.command === after) peer.socket.end(bytes);
  };
}

test('a frame that names a member of every object ends only the connection', async (t) => {
  for (const name of INHERITED) {
    const frames: readonly (readonly [bytes: string, after: 'CONNECT' | 'SUBSCRIBE', reason: RegExp])[] = [
      [`MESSAGE\nsubscription:${name}\nmessage-id:1\n\nx\0`, 'SUBSCRIBE', /a message for an unknown subscription/],
      [`RECEIPT\nreceipt-id:${name}\n\n\0`, 'SUBSCRIBE', /a receipt that was not requested/],
      [`${name}\n\n\0`, 'SUBSCRIBE', /something other than STOMP/],
      [`CONNECTED\nversion:${name}\n\n\0`, 'CONNECT', /a version of STOMP that was not requested/],
    ];
    for (const [bytes, after, reason] of frames) {
      const server = await startServer(t, sending(after, bytes));
      assert.match((await end(server)).message, reason, bytes);
    }
  }
});

test('unexpected and invalid frames are named', async (t) => {
  const cases: readonly (readonly [Answer, RegExp])[] = [
    [sending('CONNECT', `MESSAGE\nsubscription:${SUBSCRIPTION}\n\nx\0`), /sent an unexpected MESSAGE/],
    [sending('CONNECT', 'RECEIPT\nreceipt-id:1\n\n\0'), /sent an unexpected RECEIPT/],
    [sending('SUBSCRIBE', 'CONNECTED\nversion:1.2\n\n\0'), /sent an unexpected CONNECTED/],
    [sending('SUBSCRIBE', 'RECEIPT\nreceipt-id:1\n\n\0'), /a receipt that was not requested/],
    [sending('CONNECT', 'HTTP/1.1 400 Bad Request\r\n\r\n\0'), /something other than STOMP/],
    [sending('CONNECT', 'AMQP\0\0\x09\x01'), /closed the connection within a frame; it may not speak STOMP/],
    ...['-1,-1', '99999999999,99999999999', 'x,y', '1', '1e3,1e3', '0x1,0x1', ',', '1,1,1'].map(
      (beats) =>
        [
          sending('CONNECT', `CONNECTED\nversion:1.2\nheart-beat:${beats}\n\n\0`),
          /a heart-beat that is not two numbers/,
        ] as const,
    ),
  ];
  for (const [answer, reason] of cases) assert.match((await end(await startServer(t, answer))).message, reason);
});

test('ten thousand invalid frames do not end the process', { timeout: 120_000 }, async (t) => {
  const odd = fc.oneof(
    fc.constantFrom(...INHERITED),
    fc.string({ maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 5 }),
  );
  const name = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        'subscription',
        'receipt-id',
        'message-id',
        'ack',
        'content-length',
        'content-type',
        'version',
        'heart-beat',
        'message',
        'receipt',
      ),
    },
    { weight: 1, arbitrary: odd },
  );
  const value = fc.oneof(
    fc.constantFrom(
      SUBSCRIPTION,
      '1',
      '2',
      '0',
      '-1',
      '-5',
      '1e99',
      'NaN',
      '99999999999',
      '1.2',
      '1.0',
      '0,0',
      '1,1',
      '\\c',
      '\\x',
      '\\',
      'text/plain',
      '',
    ),
    odd,
  );
  const frame = fc.record({
    command: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('MESSAGE', 'RECEIPT', 'ERROR', 'CONNECTED') },
      { weight: 1, arbitrary: odd },
    ),
    headers: fc.array(fc.tuple(name, value), { maxLength: 6 }),
    body: fc.uint8Array({ maxLength: 30 }),
    ending: fc.constantFrom('\0', '\0\n', '\0\r\n', '', '\n\n', '\0\0', '\0MESSAGE\n'),
  });
  const connection = fc.record({
    after: fc.constantFrom('CONNECT' as const, 'SUBSCRIBE' as const, 'SUBSCRIBE' as const),
    frames: fc.array(frame, { minLength: 5, maxLength: 5 }),
  });
  let sent = 0;
  const waiting: { after: 'CONNECT' | 'SUBSCRIBE'; bytes: Buffer }[] = [];
  const plays = new WeakMap<StompPeer, Answer>();
  const server = await startServer(t, (peer, received) => {
    let play = plays.get(peer);
    if (play === undefined) {
      const { after, bytes } = waiting.pop() ?? assert.fail('a connection too many');
      plays.set(peer, (play = sending(after, bytes)));
    }
    play(peer, received);
  });
  await fc.assert(
    fc.asyncProperty(fc.array(connection, { minLength: 20, maxLength: 20 }), async (connections) => {
      for (const { after, frames } of connections) {
        const bytes = frames.map(({ command, headers, body, ending }) =>
          Buffer.concat([
            Buffer.from(`${command}\n${headers.map((pair) => `${pair.join(':')}\n`).join('')}\n`),
            body,
            Buffer.from(ending),
          ]),
        );
        waiting.push({ after, bytes: Buffer.concat(bytes) });
        sent += bytes.length;
      }
      await Promise.all(connections.map(async () => assert.ok((await end(server)) instanceof BusError)));
    }),
    { numRuns: 100 },
  );
  t.diagnostic(`${sent} frames`);
  assert.ok(sent >= 10_000);
});

const message = (headers = ''): string => `MESSAGE\nsubscription:${SUBSCRIPTION}\n${headers}\n`;

test(
  'a hostile broker neither ends the process nor fills its memory, and is used again when it behaves',
  { timeout: 120_000 },
  async (t) => {
    /** Each resolves when the client has closed the connection. */
    const tricks: Readonly<Record<string, (peer: StompPeer) => Promise<void>>> = {
      'a header without end': async (peer) => {
        peer.socket.write(message().slice(0, -1));
        assert.ok((await flood(peer, repeated('x', 64 * 1024))) < 30 * MEBIBYTE);
      },
      'large headers, many of them': async (peer) => {
        peer.socket.write(message().slice(0, -1));
        let number = 0;
        const many = Buffer.concat(
          Array.from({ length: 1_000 }, () => Buffer.from(`header-${number++}:${'x'.repeat(100_000)}\n`)),
        );
        assert.ok((await flood(peer, many)) < 2 * many.length);
      },
      'the same header for ever': async (peer) => {
        peer.socket.write(message().slice(0, -1));
        assert.ok((await flood(peer, repeated('a:b\n', 64 * 1024))) < 30 * MEBIBYTE);
      },
      'a large id': async (peer) => {
        peer.socket.write(`${message(`message-id:${'x'.repeat(100_000)}\n`)}x\0`);
        await gone(peer);
      },
      'a body without end': async (peer) => {
        peer.socket.write(message());
        const before = used();
        await flood(peer, repeated('x', 64 * 1024), 50 * MEBIBYTE);
        await noMore(before, 10 * MEBIBYTE);
        peer.socket.end();
      },
      'a body that is longer than any number': async (peer) => {
        peer.socket.write(message('content-length:999999999999999999999\n'));
        const before = used();
        await flood(peer, repeated('\0', 64 * 1024), 50 * MEBIBYTE);
        await noMore(before, 10 * MEBIBYTE);
        peer.socket.end();
      },
      'an ERROR without end': async (peer) => {
        peer.socket.write('ERROR\nmessage:go away\n\n');
        await flood(peer, repeated('x', 64 * 1024));
      },
      'an ERROR that does not go on': async (peer) => {
        peer.socket.write('ERROR\nmessage:go away\n\n');
        await gone(peer);
      },
      'nothing but heart-beats': async (peer) => {
        await flood(peer, repeated('\n', 64 * 1024), 20 * MEBIBYTE);
        peer.socket.end();
      },
      'messages without end, and deaf to what is answered': async (peer) => {
        peer.socket.pause();
        const before = used();
        await flood(peer, repeated(`${message(`message-id:1\nack:${'1'.repeat(4_000)}\n`)}x\0\n`, 64 * 1024));
        await noMore(before, 40 * MEBIBYTE);
      },
      noise: async (peer) => {
        peer.socket.write(Buffer.from(Array.from({ length: 100_000 }, (_, place) => (place * 7919) % 256)));
        peer.socket.end();
      },
    };
    const names = Object.keys(tricks);
    const rounds = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const honest = Promise.withResolvers<StompPeer>();
    let plays = 0;
    const server = await startServer(t, (peer, frame) => {
      accepting()(peer, frame);
      if (frame.command !== 'SUBSCRIBE') return;
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
    peer.message('last', 'x');
    await peer.acked('last');
    assert.equal(triggers.at(-1), 'bus: a message on /topic/x');
    assert.equal(bus.status().state, 'connected');
  },
);

test('a body that comes byte by byte takes no more memory than another', async (t) => {
  const server = await startServer(t, accepting());
  const bodies: number[] = [];
  const connection = await StompConnection.open({
    address: parseBusUrl(server.url()),
    tls: {},
    headers: {},
    destinations: [{ destination: '/topic/x' }],
    heartbeat: 0,
    timeout: 10_000,
    onMessage: ({ body }) => bodies.push(body?.length ?? 0),
    signal: new AbortController().signal,
  });
  const { socket } = await server.peer(0);
  socket.write(message());
  const before = used();
  for (let place = 0; place < 20_000; place++)
    if (!socket.write('x') || place % 10 === 0) await new Promise(setImmediate);
  await noMore(before, 5 * MEBIBYTE);
  socket.end('\0');
  await connection.closed;
  assert.deepEqual(bodies, [20_000]);
});

test('only one file imports stompit, and one amqplib', async () => {
  const files = (await readdir(SOURCES, { recursive: true })).filter((file) => file.endsWith('.ts'));
  const texts = await Promise.all(
    files.map(async (file) => ({ file, text: await readFile(join(SOURCES, file), 'utf8') })),
  );
  for (const [library, its] of Object.entries({
    stompit: 'triggers/bus/stomp-client.ts',
    amqplib: 'triggers/bus/amqp-client.ts',
  })) {
    const imported = new RegExp(`(?:from |import\\()'${library}`);
    assert.deepEqual(
      texts.filter(({ text }) => imported.test(text)).map(({ file }) => file),
      [its],
    );
  }
});
