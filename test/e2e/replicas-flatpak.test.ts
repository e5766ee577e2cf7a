/** A user of Flatpak, whom a load balancer leads to replicas of which the leading one is killed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { makeSample, pushSamples } from '../fixtures/samples.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient, type FlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { copyImage } from '../peers/skopeo.ts';
import { digestsIn, indexOf, notify } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startHoldingProxy, type HoldingProxy } from './holding-proxy.ts';
import { isReady, startReplicas, type TestReplicas } from './replicas.ts';
import { addRemote, installHello, runHello, searchHello, update, updateAppstream } from './sample-user.ts';

suite(
  'flatpak with replicas of which the leading one is killed',
  needs('postgres', 'docker-registry', 'nginx', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  () => {
    const resources = new AsyncDisposableStack();
    let registry: DockerRegistry;
    let held: HoldingProxy;
    let replicas: TestReplicas;
    let user: FlatpakClient;
    before(async () => {
      registry = resources.use(await startDockerRegistry());
      await pushSamples(registry.host);
      held = resources.use(await startHoldingProxy(registry.url));
      replicas = resources.use(
        await startReplicas({
          count: 3,
          config: () => ({
            indexes: { apps: { registry: held.url, registry_public: '/', tags: ['latest'], extract_icons: true } },
            // Flatpak would keep the index for so long and not ask for another.
            server: { registry_proxy: true, max_age: 0 },
            rescan_interval: 0,
          }),
        }),
      );
      user = resources.use(await startFlatpakClient());
    });
    after(() => resources.disposeAsync());

    /** Kills the leader while `use` waits for the registry; returns once it is there again. */
    const killDuring = async (use: () => Promise<void>): Promise<void> => {
      const leader = await replicas.leader();
      const isHeld = held.holdAfter(1);
      const used = use();
      await isHeld;
      await leader.service.kill();
      held.release();
      await used;
      const next = await replicas.leader(leader);
      await leader.service.start();
      await eventually(() => isReady(leader));
      assert.equal(await replicas.leader(), next);
    };

    test('it installs', async () => {
      await addRemote(user, replicas.url);
      await killDuring(() => installHello(user));
      await runHello(user, '1.0');
      await updateAppstream(user, replicas.url);
    });

    test('it updates to what was pushed', async () => {
      const layout = await makeSample('apps/hello', '2.0', join(user.folder, 'images'));
      const digest = await copyImage({ from: `oci:${layout}`, to: `${registry.host}/apps/hello:latest` });
      assert.equal(await notify(replicas.url, 'apps/hello'), 202);
      for (const { url } of replicas.all)
        await eventually(async () => assert.deepEqual(digestsIn(await indexOf(url), 'apps/hello'), [digest]));
      await killDuring(() => update(user));
      await runHello(user, '2.0');
      await updateAppstream(user, replicas.url);
      await searchHello(user, '2.0');
    });
  },
);
