import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { startActivemq } from '../peers/activemq.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { startRabbitmq } from '../peers/rabbitmq.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { connectStomp, type Broker } from '../peers/stomp.ts';
import { digestsIn, indexOf, settled, statusOf } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { RegistryWriter } from './registry-writer.ts';

const REPOSITORY = 'apps/composed';
/** The topics that `daemon` gives unless told otherwise. */
const COMPOSE = '/topic/org.fedoraproject.dev.bodhi.compose.complete';
const MASHTASK = '/topic/org.fedoraproject.dev.bodhi.mashtask.complete';

suite('RabbitMQ', needs('docker-registry', 'rabbitmq-server'), () => {
  testWith(startRabbitmq, {
    destinations: [{ destination: COMPOSE, headers: { id: 'indexer', durable: true, 'auto-delete': false } }],
  });
});

suite('ActiveMQ', needs('docker-registry', 'activemq'), () => {
  testWith(startActivemq, {
    headers: { 'client-id': 'indexer' },
    destinations: [{ destination: COMPOSE, headers: { id: 'indexer', 'activemq.subscriptionName': 'indexer' } }],
  });
});

/** @param durable what `bus` needs for a subscription that outlives the connection */
function testWith(startBroker: () => Promise<Broker>, durable: object): void {
  const resources = new AsyncDisposableStack();
  let broker: Broker;
  let registry: DockerRegistry;
  let server: Regindexer;
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    broker = resources.use(await startBroker());
    server = resources.use(await startRegindexer({ config: configuration() }));
    await connected();
  });
  after(() => resources.disposeAsync());

  /** Nothing but the bus and the start says when to rebuild. */
  const configuration = (bus: object = {}): object => ({
    indexes: { apps: { registry: registry.url } },
    server: { port: 0 },
    rescan_interval: 0,
    bus: { url: broker.url, ...bus },
  });

  /** Waits until the server listens, and has done what its connection asks for. */
  const connected = async () => {
    await eventually(async () => assert.equal((await statusOf(server.url)).bus?.state, 'connected'), 60_000);
    return settled(server.url);
  };

  const publish = async (destination: string, message: object): Promise<void> => {
    await using connection = await connectStomp(broker);
    await connection.publish(destination, JSON.stringify(message));
  };

  let version = 0;
  /** Pushes what nobody has seen before. */
  const push = async (): Promise<string> =>
    (await new RegistryWriter(registry.url).image(REPOSITORY, { labels: { version: String(version++) } }, 'latest'))
      .digest;

  const shows = async (digest: string): Promise<void> =>
    eventually(async () => {
      assert.deepEqual(digestsIn(await indexOf(server.url), REPOSITORY), [digest]);
    });

  test('a message that a compose is complete has what was pushed indexed', async () => {
    const flatpak = await push();
    await publish(COMPOSE, { topic: 'org.fedoraproject.dev.bodhi.compose.complete', msg: { ctype: 'flatpak' } });
    await shows(flatpak);
    const container = await push();
    await publish(MASHTASK, { ctype: 'container' });
    await shows(container);
  });

  test('a message about something else does not', async () => {
    const { rebuilds, bus } = await settled(server.url);
    await push();
    await publish(COMPOSE, { msg: { ctype: 'rpm' } });
    await publish(COMPOSE, { msg: 'no compose' });
    await eventually(async () =>
      assert.deepEqual((await statusOf(server.url)).bus?.messages, {
        triggered: bus?.messages.triggered,
        ignored: 1,
        malformed: 1,
      }),
    );
    assert.deepEqual((await statusOf(server.url)).rebuilds, rebuilds);
  });

  test('the broker goes and comes back: what was missed is made up for, and the next message arrives', async () => {
    await broker.stop();
    await eventually(async () => assert.equal((await statusOf(server.url)).bus?.state, 'connecting'));
    const missed = await push();
    await broker.start();
    await connected();
    await shows(missed);
    const digest = await push();
    await publish(COMPOSE, { msg: { ctype: 'flatpak' } });
    await shows(digest);
    assert.equal((await statusOf(server.url)).bus?.reconnects, 1);
  });

  test('a durable subscription has what was sent while the server was down', async () => {
    await server.stop();
    await writeFile(join(server.folder, 'config.yaml'), stringify(configuration(durable)));
    await server.start();
    await connected();
    await server.stop();
    await publish(COMPOSE, { msg: { ctype: 'flatpak' } });
    await server.start();
    const { bus } = await eventually(async () => {
      const status = await statusOf(server.url);
      assert.ok(status.rebuilds.some(({ reasons }) => reasons.includes(`bus: flatpak on ${COMPOSE}`)));
      return status;
    });
    assert.equal(bus?.messages.triggered, 1);
  });
}
