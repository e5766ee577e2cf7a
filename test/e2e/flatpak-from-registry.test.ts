import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { makeSample, pushSamples } from '../fixtures/samples.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient, type FlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { copyImage } from '../peers/skopeo.ts';
import { digestsIn, indexOf, reindex, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { addRemote, installHello, runHello, searchHello, update, updateAppstream } from './sample-user.ts';

suite(
  'flatpak with a registry behind a server index',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'),
  () => {
    const resources = new AsyncDisposableStack();
    let registry: DockerRegistry;
    let server: Regindexer;
    let user: FlatpakClient;
    before(async () => {
      registry = resources.use(await startDockerRegistry());
      await pushSamples(registry.host);
      server = resources.use(
        await startRegindexer({
          config: {
            indexes: {
              apps: { registry: registry.url, registry_public: registry.url, tags: ['latest'], extract_icons: true },
            },
            // Flatpak would keep the index for so long and not ask for another.
            server: { port: 0, admin_token: TOKEN, events_token: TOKEN, max_age: 0 },
          },
        }),
      );
      user = resources.use(await startFlatpakClient());
      await settled(server.url);
    });
    after(() => resources.disposeAsync());

    const push = async (version: string, host: string): Promise<string> => {
      const layout = await makeSample('apps/hello', version, join(user.folder, 'images'));
      return copyImage({ from: `oci:${layout}`, to: `${host}/apps/hello:latest` });
    };

    test('it lists, installs and runs an app', async () => {
      await addRemote(user, server.url);
      await installHello(user);
      await runHello(user, '1.0');
    });

    test('it gets appdata and icons, and finds an app by them', async () => {
      await updateAppstream(user, server.url);
      await searchHello(user, '1.0');
    });

    test('it updates to a version that was pushed, after POST /reindex', async () => {
      const digest = await push('2.0', registry.host);
      assert.notDeepEqual(digestsIn(await indexOf(server.url), 'apps/hello'), [digest]);
      await reindex(server.url);
      await update(user);
      await runHello(user, '2.0');
    });

    test('it updates to a version that was pushed, after the registry notified', async () => {
      // Another door to the same storage, which has a bell.
      await using notifying = await startDockerRegistry({
        notifications: { url: `${server.url}/events`, token: TOKEN },
        sections: { storage: { filesystem: { rootdirectory: join(registry.folder, 'storage') } } },
      });
      const digest = await push('3.0', notifying.host);
      await eventually(async () => {
        assert.deepEqual(digestsIn(await indexOf(server.url), 'apps/hello'), [digest]);
      });
      await update(user);
      await runHello(user, '3.0');
      await updateAppstream(user, server.url);
      await searchHello(user, '3.0');
    });
  },
);
