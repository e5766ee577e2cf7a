/** The same app in two repositories, seen with the real flatpak. */
import assert from 'node:assert/strict';
import { cp, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { flatpakQuery } from '../../src/indexing/query/query.ts';
import { makeSample, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient, type FlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { runRegindexer, startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { digestsIn, get, indexOf, reindex, settled, statusOf, TOKEN } from './ask-server.ts';
import { installHello, runHello, update } from './sample-user.ts';

const TOLD =
  'app/org.example.Hello/x86_64/stable (linux/amd64) is in several repositories: clients get it from apps/hello, not from zoo/hello (with the tag latest); choose with repository_priority or repository_exclude';

suite('the same app in two repositories', needs('flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'), () => {
  const resources = new AsyncDisposableStack();
  let server: Regindexer;
  let user: FlatpakClient;
  let images: string;
  before(async () => {
    user = resources.use(await startFlatpakClient());
    images = join(user.folder, 'images');
    await cp(SAMPLE_IMAGES, images, { recursive: true });
    await cp(await makeSample('apps/hello', '2.0', join(user.folder, 'newer')), join(images, 'zoo/hello'), {
      recursive: true,
    });
    // Flatpak would keep the index for so long and not ask for another.
    server = resources.use(
      await startRegindexer({
        config: {
          indexes: { apps: { registry: `oci:${images}` } },
          server: { port: 0, admin_token: TOKEN, max_age: 0 },
        },
      }),
    );
    await settled(server.url);
    await user.flatpak('remote-add', '--user', 'apps', `oci+${server.url}`);
  });
  after(() => resources.disposeAsync());

  const offered = async (): Promise<string> =>
    `sha256:${(await user.flatpak('remote-info', '--user', '--show-commit', 'apps', 'org.example.Hello')).trim()}`;

  test('clients get that of the first repository by name, however many other apps come and go', async () => {
    const index = await indexOf(server.url);
    const [first] = digestsIn(index, 'apps/hello');
    assert.equal(digestsIn(index, 'zoo/hello').length, 1);
    await installHello(user);
    await runHello(user, '1.0');
    for (const [i, place] of ['aa', 'apps', 'mm', 'zz', 'ab', 'zp', 'bb'].entries()) {
      await writeLayout(join(images, place, `other${i}`), [{ labels: flatpakLabels({ id: `org.example.Other${i}` }) }]);
      if (i === 4) await rename(join(images, 'aa'), join(user.folder, 'gone'));
      await reindex(server.url);
      assert.equal(await offered(), first);
    }
    await update(user);
    await runHello(user, '1.0');
    const listed = await user.flatpak('remote-ls', '--user', '--all', 'apps', '--columns=ref');
    assert.equal(listed.split('\n').filter((ref) => ref.includes('org.example.Hello/')).length, 1);
  });

  test('the page, .flatpakref and index/dynamic have the same, and the other is named in /status and the log', async () => {
    for (const route of ['static', 'dynamic']) {
      const answer = (
        await get(`${server.url}/index/${route}?${flatpakQuery('latest', 'amd64').canonical}`)
      ).body.toString();
      assert.ok(answer.includes('"apps/hello"') && !answer.includes('"zoo/hello"'), route);
    }
    assert.match(
      (await get(`${server.url}/apps/org.example.Hello.flatpakref`)).body.toString(),
      /^Name=org\.example\.Hello$/m,
    );
    const app = JSON.parse((await get(`${server.url}/api/apps/org.example.Hello`)).body.toString()) as {
      images: { repository: string }[];
      releases: { version: string }[];
    };
    assert.deepEqual(
      app.images.map(({ repository }) => repository),
      ['apps/hello'],
    );
    assert.equal(app.releases[0]?.version, '1.0');
    assert.deepEqual((await statusOf(server.url)).indexes[0]?.warnings, [TOLD]);
    assert.equal(server.log.split('\n').filter((line) => line.includes(`"msg":${JSON.stringify(TOLD)}`)).length, 1);
  });

  test('regindexer index names it each time', async () => {
    const config = join(user.folder, 'index.yaml');
    await writeFile(config, `indexes: {apps: {registry: "oci:${images}"}}`);
    for (let i = 0; i < 2; i++) {
      const { code, stderr } = await runRegindexer(['-c', config, 'index']);
      assert.equal(code, 0, stderr);
      assert.ok(stderr.includes(TOLD), stderr);
    }
  });
});
