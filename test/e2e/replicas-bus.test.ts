/** Replicas and a message bus: only the one that leads listens, and always at the same queue. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { connectAmqp } from '../peers/amqp.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { startRabbitmq } from '../peers/rabbitmq.ts';
import { run } from '../store/postgres/database.ts';
import { digestsIn, indexOf, settled, statusOf } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { RegistryWriter } from './registry-writer.ts';
import { isReady, startReplicas, type TestReplica } from './replicas.ts';

const REPOSITORY = 'apps/composed';
/** A topic that is listened to unless the configuration says otherwise. */
const TOPIC = 'org.fedoraproject.dev.bodhi.compose.complete';
const REASON = `bus: flatpak on ${TOPIC}`;

suite('replicas and a bus', needs('postgres', 'nginx', 'docker-registry', 'rabbitmq-server'), () => {
  test('the leader alone consumes; the next one has what was sent meanwhile, from the same queue', async () => {
    await using resources = new AsyncDisposableStack();
    const registry = resources.use(await startDockerRegistry());
    const broker = resources.use(await startRabbitmq());
    let version = 0;
    const push = async (): Promise<string> =>
      (await new RegistryWriter(registry.url).image(REPOSITORY, { labels: { version: String(version++) } }, 'latest'))
        .digest;
    await push();
    // Nothing but the bus and the begin of a term says when to rebuild.
    const config = { indexes: { apps: { registry: registry.url } }, rescan_interval: 0, bus: { url: broker.amqpUrl } };
    const replicas = resources.use(await startReplicas({ count: 2, config: () => config }));
    const client = resources.use(await connectAmqp(broker));
    const publish = (): Promise<void> => client.publish(TOPIC, [JSON.stringify({ msg: { ctype: 'flatpak' } })]);
    const queues = (): Promise<readonly { value: string }[]> =>
      run(replicas.connection, `SELECT value FROM setting WHERE key LIKE 'queue of %'`);

    const leader = await listening(await replicas.leader());
    const other = replicas.all.find((replica) => replica !== leader) ?? assert.fail();
    assert.equal((await statusOf(other.url)).bus, null);
    const [queue = assert.fail(), ...more] = await queues();
    assert.match(queue.value, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.deepEqual(more, []);
    const consumers = async (): Promise<number> => (await client.channel.checkQueue(queue.value)).consumerCount;
    assert.equal(await consumers(), 1);
    const first = await push();
    await publish();
    for (const replica of replicas.all) await shows(replica, first);

    await leader.service.kill();
    const second = await push();
    await publish();
    await listening(await replicas.leader(leader));
    await shows(other, second);
    const { rebuilds } = await statusOf(other.url);
    assert.equal(rebuilds.filter(({ reasons }) => reasons.includes(REASON)).length, 2);
    await leader.service.start();
    await eventually(() => isReady(leader));
    assert.deepEqual(await queues(), [queue]);
    assert.equal(await consumers(), 1);
  });
});

/** Waits until the leader listens; returns it. */
async function listening(leader: TestReplica): Promise<TestReplica> {
  await eventually(async () => assert.equal((await statusOf(leader.url)).bus?.state, 'connected'), 60_000);
  await settled(leader.url);
  return leader;
}

function shows({ url }: TestReplica, digest: string): Promise<void> {
  return eventually(async () => assert.deepEqual(digestsIn(await indexOf(url), REPOSITORY), [digest]));
}
