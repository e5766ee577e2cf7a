import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtempDisposable, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { stringify } from 'yaml';
import type { ImageJson, IndexJson } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { startDockerRegistry, type DockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { startPeer } from '../peers/peer.ts';
import { CLI, runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import { commandResultOnTerminal, type CommandResult } from '../peers/run-command.ts';
import { requestsIn } from './access-log.ts';
import { digestsIn, get, indexOf, settled } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startHoldingProxy } from './holding-proxy.ts';
import { referenceIndex, type IndexSection } from './reference-index.ts';
import { RegistryWriter } from './registry-writer.ts';
import { fillRegistry } from './varied-registry.ts';

/** A last `/` is added. */
const ICONS_URI = 'https://flatpaks.example.org/app-icons';

suite("regindexer's own configuration", needs('docker-registry', 'skopeo'), () => {
  const resources = new AsyncDisposableStack();
  let registry: DockerRegistry;
  let folder: string;
  let config: string;
  let sections: Readonly<Record<string, IndexSection & { readonly output: string }>>;

  before(async () => {
    registry = resources.use(await startDockerRegistry());
    await fillRegistry(registry);
    folder = join(registry.folder, 'regindexer');
    await mkdir(folder);
    config = join(folder, 'config.yaml');
    sections = sectionsFor(registry.url, folder);
    await writeFile(config, configuration());
  });
  after(() => resources.disposeAsync());

  const configuration = (more: object = {}): string =>
    stringify({
      icons_dir: join(folder, 'icons'),
      icons_uri: ICONS_URI,
      indexes: sections,
      daemon: { topic_prefix: 'org.example', environment: 'prod' },
      ...more,
    });

  const index = async (): Promise<CommandResult> => runRegindexer(['-c', config, 'index']);

  /** The outputs hold what regindexer would write for the registry as it is now. */
  const assertLikeReference = async (): Promise<void> => {
    for (const [name, section] of Object.entries(sections)) {
      assert.deepEqual(await outputOf(section), await referenceIndex(section, `${ICONS_URI}/`), name);
    }
  };

  const outputStates = async () =>
    Promise.all(
      Object.values(sections).map(async ({ output }) => {
        const { ino, mtimeNs } = await stat(output, { bigint: true });
        return { output, ino, mtimeNs, content: await readFile(output, 'utf8') };
      }),
    );

  test('the first run writes what regindexer writes', async (t) => {
    const { code, stdout, stderr } = await index();
    assert.equal(code, 0, stderr);
    await assertLikeReference();
    for (const [name, section] of Object.entries(sections)) {
      const { size } = await stat(section.output);
      assert.match(
        stdout,
        new RegExp(
          `^${name}: ${imagesOf(await outputOf(section)).length} images, ${size} bytes, changed, [\\d.]+ s$`,
          'm',
        ),
      );
    }
    assert.match(stderr, /icon-128 is left out: it does not begin with the PNG signature/);
    t.diagnostic(stdout);
  });

  test('the icons that it names are on disk', async () => {
    const uris = imagesOf(await outputOf(sections['all'] ?? assert.fail()))
      .flatMap(({ Labels, Annotations }) => [...Object.values(Labels), ...Object.values(Annotations)])
      .filter((value) => value.startsWith(ICONS_URI));
    assert.ok(new Set(uris).size > 5);
    for (const uri of uris) {
      const png = await readFile(join(folder, 'icons', uri.slice(ICONS_URI.length)));
      const sha256 = createHash('sha256').update(png).digest('hex');
      assert.equal(uri, `${ICONS_URI}/${sha256.slice(0, 2)}/${sha256.slice(2)}.png`);
    }
  });

  test('a second run asks for tags alone, and leaves the outputs alone', async (t) => {
    const written = await outputStates();
    const logged = registry.log.length;
    const { code, stdout, stderr } = await index();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await outputStates(), written);
    for (const name of Object.keys(sections)) assert.match(stdout, new RegExp(`^${name}: .*, unchanged, `, 'm'));

    const said = Number(/"requests":(\d+)/.exec(stderr)?.[1]);
    const asked = await eventually(() => {
      const requests = requestsIn(registry.log.slice(logged));
      assert.equal(requests.length, said);
      return requests.length;
    });
    const { repositories, tags } = await countTags(registry.url);
    t.diagnostic(
      `${asked} requests by the registry's access log and by the program's own count; ${repositories} repositories, ${tags} tags`,
    );
    assert.ok(asked <= 1 + repositories + tags);
  });

  test('tags that moved, came and went are in the next outputs', async () => {
    const writer = new RegistryWriter(registry.url);
    await writer.image('apps/plain', { labels: { now: 'with a label' } }, 'nightly');
    await writer.image('apps/untagged', { architecture: 'arm64' }, 'latest');
    await deleteManifest(registry.url, 'charts/hello', '1.0');
    await deleteManifest(registry.url, 'mirror/hello', 'latest');
    const { code, stderr } = await index();
    assert.equal(code, 0, stderr);
    await assertLikeReference();
  });

  test('an image that cannot be read is named, and what was known of its repository is kept', async () => {
    const writer = new RegistryWriter(registry.url);
    await writer.image('apps/plain', { labels: { now: 'with another label' } }, 'nightly');
    const expected = await referenceIndex(sections['all'] ?? assert.fail(), `${ICONS_URI}/`);
    const image = { labels: { lost: 'yes' }, annotations: { 'org.example.kind': 'app' } };
    await writer.image('apps/odd', image, 'latest');
    const {
      config: { digest },
    } = (await (
      await request(`${registry.url}/v2/apps/odd/manifests/latest`, {
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
      })
    ).body.json()) as { config: { digest: string } };
    const hex = digest.slice('sha256:'.length);
    await rm(join(registry.folder, 'storage/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex), {
      recursive: true,
    });

    const { code, stdout, stderr } = await index();
    assert.equal(code, 1, stdout);
    assert.match(
      stderr,
      new RegExp(`"repository":"apps/odd".*not read, what was known is kept: tag latest: .*${digest}`),
    );
    assert.deepEqual(await outputOf(sections['all'] ?? assert.fail()), expected);

    await writer.image('apps/odd', image, 'latest');
    assert.equal((await index()).code, 0);
    await assertLikeReference();
  });

  test('on a terminal there is a bar', async () => {
    const { code, stdout } = await commandResultOnTerminal(process.execPath, [CLI, '-c', config, 'index'], {
      env: { PATH: '/usr/bin:/bin', HOME: folder, COLUMNS: '160' },
    });
    assert.equal(code, 0, stdout);
    const { repositories } = await countTags(registry.url);
    assert.match(
      stdout,
      new RegExp(`[=-]{40} \\d+ % │ \\d+ of ${repositories} repositories │ \\d+ new images │ \\d+ requests │ .* left`),
    );
    assert.match(stdout, /^all: \d+ images, \d+ bytes, unchanged, /m);
  });

  test('killed at any point, it does its work when it is run again', async () => {
    await using proxy = await startHoldingProxy(registry.url);
    const output = join(folder, 'killed.json');
    const file = join(folder, 'killed.yaml');
    const section = { registry: proxy.url, output, extract_icons: true };
    await writeFile(file, stringify({ state_dir: './killed', icons_uri: ICONS_URI, indexes: { killed: section } }));
    for (const requests of [1, 15, 30, 40]) {
      const held = proxy.holdAfter(requests);
      await using run = await startPeer('regindexer', () => ({
        command: process.execPath,
        args: [CLI, '-c', file, 'index'],
        answers: () => held,
      }));
      await run.kill();
    }
    await assert.rejects(stat(output), { code: 'ENOENT' });
    proxy.release();
    const { code, stderr } = await runRegindexer(['-c', file, 'index']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      await outputOf(section),
      await referenceIndex({ ...section, registry: registry.url, registry_public: proxy.url }, `${ICONS_URI}/`),
    );
  });

  test('regindexer-daemon serves the same, and a second process on its state is refused', async () => {
    const state = join(folder, 'state');
    await using daemon = await startRegindexer({
      config: configuration({ state_dir: state, server: { port: 0 } }),
      daemon: true,
    });
    await settled(daemon.url);
    for (const [name, section] of Object.entries(sections)) {
      assert.deepEqual((await get(`${daemon.url}/index/${name}.json`)).body, await readFile(section.output));
    }

    const { code, stdout, stderr } = await index();
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.equal(
      stderr,
      `regindexer: ${state} is in use by process ${daemon.pid} on ${(await readFile('/proc/sys/kernel/hostname', 'utf8')).trim()}: stop it, or set another state_dir for this process; a running service rebuilds on POST /reindex\n`,
    );
    assert.equal(digestsIn(await indexOf(daemon.url, 'all'), 'apps/hello').length, 1);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('when the registry is not there, it says so and keeps everything', async () => {
    const written = await outputStates();
    await registry.stop();
    const { code, stdout, stderr } = await index();
    await registry.start();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`not read, what was known is kept: .*${registry.url}/v2/_catalog`));
    for (const name of Object.keys(sections))
      assert.match(stdout, new RegExp(`^${name}: [1-9]\\d* images, .*, unchanged, `, 'm'));
    assert.deepEqual(await outputStates(), written);
  });

  test('check says what the configuration means', async () => {
    const { code, stdout, stderr } = await runRegindexer(['--config', config, 'check']);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, '');
    assert.match(stdout, new RegExp(`^Index latest: from ${registry.url}$`, 'm'));
    assert.match(stdout, new RegExp(`^ {2}written to: ${sections['notes']?.output}$`, 'm'));
  });
});

suite('wrong usage ends with status 2', () => {
  for (const [what, args, expected] of [
    [
      'a file that is not there',
      ['-c', '/nonexistent/config.yaml', 'check'],
      /^\/nonexistent\/config\.yaml:1:1: does not exist, .+\n$/,
    ],
    ['a folder for a file', ['-c', '/tmp', 'index'], /^\/tmp:1:1: is a folder, .+\n$/],
    ['a command that is not there', ['rebuild'], /^error: unknown command 'rebuild'/],
    ['an option that is not there', ['--colour', 'check'], /^error: unknown option '--colour'/],
    ['no command', [], /^Usage: regindexer /],
  ] as const) {
    test(what, async () => {
      const { code, stdout, stderr } = await runRegindexer(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /^ {4}at /m);
    });
  }

  test(
    'a certificate and the key of another one, already when the configuration is checked',
    needs('openssl'),
    async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-usage-'));
      const { certificate, clientKey } = await makeCertificates(folder.path);
      const file = join(folder.path, 'config.yaml');
      await writeFile(
        file,
        stringify({
          indexes: { apps: { registry: 'http://127.0.0.1:5000' } },
          server: { tls: { cert: certificate, key: clientKey } },
        }),
      );
      const { code, stdout, stderr } = await runRegindexer(['-c', file, 'check']);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /^regindexer: server\.tls: .* cannot be used: .*key values mismatch\n$/);
    },
  );

  test('every fault of a configuration, with its place', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-usage-'));
    const file = join(folder.path, 'config.yaml');
    await writeFile(file, 'indexes:\n  apps:\n    registy: http://127.0.0.1:5000\n    tags: 7\ncolour: blue\n');
    const { code, stdout, stderr } = await runRegindexer(['-c', file, 'serve']);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    const faults = stderr
      .split('\n')
      .slice(0, -1)
      .map((line) => /^(.+):(\d+:\d+): ([\w.]+): ./.exec(line)?.slice(1) ?? line);
    assert.deepEqual(faults, [
      [file, '2:3', 'indexes.apps.registry'],
      [file, '3:5', 'indexes.apps.registy'],
      [file, '4:11', 'indexes.apps.tags'],
      [file, '5:1', 'colour'],
    ]);
  });
});

/** What its users write: everything; what Flatpak clients ask for; a list of what has a note. */
function sectionsFor(registry: string, folder: string) {
  const output = (name: string): string => join(folder, 'index', `${name}.json`);
  return {
    all: {
      output: output('all'),
      registry,
      registry_public: 'https://registry.example.org',
      tags: ['*'],
      extract_icons: true,
    },
    latest: {
      output: output('latest'),
      registry,
      tags: ['latest', 'v?.*'],
      required_labels: ['org.flatpak.ref'],
      architectures: ['amd64'],
      skip_flatpak_annotations: true,
      extract_icons: true,
    },
    notes: {
      output: output('notes'),
      registry,
      registry_public: '/',
      tags: ['lat*', 'nightly'],
      required_annotations: ['org.example.kind'],
      architectures: ['amd64', 'arm64'],
      skip_flatpak_labels: true,
    },
  };
}

async function outputOf({ output }: { readonly output: string }): Promise<IndexJson> {
  return JSON.parse(await readFile(output, 'utf8')) as IndexJson;
}

function imagesOf({ Results }: IndexJson): readonly ImageJson[] {
  return Results.flatMap(({ Images, Lists }) => [...Images, ...Lists.flatMap((list) => list.Images)]);
}

/** All that the registry lists. */
async function countTags(registry: string): Promise<{ repositories: number; tags: number }> {
  const read = async (path: string) =>
    (await (await request(`${registry}${path}`)).body.json()) as { repositories?: string[]; tags?: string[] | null };
  const { repositories = [] } = await read('/v2/_catalog');
  const tags = await Promise.all(
    repositories.map(async (name) => (await read(`/v2/${name}/tags/list`)).tags?.length ?? 0),
  );
  return { repositories: repositories.length, tags: tags.reduce((sum, count) => sum + count, 0) };
}

async function deleteManifest(registry: string, repository: string, tag: string): Promise<void> {
  const { headers } = await request(`${registry}/v2/${repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
  });
  const { statusCode } = await request(
    `${registry}/v2/${repository}/manifests/${String(headers['docker-content-digest'])}`,
    { method: 'DELETE' },
  );
  assert.equal(statusCode, 202);
}
