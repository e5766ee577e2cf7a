import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { get, indexOf, settled } from './ask-server.ts';
import { addRemote, installHello, runHello, updateAppstream } from './sample-user.ts';

test(
  'flatpak hands icons that app data names on to software centres, and has its own beside them',
  needs('flatpak', 'dbus-daemon'),
  async () => {
    const port = await freePort();
    await using user = await startFlatpakClient();
    await using server = await startRegindexer({
      config: {
        indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true, remote_icons: true } },
        server: { port, base_url: `http://127.0.0.1:${port}`, max_age: 0 },
      },
    });
    await settled(server.url);
    await addRemote(user, server.url);
    await updateAppstream(user, server.url);

    const folder = join(user.installation, 'appstream/apps/x86_64');
    const file = (await readdir(folder)).find((name) => name.startsWith('appstream.xml')) ?? '';
    const bytes = await readFile(join(folder, file));
    const xml = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    const [component = ''] = xml.match(/<component [^>]*>\s*<id>org\.example\.Hello<[^]*?<\/component>/) ?? [];
    const icons = [...component.matchAll(/<icon type="remote" width="(\d+)" height="\1">([^<]+)<\/icon>/g)].map(
      ([, size, url]) => [size, url],
    );
    const { Labels = {} } =
      (await indexOf(server.url)).Results.find(({ Name }) => Name === 'apps/hello')?.Images[0] ?? {};
    assert.deepEqual(
      icons,
      ['64', '128'].map((size) => [
        size,
        `http://127.0.0.1:${port}${Labels[`org.freedesktop.appstream.icon-${size}`]}`,
      ]),
    );
    for (const [, url = ''] of icons) assert.deepEqual((await get(url)).body.subarray(1, 4).toString(), 'PNG');

    assert.equal((await indexOf(server.url)).Registry, `http://127.0.0.1:${port}/`);
    await installHello(user);
    await runHello(user, '1.0');
  },
);
