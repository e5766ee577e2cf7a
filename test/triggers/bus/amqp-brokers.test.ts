import assert from 'node:assert/strict';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { RebuildResult } from '../../../src/indexing/rebuild.ts';
import type { BusOptions } from '../../../src/triggers/bus/bus.ts';
import { RebuildQueue } from '../../../src/triggers/rebuild-queue.ts';
import { eventually } from '../../e2e/eventually.ts';
import { connectAmqp, type AmqpBroker } from '../../peers/amqp.ts';
import { makeCertificates, type Certificates } from '../../peers/certificates.ts';
import { needs } from '../../peers/installed.ts';
import type { Peer } from '../../peers/peer.ts';
import { startFedoraRabbitmq, startRabbitmq } from '../../peers/rabbitmq.ts';
import { CutOffProxy } from './cut-off-proxy.ts';
import { noMore, MEBIBYTE, used } from './flood.ts';
import { startBus } from './start-bus.ts';

const COMPOSE = 'org.example.prod.bodhi.compose.complete';
const UPDATE = 'org.example.prod.bodhi.update.complete.stable';
const DESTINATIONS = [{ destination: COMPOSE }, { destination: 'org.example.prod.bodhi.update.#' }];
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type Options = Partial<BusOptions> & Pick<BusOptions, 'urls'>;

/** A message without an envelope. */
function message(ctype: string, title = ''): string {
  return JSON.stringify({ ctype, title });
}

async function publish(broker: AmqpBroker, routingKey: string, ...bodies: readonly (string | Buffer)[]): Promise<void> {
  await using client = await connectAmqp(broker);
  await client.publish(routingKey, bodies);
}

/** Keeps settings as a store does. */
function settings(): Pick<BusOptions, 'keepSetting'> {
  const kept = new Map<string, string>();
  return {
    keepSetting: async (key, value) => {
      const setting = kept.get(key) ?? value;
      kept.set(key, setting);
      return setting;
    },
  };
}

suite('RabbitMQ with passwords', needs('rabbitmq-server'), () => {
  let broker: Peer & AmqpBroker;
  before(async () => {
    broker = await startRabbitmq();
  });
  after(() => broker[Symbol.asyncDispose]());

  testBroker(
    () => broker,
    () => ({ urls: [broker.amqpUrl] }),
  );

  test('a wrong password and a wrong virtual host are told in one line each, without the password', async (t) => {
    const url = new URL(broker.amqpUrl);
    const wrong = startBus(t, { urls: [broker.amqpUrl.replace('guest@', 's3cret@')] });
    const { msg, level } = await wrong.logged(/refuses/);
    assert.deepEqual(
      [level, msg],
      [
        50,
        `bus: amqp://${url.host}/%2F refuses the connection as guest to the virtual host /: ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. Check login, passcode and virtual host in bus.url`,
      ],
    );
    assert.doesNotMatch(JSON.stringify([wrong.lines, wrong.bus.status()]), /s3cret/);
    const elsewhere = startBus(t, { urls: [broker.amqpUrl.replace('%2F', 'elsewhere')] });
    await elsewhere.logged(
      /refuses the connection as guest to the virtual host elsewhere: the virtual host is missing, or not for this login\. Check/,
    );
  });

  test('a queue can have a name, and an exchange must exist', async (t) => {
    const named = startBus(t, { urls: [broker.amqpUrl], destinations: DESTINATIONS, queue: 'my queue' });
    assert.equal((await named.logged(/connected/)).queue, 'my queue');
    await publish(broker, COMPOSE, message('flatpak'));
    await named.triggered(1);
    const none = startBus(t, { urls: [broker.amqpUrl], exchange: 'none' });
    await none.logged(
      /cannot connect to .*: NOT_FOUND - no exchange 'none' in vhost '\/'\. Retrying until it succeeds/,
    );
  });

  test('with another binding comes another queue, so that nothing of the earlier one arrives', async (t) => {
    const { keepSetting } = settings();
    const options = { urls: [broker.amqpUrl], keepSetting, contentTypes: 'any' } as const;
    const first = startBus(t, { ...options, destinations: [{ destination: 'one' }] });
    const { queue } = await first.logged(/connected/);
    await first.bus.close();
    const second = startBus(t, { ...options, destinations: [{ destination: 'two' }] });
    assert.notEqual((await second.logged(/connected/)).queue, queue);
    await publish(broker, 'one', 'x');
    await publish(broker, 'two', 'x');
    await second.triggered(1);
    assert.deepEqual(second.triggers, ['bus: a message on two']);
  });
});

suite('RabbitMQ as Fedora has it', needs('rabbitmq-server', 'openssl'), () => {
  let folder: DisposableTempDir;
  let certificates: Certificates;
  let broker: Peer & AmqpBroker;
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-amqp-'));
    certificates = await makeCertificates(folder.path);
    broker = await startFedoraRabbitmq(certificates);
  });
  after(async () => {
    await broker[Symbol.asyncDispose]();
    await folder.remove();
  });
  const options = (): Options => ({
    urls: [broker.amqpUrl],
    caFile: certificates.authority,
    clientCert: certificates.clientCertificate,
    clientKey: certificates.clientKey,
  });

  testBroker(() => broker, options);

  test('a burst of 12,000 messages leads to at most 3 rebuilds, and leaves memory flat', async (t) => {
    const count = 12_000;
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
    const { bus, logged } = startBus(t, {
      ...options(),
      destinations: DESTINATIONS,
      onTrigger: (reason) => {
        queue.request({ reason, scope: { kind: 'everything' } });
        if (++requests === count) haveAll(undefined);
      },
    });
    await logged(/connected/);
    await using client = await connectAmqp(broker);
    const atStart = used();
    for (let sent = 0; sent < count; sent += 1_000)
      await client.publish(
        COMPOSE,
        Array.from({ length: 1_000 }, (_, number) => message('flatpak', `${sent + number}`)),
      );
    await all;
    await noMore(atStart, 5 * MEBIBYTE);
    endFirst(undefined);
    await Promise.all(queue.recent().map(({ id }) => queue.finished(id)));
    t.diagnostic(`12,000 messages led to ${runs} rebuilds`);
    assert.ok(runs <= 3);
    assert.deepEqual(bus.status().messages, { triggered: count, ignored: 0, malformed: 0 });
  });

  for (const [what, stop] of Object.entries({ stopped: 'SIGTERM', killed: 'SIGKILL' } as const))
    test(`the broker is ${what} and started again: the queue is there, and the next message arrives`, async (t) => {
      const { bus, triggers, triggered, lines, logged } = startBus(t, { ...options(), destinations: DESTINATIONS });
      const { queue } = await logged(/connected/);
      await broker.stop(stop);
      await logged(/lost the connection/);
      await broker.start();
      await triggered(1);
      await publish(broker, COMPOSE, message('flatpak'));
      await triggered(2);
      assert.deepEqual(triggers, ['bus: connected, messages may have been missed', `bus: flatpak on ${COMPOSE}`]);
      assert.equal(bus.status().reconnects, 1);
      const connections = lines.filter(({ msg }) => /connected/.test(msg));
      assert.deepEqual(
        connections.map((line) => line.queue),
        [queue, queue],
      );
    });

  test('the URL may name a user without a password, as in Fedora’s own configuration', async (t) => {
    const { logged } = startBus(t, { ...options(), urls: [broker.amqpUrl.replace('//', '//fedora:@')] });
    await logged(/connected/);
  });

  test('what is wrong with a login is told', async (t) => {
    const url = new URL(broker.amqpUrl);
    const { clientCert: _cert, clientKey: _key, ...nobody } = options();
    const cases: readonly (readonly [Options, RegExp])[] = [
      [nobody, /cannot connect to amqps:.*: TLS: tlsv13 alert certificate required\. Retrying/],
      [{ urls: [broker.amqpUrl] }, /cannot connect to amqps:.*: .*certificate/],
      [
        { ...options(), urls: [broker.amqpUrl.replace('//', '//me:s3cret@')] },
        /refuses the connection as me to the virtual host \/public_pubsub: the broker offers no login with a passcode \(PLAIN\)\. Check login/,
      ],
      [
        { ...options(), urls: [`amqps://${url.host}`] },
        /refuses the connection with the client certificate to the virtual host \/: the virtual host is missing, or not for this login\. Check bus\.client_cert, and the virtual host in bus\.url/,
      ],
      [
        { ...options(), queue: 'mine' },
        /cannot connect to amqps:.*: ACCESS_REFUSED - access to queue 'mine' in vhost '\/public_pubsub' refused for user 'regindexer test client'\. Retrying/,
      ],
      [
        { ...options(), urls: [`amqp://${url.host}`] },
        /cannot connect to amqp:.*: the broker sent something other than AMQP 0\.9\.1; it may speak another protocol, or require TLS/,
      ],
    ];
    for (const [wrong, expected] of cases) {
      const { lines, bus, logged } = startBus(t, wrong);
      await logged(expected);
      await bus.close();
      assert.equal(lines.length, 1);
      assert.doesNotMatch(JSON.stringify([lines, bus.status()]), /s3cret/);
    }
  });
});

/** Tests for every broker. `options` are what it takes to connect. */
function testBroker(broker: () => Peer & AmqpBroker, options: () => Options): void {
  const start = (t: TestContext, more: Partial<BusOptions> = {}) =>
    startBus(t, { destinations: DESTINATIONS, ...options(), ...more });

  test('a message of a wanted content type triggers, others do not', async (t) => {
    const { bus, triggers, triggered, logged } = start(t);
    assert.match((await logged(/connected/)).queue ?? '', UUID);
    await publish(broker(), COMPOSE, message('rpm'), message('flatpak', 'Ümläute 😀'), 'no JSON', '{}');
    await publish(broker(), `${COMPOSE}.not`, message('flatpak'));
    await publish(broker(), UPDATE, JSON.stringify({ update: { alias: 'FEDORA-1', content_type: 'container' } }));
    await publish(broker(), COMPOSE, Buffer.alloc(2 * MEBIBYTE, ' '));
    await publish(broker(), COMPOSE, JSON.stringify({ topic: COMPOSE, msg: { ctype: 'flatpak' } }));
    await triggered(3);
    assert.deepEqual(triggers, [
      `bus: flatpak on ${COMPOSE}`,
      `bus: container on ${UPDATE}`,
      `bus: flatpak on ${COMPOSE}`,
    ]);
    assert.deepEqual(bus.status().messages, { triggered: 3, ignored: 1, malformed: 3 });
  });

  test('the queue receives what was sent while nobody listened, once', async (t) => {
    const kept = settings();
    const first = start(t, kept);
    const { queue } = await first.logged(/connected/);
    await first.bus.close();

    await publish(broker(), COMPOSE, message('flatpak'), message('rpm'), 'no JSON', message('container'));
    const second = start(t, kept);
    await second.triggered(2);
    assert.deepEqual(second.bus.status().messages, { triggered: 2, ignored: 1, malformed: 1 });
    assert.equal((await second.logged(/connected/)).queue, queue);
    await second.bus.close();

    const third = start(t, kept);
    await third.logged(/connected/);
    await publish(broker(), COMPOSE, message('flatpak'));
    await third.triggered(1);
    assert.deepEqual(third.bus.status().messages, { triggered: 1, ignored: 0, malformed: 0 });
  });

  test('a message whose rebuild could not be queued comes again', async (t) => {
    const kept = settings();
    const first = start(t, {
      ...kept,
      onTrigger: () => {
        throw new Error('the service is stopping');
      },
    });
    await first.logged(/connected/);
    await publish(broker(), COMPOSE, message('flatpak'));
    await first.logged(/could not request/);
    await first.bus.close();
    const second = start(t, kept);
    await second.triggered(1);
  });

  test('a queue that was deleted is declared anew, and what was missed is made up for', async (t) => {
    const { bus, triggers, triggered, logged } = start(t);
    const { queue = '' } = await logged(/connected/);
    {
      await using client = await connectAmqp(broker());
      await client.channel.deleteQueue(queue);
    }
    await logged(/lost the connection to .*: the broker has deleted the queue [0-9a-f-]+\. Reconnecting/);
    await triggered(1);
    await publish(broker(), COMPOSE, message('flatpak'));
    await triggered(2);
    assert.deepEqual(triggers, ['bus: connected, messages may have been missed', `bus: flatpak on ${COMPOSE}`]);
    assert.equal(bus.status().reconnects, 1);
  });

  test('a connection that is cut off, or silent, is made again', async (t) => {
    const url = new URL(broker().amqpUrl);
    await using proxy = await CutOffProxy.start(Number(url.port));
    url.port = String(proxy.port);
    const { bus, triggers, triggered, logged } = start(t, { urls: [url.href], heartbeat: 1_000 });
    await logged(/connected/);
    proxy.cut();
    await logged(/lost the connection to .*: the broker closed the connection/);
    await triggered(1);
    proxy.silence();
    await triggered(2);
    assert.equal(bus.status().lastError?.message, 'the broker has stopped sending heart-beats');
    await publish(broker(), COMPOSE, message('flatpak'));
    await eventually(() => assert.equal(triggers.at(-1), `bus: flatpak on ${COMPOSE}`));
  });

  test('the next broker of the list is tried at once', async (t) => {
    const gone = new URL(broker().amqpUrl);
    gone.port = '1';
    const { bus, logged } = start(t, {
      urls: [gone.href, broker().amqpUrl],
      pauses: { first: 600_000, longest: 600_000 },
    });
    await logged(/cannot connect to .*ECONNREFUSED/);
    await logged(/connected/);
    assert.match(bus.status().url ?? '', new RegExp(new URL(broker().amqpUrl).host));
  });
}
