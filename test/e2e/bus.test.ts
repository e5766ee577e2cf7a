import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { startActivemq } from '../peers/activemq.ts';
import { connectAmqp } from '../peers/amqp.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import type { Peer } from '../peers/peer.ts';
import { startFedoraRabbitmq, startRabbitmq } from '../peers/rabbitmq.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { connectStomp, type Broker } from '../peers/stomp.ts';
import { digestsIn, indexOf, settled, statusOf } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { RegistryWriter } from './registry-writer.ts';

const REPOSITORY = 'apps/composed';
/** The topics that `daemon` gives unless told otherwise. */
const COMPOSE = 'org.fedoraproject.dev.bodhi.compose.complete';
const MASHTASK = 'org.fedoraproject.dev.bodhi.mashtask.complete';

/** A broker, and how it is used. */
interface BusUnderTest extends AsyncDisposable {
  readonly broker: Peer;
  /** The section `bus`. */
  readonly config: object;
  /** The section for a subscription that outlives the connection. */
  readonly durable: object;
  /** What the service calls a topic. */
  nameOf(topic: string): string;
  publish(topic: string, message: object): Promise<void>;
}

suite('RabbitMQ', needs('docker-registry', 'rabbitmq-server'), () => {
  testWith(async () =>
    overStomp(await startRabbitmq(), {
      destinations: [
        { destination: `/topic/${COMPOSE}`, headers: { id: 'indexer', durable: true, 'auto-delete': false } },
      ],
    }),
  );
});

suite('ActiveMQ', needs('docker-registry', 'activemq'), () => {
  testWith(async () =>
    overStomp(await startActivemq(), {
      headers: { 'client-id': 'indexer' },
      destinations: [
        { destination: `/topic/${COMPOSE}`, headers: { id: 'indexer', 'activemq.subscriptionName': 'indexer' } },
      ],
    }),
  );
});

suite('RabbitMQ as Fedora has it', needs('docker-registry', 'rabbitmq-server', 'openssl'), () => {
  testWith(async () => {
    const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-bus-'));
    const certificates = await makeCertificates(folder.path);
    const broker = await startFedoraRabbitmq(certificates);
    const config = {
      url: broker.amqpUrl,
      ca_file: certificates.authority,
      client_cert: certificates.clientCertificate,
      client_key: certificates.clientKey,
    };
    return {
      broker,
      config,
      durable: config,
      nameOf: (topic) => topic,
      publish: async (topic, message) => {
        await using client = await connectAmqp(broker);
        await client.publish(topic, [JSON.stringify(message)]);
      },
      [Symbol.asyncDispose]: async () => {
        await broker[Symbol.asyncDispose]();
        await folder.remove();
      },
    };
  });
});

/** @param durable what `bus` needs for a subscription that outlives the connection */
function overStomp(broker: Broker, durable: object): BusUnderTest {
  return {
    broker,
    config: { url: broker.url },
    durable: { url: broker.url, ...durable },
    nameOf: (topic) => `/topic/${topic}`,
    publish: async (topic, message) => {
      await using connection = await connectStomp(broker);
      await connection.publish(`/topic/${topic}`, JSON.stringify(message));
    },
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
}

function testWith(start: () => Promise<BusUnderTest>): void {
  const resources = new AsyncDisposableStack();
  let bus: BusUnderTest;
  let registry: DockerRegistry;
  let server: Regindexer;
  before(async () => {
    registry = resources.use(await startDockerRegistry());
    bus = resources.use(await start());
    server = resources.use(await startRegindexer({ config: configuration(bus.config) }));
    await connected();
  });
  after(() => resources.disposeAsync());

  /** Nothing but the bus and the start says when to rebuild. */
  const configuration = (section: object): object => ({
    indexes: { apps: { registry: registry.url } },
    server: { port: 0 },
    rescan_interval: 0,
    bus: section,
  });

  /** Waits until the server listens, and has done what its connection asks for. */
  const connected = async () => {
    await eventually(async () => assert.equal((await statusOf(server.url)).bus?.state, 'connected'), 60_000);
    return settled(server.url);
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
    await bus.publish(COMPOSE, { topic: COMPOSE, msg: { ctype: 'flatpak' } });
    await shows(flatpak);
    const container = await push();
    await bus.publish(MASHTASK, { ctype: 'container' });
    await shows(container);
  });

  test('a message about something else does not', async () => {
    const { rebuilds, bus: earlier } = await settled(server.url);
    await push();
    await bus.publish(COMPOSE, { msg: { ctype: 'rpm' } });
    await bus.publish(COMPOSE, { msg: 'no compose' });
    await eventually(async () =>
      assert.deepEqual((await statusOf(server.url)).bus?.messages, {
        triggered: earlier?.messages.triggered,
        ignored: 1,
        malformed: 1,
      }),
    );
    assert.deepEqual((await statusOf(server.url)).rebuilds, rebuilds);
  });

  test('the broker goes and comes back: what was missed is made up for, and the next message arrives', async () => {
    await bus.broker.stop();
    await eventually(async () => assert.equal((await statusOf(server.url)).bus?.state, 'connecting'));
    const missed = await push();
    await bus.broker.start();
    await connected();
    await shows(missed);
    const digest = await push();
    await bus.publish(COMPOSE, { msg: { ctype: 'flatpak' } });
    await shows(digest);
    assert.equal((await statusOf(server.url)).bus?.reconnects, 1);
  });

  test('a durable subscription has what was sent while the server was down', async () => {
    await server.stop();
    await writeFile(join(server.folder, 'config.yaml'), stringify(configuration(bus.durable)));
    await server.start();
    await connected();
    await server.stop();
    await bus.publish(COMPOSE, { msg: { ctype: 'flatpak' } });
    await server.start();
    const { bus: now } = await eventually(async () => {
      const status = await statusOf(server.url);
      assert.ok(status.rebuilds.some(({ reasons }) => reasons.includes(`bus: flatpak on ${bus.nameOf(COMPOSE)}`)));
      return status;
    });
    assert.equal(now?.messages.triggered, 1);
  });
}
