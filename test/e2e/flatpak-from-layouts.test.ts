import assert from 'node:assert/strict';
import { cp, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { makeSample, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient, type FlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { reindex, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { addRemote, installHello, runHello, searchHello, update, updateAppstream } from './sample-user.ts';

const CONFIG = resolve(import.meta.dirname, '../../config.yaml');

suite('flatpak with a folder of image layouts', needs('flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'), () => {
  const resources = new AsyncDisposableStack();
  let server: Regindexer;
  let user: FlatpakClient;
  let images: string;
  before(async () => {
    user = resources.use(await startFlatpakClient());
    images = join(user.folder, 'images');
    await cp(SAMPLE_IMAGES, images, { recursive: true });
    server = resources.use(
      await startRegindexer({
        config: {
          indexes: { apps: { registry: `oci:${images}`, extract_icons: true } },
          // Flatpak would keep the index for so long and not ask for another.
          server: { port: 0, admin_token: TOKEN, max_age: 0 },
        },
      }),
    );
    await settled(server.url);
  });
  after(() => resources.disposeAsync());

  test('it lists, installs and runs an app', async () => {
    await addRemote(user, server.url);
    await installHello(user);
    await runHello(user, '1.0');
  });

  test('it gets appdata and icons, and finds an app by them', async () => {
    await updateAppstream(user, server.url);
    await searchHello(user, '1.0');
  });

  test('it updates to a version that was put into the folder', async () => {
    await makeSample('apps/hello', '2.0', images);
    await reindex(server.url);
    await update(user);
    await runHello(user, '2.0');
    await updateAppstream(user, server.url);
    await searchHello(user, '2.0');
  });
});

test('what a start with config.yaml prints installs an app', needs('flatpak', 'dbus-daemon'), async () => {
  await using user = await startFlatpakClient();
  await using server = await startRegindexer({ terminal: true, config: await movedConfig() });
  const lines = await eventually(() => {
    assert.match(server.log, /^Serving at http:\/\/127\.0\.0\.1:\d+\r$/m);
    const printed = server.log.match(/(?<=^ {2}flatpak ).*(?=\r$)/gm) ?? [];
    assert.equal(printed.length, 2);
    return printed;
  });
  const [add = '', install = ''] = lines;
  await user.flatpak(...add.split(' '));
  await user.flatpak(...install.split(' '), '--assumeyes');
  const [, app = ''] = /\/([^/]+)\.flatpakref$/.exec(install) ?? [];
  assert.match(await user.flatpak('run', '--user', app), /^\d\d:\d\d:\d\d UTC, org\.example\.Clock 1\.0\n$/);
});

/** The repository's configuration for a copy elsewhere, on a free port. Its state is beside the copy. */
async function movedConfig(): Promise<string> {
  const config = await readFile(CONFIG, 'utf8');
  assert.match(config, /^#state_dir: \.\/state$/m, 'the default, beside the copy');
  return config.replace('oci:test/fixtures/images', `oci:${SAMPLE_IMAGES}`).concat('server: {port: 0}\n');
}
