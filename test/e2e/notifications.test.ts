import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { copyImage, deleteImage } from '../peers/skopeo.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { requestsIn } from './access-log.ts';
import { digestsIn, indexOf, settled, statusOf, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';

const PUSHES = 20;
const REPOSITORY = 'apps/pushed';

suite('a registry that notifies', needs('docker-registry', 'skopeo'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let server: Regindexer;
  before(async () => {
    // Each must know the other's address.
    const port = await freePort();
    registry = resources.use(
      await startDockerRegistry({ notifications: { url: `http://127.0.0.1:${port}/events`, token: TOKEN } }),
    );
    const config = {
      indexes: { apps: { registry: registry.url } },
      server: { port, events_token: TOKEN },
      rescan_interval: 0,
    };
    server = resources.use(await startRegindexer({ config }));
    await settled(server.url);
  });
  after(() => resources.disposeAsync());

  const file = (): string => join(server.folder, 'config.yaml');

  /** Pushes what nobody has seen before; resolves with its digest as soon as skopeo says that it is there. */
  const push = async (version: number | string, to: DockerRegistry = registry): Promise<string> => {
    const layout = join(server.folder, `layout-${version}`);
    const labels = { 'org.flatpak.ref': 'app/org.example.Pushed/x86_64/stable', version: String(version) };
    await writeLayout(layout, [{ labels }]);
    return copyImage({ from: `oci:${layout}`, to: `${to.host}/${REPOSITORY}:latest` });
  };

  const shows = async (digests: readonly string[]): Promise<void> =>
    eventually(async () => {
      assert.deepEqual(digestsIn(await indexOf(server.url), REPOSITORY), digests);
    });

  /** By the program's own count, for all that a push since `started` has led to. */
  const requestsSaid = async (started: string): Promise<number> =>
    eventually(async () => {
      const { rebuilds } = await settled(server.url);
      const led = rebuilds.filter(({ queuedAt }) => queuedAt >= started);
      assert.ok(led.some(({ reasons }) => reasons.includes('notification, second look')));
      return led.reduce((sum, { result }) => sum + (result?.requests ?? 0), 0);
    });

  test(`${PUSHES} pushes are in the index in less than a second, at few requests`, async (t) => {
    const times: number[] = [];
    const costs: number[] = [];
    for (let version = 0; version < PUSHES; version++) {
      const logged = registry.log.length;
      const started = new Date().toISOString();
      const digest = await push(version);
      const pushed = performance.now();
      await shows([digest]);
      times.push(performance.now() - pushed);
      const said = await requestsSaid(started);
      costs.push(
        await eventually(() => {
          const { length } = requestsIn(registry.log.slice(logged));
          assert.equal(length, said);
          return length;
        }),
      );
    }
    times.sort((a, b) => a - b);
    const median = times[PUSHES / 2] ?? assert.fail();
    const most = Math.max(...costs);
    t.diagnostic(
      `from the end of the push to the index: median ${Math.round(median)} ms, ${Math.round(times[0] ?? 0)} to ${Math.round(times.at(-1) ?? 0)} ms; at most ${most} requests to the registry for each`,
    );
    assert.ok(median < 1000);
    assert.ok(most <= 6);
  });

  test('a registry that can be given nothing but a URL is heard', async () => {
    const { host } = new URL(server.url);
    for (const url of [`http://registry:${TOKEN}@${host}/events`, `http://${host}/events/${TOKEN}`]) {
      await using other = await startDockerRegistry({ notifications: { url } });
      const { triggered } = (await statusOf(server.url)).events;
      await push('elsewhere', other);
      await eventually(async () => assert.equal((await statusOf(server.url)).events.triggered, triggered + 1));
    }
    await settled(server.url);
    assert.doesNotMatch(server.log, new RegExp(TOKEN));
  });

  test('what is deleted goes', async () => {
    await deleteImage(`${registry.host}/${REPOSITORY}:latest`);
    await shows([]);
  });

  test('what was pushed while the server was down is there after its start, though its notification is refused', async () => {
    await server.stop();
    const digest = await push('while down');
    await writeFile(file(), (await readFile(file(), 'utf8')).replace(TOKEN, 'another-token'));
    await server.start();
    const { rebuilds, events } = await settled(server.url);
    await shows([digest]);
    assert.deepEqual(
      rebuilds.map(({ reasons, result }) => [...reasons, result?.newImages]),
      [['start', 1]],
    );
    assert.equal(events.triggered, 0);
  });

  test('what was refused for its token is heard when the server has learnt that', async () => {
    const shown = await indexOf(server.url);
    const logged = registry.log.length;
    const digest = await push('refused');
    await eventually(() => assert.match(registry.log.slice(logged), /\/events.*401/));
    assert.deepEqual(await indexOf(server.url), shown);

    await server.stop();
    await writeFile(file(), (await readFile(file(), 'utf8')).replace('another-token', TOKEN));
    await server.start();
    await shows([digest]);
    await eventually(async () => assert.ok((await statusOf(server.url)).events.triggered > 0));
  });
});
