import assert from 'node:assert/strict';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import type { RebuildResult } from '../../../src/indexing/rebuild.ts';
import { RebuildQueue } from '../../../src/triggers/rebuild-queue.ts';
import { startActivemq } from '../../peers/activemq.ts';
import { makeCertificates, type Certificates } from '../../peers/certificates.ts';
import { needs } from '../../peers/installed.ts';
import { startRabbitmq, type Rabbitmq } from '../../peers/rabbitmq.ts';
import type { Broker } from '../../peers/stomp.ts';
import { publish } from './publish.ts';
import { startBus } from './start-bus.ts';

const COMPOSE = '/topic/org.example.prod.bodhi.compose.complete';

/** A message in the fedmsg envelope. */
function message(ctype: string, title = ''): string {
  return JSON.stringify({ topic: COMPOSE, msg: { ctype, title } });
}

suite('RabbitMQ', needs('rabbitmq-server', 'openssl'), () => {
  let folder: DisposableTempDir;
  let certificates: Certificates;
  let broker: Rabbitmq;
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-bus-'));
    certificates = await makeCertificates(folder.path);
    broker = await startRabbitmq({ certificates });
  });
  after(async () => {
    await broker[Symbol.asyncDispose]();
    await folder.remove();
  });

  testBus(() => broker, { subscribe: { id: 'indexer', durable: 'true', 'auto-delete': 'false' } });

  test('a destination can be an exchange with wildcards', async (t) => {
    const destination = '/exchange/amq.topic/org.example.*.bodhi.#';
    const { triggers, triggered, logged } = startBus(t, { urls: [broker.url], destinations: [{ destination }] });
    await logged(/connected/);
    await publish(broker.url, COMPOSE, [message('flatpak')]);
    await triggered(1);
    assert.deepEqual(triggers, [`bus: flatpak on ${destination}`]);
  });

  test('a wrong password is logged in one line, without the password', async (t) => {
    const { bus, lines, logged } = startBus(t, { urls: [broker.url.replace('guest@', 's3cret@')] });
    const { msg } = await logged(/refuses/);
    assert.equal(
      msg,
      `bus: stomp://${broker.host}:${broker.port}/%2F refuses the connection as guest to the virtual host /: Bad CONNECT: Access refused for user 'guest'. Check login, passcode and virtual host in bus.url`,
    );
    assert.doesNotMatch(JSON.stringify([lines, bus.status()]), /s3cret/);
  });

  test('TLS with a certificate of the client', async (t) => {
    const { triggered, logged } = startBus(t, {
      urls: [broker.tlsUrl],
      caFile: certificates.authority,
      clientCert: certificates.clientCertificate,
      clientKey: certificates.clientKey,
      destinations: [{ destination: COMPOSE }],
    });
    await logged(/connected to stomps:/);
    await publish(broker.url, COMPOSE, [message('flatpak')]);
    await triggered(1);
  });
});

suite('ActiveMQ', needs('activemq'), () => {
  let broker: Broker;
  before(async () => {
    broker = await startActivemq();
  });
  after(() => broker[Symbol.asyncDispose]());

  testBus(() => broker, {
    connect: { 'client-id': 'indexer' },
    subscribe: { id: 'indexer', 'activemq.subscriptionName': 'indexer' },
  });

  test('a destination can be the queue of a virtual topic, which waits for the consumer', async (t) => {
    const destination = '/queue/Consumer.indexer.VirtualTopic.compose';
    const first = startBus(t, { urls: [broker.url], destinations: [{ destination }] });
    await first.logged(/connected/);
    await first.bus.close();
    await publish(broker.url, '/topic/VirtualTopic.compose', [message('flatpak')]);
    const second = startBus(t, { urls: [broker.url], destinations: [{ destination }] });
    await second.triggered(1);
    assert.deepEqual(second.triggers, [`bus: flatpak on ${destination}`]);
  });
});

/** Tests for every broker. `connect` and `subscribe` are the headers of its durable subscriptions. */
function testBus(
  broker: () => Broker,
  {
    connect = {},
    subscribe,
  }: { readonly connect?: Readonly<Record<string, string>>; readonly subscribe: Readonly<Record<string, string>> },
): void {
  test('a message of a wanted content type triggers, others do not', async (t) => {
    const { bus, triggers, triggered, logged } = startBus(t, {
      urls: [broker().url],
      destinations: [{ destination: COMPOSE }],
    });
    await logged(/connected/);
    await publish(broker().url, COMPOSE, [
      message('rpm'),
      message('flatpak'),
      message('module'),
      JSON.stringify({ ctype: 'container' }),
    ]);
    await triggered(2);
    assert.deepEqual(triggers, [`bus: flatpak on ${COMPOSE}`, `bus: container on ${COMPOSE}`]);
    assert.deepEqual(bus.status().messages, { triggered: 2, ignored: 2, malformed: 0 });
  });

  test('text of every kind arrives, with and without a length', async (t) => {
    const { bus, triggered, logged } = startBus(t, { urls: [broker().url], destinations: [{ destination: COMPOSE }] });
    await logged(/connected/);
    const text = message('flatpak', 'Ümläute 😀 \\ : \r\n');
    await publish(broker().url, COMPOSE, [text, Buffer.from(text)]);
    await triggered(2);
    assert.equal(bus.status().messages.malformed, 0);
  });

  test('a message with headers that mean something elsewhere does no harm', async (t) => {
    const { bus, triggered, logged, lines } = startBus(t, {
      urls: [broker().url],
      destinations: [{ destination: COMPOSE }],
    });
    await logged(/connected/);
    const headers = {
      hasOwnProperty: 'x',
      toString: 'x',
      subscription: 'constructor',
      ack: 'x',
      'receipt-id': '1',
      long: 'x'.repeat(10_000),
    };
    await publish(broker().url, COMPOSE, [message('flatpak'), message('flatpak')], headers);
    await triggered(2);
    await publish(broker().url, COMPOSE, [message('flatpak')]);
    await triggered(3);
    assert.deepEqual([bus.status().reconnects, lines.length], [0, 1]);
  });

  test('a durable subscription receives what was sent meanwhile, once', async (t) => {
    const options = {
      urls: [broker().url],
      headers: connect,
      destinations: [{ destination: COMPOSE, headers: subscribe }],
    };
    const first = startBus(t, options);
    await first.logged(/connected/);
    await first.bus.close();

    await publish(broker().url, COMPOSE, [message('flatpak'), message('rpm'), 'no JSON', message('container')]);
    const second = startBus(t, options);
    await second.triggered(2);
    assert.deepEqual(second.bus.status().messages, { triggered: 2, ignored: 1, malformed: 1 });
    await second.bus.close();

    const third = startBus(t, options);
    await third.logged(/connected/);
    await publish(broker().url, COMPOSE, [message('flatpak')]);
    await third.triggered(1);
    assert.deepEqual(third.bus.status().messages, { triggered: 1, ignored: 0, malformed: 0 });
  });

  test('a burst of 1,000 messages leads to at most 3 rebuilds', async (t) => {
    let runs = 0;
    const { promise: burstIsOver, resolve: endFirst } = Promise.withResolvers<undefined>();
    const queue = new RebuildQueue({
      registries: new Map([['registry', ['index']]]),
      logger: pino({ level: 'silent' }),
      run: async (registry): Promise<RebuildResult> => {
        runs++;
        await burstIsOver;
        return { registry, seconds: 0, repositories: 0, requests: 0, newImages: 0, failures: [], indexes: [] };
      },
    });
    t.after(() => queue.close({ graceMs: 0 }));
    const { promise: all, resolve: haveAll } = Promise.withResolvers<undefined>();
    let requests = 0;
    const { logged } = startBus(t, {
      urls: [broker().url],
      destinations: [{ destination: COMPOSE }],
      onTrigger: (reason) => {
        queue.request({ reason, scope: { kind: 'everything' } });
        if (++requests === 1_000) haveAll(undefined);
      },
    });
    await logged(/connected/);
    await publish(
      broker().url,
      COMPOSE,
      Array.from({ length: 1_000 }, (_, number) => message('flatpak', `${number}`)),
    );
    await all;
    endFirst(undefined);
    await Promise.all(queue.recent().map(({ id }) => queue.finished(id)));
    t.diagnostic(`1,000 messages led to ${runs} rebuilds`);
    assert.ok(runs <= 3);
  });

  test('10,000 malformed messages leave the consumer running and its memory flat', async (t) => {
    const { bus, triggered, logged, lines } = startBus(t, {
      urls: [broker().url],
      destinations: [{ destination: COMPOSE }],
    });
    await logged(/connected/);
    const bodies = [
      'no JSON',
      '',
      '{}',
      '[1,2',
      'null',
      Buffer.from([0xff, 0x00, 0xfe, 0x0a]),
      'x'.repeat(20_000),
      `{"msg":${'['.repeat(1_000)}`,
    ];
    const send = async (count: number): Promise<void> => {
      await publish(
        broker().url,
        COMPOSE,
        Array.from({ length: count }, (_, number) => bodies[number % bodies.length] ?? ''),
      );
      await publish(broker().url, COMPOSE, [message('flatpak')]);
    };
    await send(2_000);
    await triggered(1);
    const heapBefore = heapUsed();
    await send(10_000);
    await triggered(2);
    const heapAfter = heapUsed();
    t.diagnostic(
      `heap: ${(heapBefore / 1e6).toFixed(1)} MB, and ${(heapAfter / 1e6).toFixed(1)} MB after 10,000 malformed messages`,
    );
    assert.deepEqual(bus.status().messages, { triggered: 2, ignored: 0, malformed: 12_000 });
    assert.ok(heapAfter - heapBefore < 1_000_000);
    assert.equal(lines.length, 2);
  });

  test('a body over 1 MiB is ignored', async (t) => {
    const { bus, triggered, logged } = startBus(t, { urls: [broker().url], destinations: [{ destination: COMPOSE }] });
    await logged(/connected/);
    await publish(broker().url, COMPOSE, [
      message('flatpak', 'x'.repeat(1024 * 1024)),
      message('flatpak', 'x'.repeat(1_000_000)),
    ]);
    await triggered(1);
    assert.deepEqual(bus.status().messages, { triggered: 1, ignored: 0, malformed: 1 });
  });

  test('the broker is stopped and started again, and the next message arrives', async (t) => {
    const { bus, triggers, triggered, logged } = startBus(t, {
      urls: [broker().url],
      destinations: [{ destination: COMPOSE }],
    });
    await logged(/connected/);
    await broker().stop();
    await logged(/lost the connection/);
    await broker().start();
    await triggered(1);
    assert.match(triggers[0] ?? '', /^bus: connected/);
    await publish(broker().url, COMPOSE, [message('flatpak')]);
    await triggered(2);
    assert.deepEqual([triggers[1], bus.status().reconnects], [`bus: flatpak on ${COMPOSE}`, 1]);
  });
}

/** The memory in use after garbage collection. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}
