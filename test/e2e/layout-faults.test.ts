import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { indexOf, settled, statusOf, TOKEN } from './ask-server.ts';

suite('a folder of what build-bundle has written, some of which cannot be used', () => {
  const resources = new AsyncDisposableStack();
  let folder: string;
  const faults: RegExp[] = [];
  before(async () => {
    folder = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-layouts-'))).path;
    const images = join(folder, 'images');
    await cp(join(SAMPLE_IMAGES, 'apps/hello'), join(images, 'org.example.Hello'), { recursive: true });
    await cp(join(SAMPLE_IMAGES, 'runtime/platform'), join(images, 'Runtimes/org.example.Platform'), {
      recursive: true,
    });
    for (const path of ['Clock', 'CLOCK'])
      await cp(join(SAMPLE_IMAGES, 'apps/clock'), join(images, path), { recursive: true });
    await writeLayout(join(images, 'My App'));
    const [crossed] = await writeLayout(join(images, 'crossed'), [
      { architecture: 'amd64', labels: flatpakLabels({ id: 'org.example.Crossed', architecture: 'aarch64' }) },
    ]);
    faults.push(
      new RegExp(`${images}/My App: cannot name a repository; rename it`),
      new RegExp(`${images}/CLOCK: would be the repository clock, as would Clock: .*; rename one of them`),
      new RegExp(`${images}/Clock: would be the repository clock, as would CLOCK`),
      new RegExp(`crossed@${crossed?.digest}: its Flatpak ref is for aarch64, but its image config says amd64`),
    );
    await writeFile(join(folder, 'config.yaml'), stringify({ indexes: { apps: { registry: 'oci:images' } } }));
  });
  after(() => resources.disposeAsync());

  test('index ends with what they are, and so does check', async () => {
    const config = join(folder, 'config.yaml');
    for (const _ of ['made', 'unchanged']) {
      const { code, stdout, stderr } = await runRegindexer(['-c', config, 'index']);
      assert.equal(code, 0);
      assert.match(stdout, /^apps: 3 images, /);
      const warnings = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { level: string; msg: string })
        .filter(({ level }) => level === 'warn');
      for (const fault of faults) assert.equal(warnings.filter(({ msg }) => fault.test(msg)).length, 1, String(fault));
    }
    const { code, stdout } = await runRegindexer(['-c', config, 'check']);
    assert.equal(code, 0);
    for (const fault of faults) assert.match(stdout, new RegExp(`^Warning: .*${fault.source}`, 'm'));
  });

  test('/status names them, and the rest is served', needs('flatpak', 'dbus-daemon'), async () => {
    await using server = await startRegindexer({
      config: {
        indexes: { apps: { registry: `oci:${join(folder, 'images')}` } },
        server: { port: 0, admin_token: TOKEN },
      },
    });
    await settled(server.url);
    const { indexes } = await statusOf(server.url);
    for (const fault of faults)
      assert.equal(indexes[0]?.warnings?.filter((warning) => fault.test(warning)).length, 1, String(fault));
    assert.deepEqual(
      (await indexOf(server.url)).Results.map(({ Name }) => Name),
      ['crossed', 'org.example.hello', 'runtimes/org.example.platform'],
    );
    await using user = await startFlatpakClient();
    await user.flatpak(
      'install',
      '--user',
      '--assumeyes',
      '--noninteractive',
      `${server.url}/apps/org.example.Hello.flatpakref`,
    );
    assert.equal(await user.flatpak('run', '--user', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
  });
});
