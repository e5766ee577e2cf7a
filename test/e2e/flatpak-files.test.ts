import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { assert as check, dictionary, property, string } from 'fast-check';
import { request } from 'undici';
import { keyFile } from '../../src/server/routes/flatpak/flatpak-files.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { runCommand } from '../peers/run-command.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, settled } from './ask-server.ts';
import { eventually } from './eventually.ts';

const CONFIG = {
  indexes: {
    apps: {
      registry: `oci:${SAMPLE_IMAGES}`,
      extract_icons: true,
      title: 'Sample\napps',
      comment: 'For tests',
      homepage: 'https://apps.example.org/about',
    },
  },
  server: { port: 0 },
};

const QUIET = ['--assumeyes', '--noninteractive'];

suite('files that install', needs('flatpak', 'dbus-daemon'), () => {
  test('a real flatpak adds the .flatpakrepo', async () => {
    await using server = await startRegindexer({ config: CONFIG });
    await settled(server.url);
    await using user = await startFlatpakClient();
    await user.flatpak('remote-add', '--user', 'samples', `${server.url}/apps.flatpakrepo`);
    assert.equal(
      await user.flatpak('remotes', '--user', '--columns=name,url,homepage,comment'),
      `samples\toci+${server.url}/apps\thttps://apps.example.org/about\tFor tests\n`,
    );
    const listed = await user.flatpak('remote-ls', '--user', '--all', 'samples', '--columns=application');
    assert.deepEqual(listed.trim().split('\n').toSorted(), [
      'org.example.Clock',
      'org.example.Hello',
      'org.example.Platform',
    ]);
  });

  test('a real flatpak installs the .flatpakref, and runs what it has installed', async () => {
    await using server = await startRegindexer({ config: CONFIG });
    await settled(server.url);
    await using user = await startFlatpakClient();
    await user.flatpak(
      'install',
      '--user',
      '--assumeyes',
      '--noninteractive',
      `${server.url}/apps/org.example.Hello.flatpakref`,
    );
    assert.equal(await user.flatpak('run', '--user', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
    assert.equal(
      await user.flatpak('remotes', '--user', '--columns=name,url'),
      `apps\toci+${server.url}/apps\n`,
      'the runtime came from the same remote',
    );
  });

  test('what serve prints installs from it, also where another remote has the name', async () => {
    await using server = await startRegindexer({
      terminal: true,
      config: { ...CONFIG, indexes: { apps: { ...CONFIG.indexes.apps, remote_name: 'samples' } } },
    });
    const lines = await printedLines(server);
    assert.deepEqual(lines, [
      ['remote-add', '--user', '--if-not-exists', 'samples', `${server.url}/apps.flatpakrepo`],
      ['install', '--user', `${server.url}/apps/org.example.Clock.flatpakref`],
    ]);
    await using newcomer = await startFlatpakClient();
    for (const line of lines) await newcomer.flatpak(...line, ...(line[0] === 'install' ? QUIET : []));
    assert.match(await newcomer.flatpak('run', '--user', 'org.example.Clock'), /Clock|:/);
    assert.equal(
      await newcomer.flatpak('remotes', '--user', '--columns=name,url'),
      `samples\toci+${server.url}/apps\n`,
    );

    await using other = await startFlatpakClient();
    await other.flatpak('remote-add', '--user', 'samples', 'oci+http://127.0.0.1:1');
    for (const line of lines) await other.flatpak(...line, ...(line[0] === 'install' ? QUIET : []));
    assert.match(await other.flatpak('list', '--user', '--columns=application'), /^org\.example\.Clock$/m);
    assert.ok(
      (await other.flatpak('remotes', '--user', '--columns=url')).split('\n').includes(`oci+${server.url}/apps`),
    );
  });

  test('an app with one tag and its runtime with another are installed in one go', async () => {
    await using folder = await samplesTagged({ 'apps/hello': 'beta', 'runtime/platform': 'stable' });
    await using server = await startRegindexer({
      terminal: true,
      config: { indexes: { apps: { registry: `oci:${folder.path}` } }, server: { port: 0 } },
    });
    assert.deepEqual(await printedLines(server), [
      ['remote-add', '--user', '--if-not-exists', 'apps', `'${server.url}/apps.flatpakrepo?tag=beta'`],
      ['install', '--user', `'${server.url}/apps/org.example.Hello.flatpakref?tag=beta'`],
    ]);
    await using user = await startFlatpakClient();
    await user.flatpak('install', ...QUIET, '--user', `${server.url}/apps/org.example.Hello.flatpakref?tag=beta`);
    assert.equal(await user.flatpak('run', '--user', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
    const urls = (await user.flatpak('remotes', '--user', '--columns=url')).trim().split('\n');
    assert.deepEqual(urls.toSorted(), [`oci+${server.url}/apps#beta`, `oci+${server.url}/apps#stable`]);
  });

  test('a real flatpak takes the collection ID', needs('gpg'), async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-gpg-'));
    const gpg = (...args: readonly string[]): Promise<string> =>
      runCommand('gpg', ['--homedir', folder.path, '--batch', '--quiet', ...args], {
        env: bareEnvironment(folder.path),
      });
    await gpg('--passphrase', '', '--quick-generate-key', 'tests@example.org', 'ed25519', 'sign', 'never');
    const key = join(folder.path, 'key.asc');
    await gpg('--armor', '--output', key, '--export');
    await runCommand('gpgconf', ['--homedir', folder.path, '--kill', 'all'], { env: bareEnvironment(folder.path) });
    await using server = await startRegindexer({
      config: {
        indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, gpg_key: key, collection_id: 'org.example.Apps' } },
        server: { port: 0 },
      },
    });
    await settled(server.url);
    for (const file of ['apps.flatpakrepo', 'apps/org.example.Hello.flatpakref'])
      assert.match((await get(`${server.url}/${file}`)).body.toString(), /^DeployCollectionID=org\.example\.Apps$/m);
    await using user = await startFlatpakClient();
    await user.flatpak('remote-add', '--user', 'samples', `${server.url}/apps.flatpakrepo`);
    assert.equal(await user.flatpak('remotes', '--user', '--columns=name,collection'), 'samples\torg.example.Apps\n');
    const [, minor = ''] = /^Flatpak 1\.(\d+)/.exec(await user.flatpak('--version')) ?? [];
    const listed = user.flatpak('remote-ls', '--user', '--all', 'samples', '--columns=application');
    if (Number(minor) < 17)
      await assert.rejects(listed, /Configured collection ID ‘org\.example\.Apps’ not in summary file/);
    else assert.match(await listed, /^org\.example\.Hello$/m);
  });
});

/** The words of the `flatpak` lines that the server has printed. */
async function printedLines(server: Regindexer): Promise<readonly (readonly string[])[]> {
  const text = await eventually(
    () =>
      /^To install from it:\r\n((?: {2}flatpak .*\r\n){2})/m.exec(server.log)?.[1] ?? assert.fail('not printed yet'),
  );
  return text
    .trimEnd()
    .split('\r\n')
    .map((line) => line.trim().split(' ').slice(1));
}

/** Samples in a folder that goes, with these tags instead of `latest`. */
async function samplesTagged(
  tags: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tagged-'));
  for (const [repository, tag] of Object.entries(tags)) {
    await cp(join(SAMPLE_IMAGES, repository), join(folder.path, repository), { recursive: true });
    const index = join(folder.path, repository, 'index.json');
    await writeFile(index, (await readFile(index, 'utf8')).replace(/"(?:app|runtime)\/[^"]+"/, JSON.stringify(tag)));
  }
  return folder;
}

/** The value of a key of a file. */
async function keyOf(server: Regindexer, file: string, key: string): Promise<string | undefined> {
  return new RegExp(`^${key}=(.*)$`, 'm').exec((await get(`${server.url}/${file}`)).body.toString())?.[1];
}

suite('where the runtime of an app is', () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  before(async () => {
    registry = resources.use(await LabelRegistry.start());
    const runtime = flatpakLabels({ id: 'org.example.Platform', type: 'runtime' });
    for (const tag of ['latest', 'beta']) registry.push('runtime', { tag, labels: runtime });
    for (const tag of ['latest', 'beta', 'v1'])
      registry.push('apps/plain', { tag, labels: flatpakLabels({ id: 'org.example.Plain' }) });
    registry.push('apps/told', {
      labels: {
        ...flatpakLabels({ id: 'org.example.Told' }),
        'org.flatpak.runtime-repo': 'https://runtimes.example.org/all.flatpakrepo',
      },
    });
    registry.push('apps/lying', {
      labels: {
        ...flatpakLabels({ id: 'org.example.Lying' }),
        'org.flatpak.runtime-repo': 'file:///etc/passwd\nUrl=x',
      },
    });
    registry.push('apps/lost', {
      labels: {
        ...flatpakLabels({ id: 'org.example.Lost' }),
        'org.flatpak.metadata': '[Application]\nruntime=org.example.None/x86_64/stable\n',
      },
    });
  });
  after(() => resources.disposeAsync());

  const start = (index: object): Promise<Regindexer> =>
    startRegindexer({ config: { indexes: { apps: { registry: registry.url, ...index } }, server: { port: 0 } } });

  test('as its image says, else as configured, else here, by the tag that the runtime has', async () => {
    await using server = await start({ homepage: 'https://apps.example.org' });
    await settled(server.url);
    const runtimeRepo = (file: string): Promise<string | undefined> => keyOf(server, file, 'RuntimeRepo');
    assert.equal(await runtimeRepo('apps/org.example.Told.flatpakref'), 'https://runtimes.example.org/all.flatpakrepo');
    const own = `${server.url}/apps.flatpakrepo`;
    assert.equal(await runtimeRepo('apps/org.example.Plain.flatpakref'), own);
    assert.equal(await runtimeRepo('apps/org.example.Plain.flatpakref?tag=beta'), `${own}?tag=beta`);
    assert.equal(await runtimeRepo('apps/org.example.Plain.flatpakref?tag=v1'), own);
    assert.equal(await runtimeRepo('apps/org.example.Lying.flatpakref'), own);
    for (const none of ['Lost', 'Platform'])
      assert.equal(await runtimeRepo(`apps/org.example.${none}.flatpakref`), undefined);
    assert.equal(await keyOf(server, 'apps.flatpakrepo?tag=beta', 'Url'), `oci+${server.url}/apps#beta`);
    assert.equal(await keyOf(server, 'apps.flatpakrepo?tag=latest', 'Url'), `oci+${server.url}/apps`);
    assert.equal(
      await keyOf(server, 'apps/org.example.Plain.flatpakref', 'Homepage'),
      undefined,
      'the index’s is not the app’s',
    );
    for (const wrong of ['tag=a%20b', 'tags=beta'])
      assert.equal((await request(`${server.url}/apps.flatpakrepo?${wrong}`)).statusCode, 400);
  });

  test('as configured, before what is here', async () => {
    const runtimes = 'https://elsewhere.example.org/runtimes.flatpakrepo';
    await using server = await start({ runtime_repo: runtimes, remote_name: 'our-apps' });
    await settled(server.url);
    assert.equal(await keyOf(server, 'apps/org.example.Plain.flatpakref', 'RuntimeRepo'), runtimes);
    assert.equal(
      await keyOf(server, 'apps/org.example.Told.flatpakref', 'RuntimeRepo'),
      'https://runtimes.example.org/all.flatpakrepo',
    );
    assert.equal(await keyOf(server, 'apps/org.example.Plain.flatpakref', 'SuggestRemoteName'), 'our-apps');
  });

  test('in another index here, which may be below a path', async () => {
    const port = await freePort();
    await using _ = await startRegindexer({
      config: {
        indexes: {
          apps: { registry: registry.url, repository_include: ['apps/**'] },
          runtimes: { registry: registry.url, repository_include: ['runtime'] },
        },
        server: { port, base_url: 'https://example.org/flatpak' },
      },
    });
    const url = `http://127.0.0.1:${port}`;
    await settled(url);
    assert.match(
      (await get(`${url}/apps/org.example.Plain.flatpakref`)).body.toString(),
      /^RuntimeRepo=https:\/\/example\.org\/flatpak\/runtimes\.flatpakrepo$/m,
    );
  });
});

test('a value cannot end its line, and nothing else is lost', () => {
  check(
    property(
      dictionary(
        string({ minLength: 1 }).filter((key) => /^[A-Za-z]+$/.test(key)),
        string({ unit: 'binary', maxLength: 200 }),
        { maxKeys: 5 },
      ),
      (entries) => {
        const lines = keyFile('Flatpak Repo', entries).split(/[\r\n\u2028\u2029]/);
        assert.equal(lines.length, Object.keys(entries).length + 2);
        for (const [index, key] of Object.keys(entries).entries()) assert.ok(lines[index + 1]?.startsWith(`${key}=`));
      },
    ),
  );
});

test('the files say what the index is configured to be', async () => {
  await using server = await startRegindexer({
    config: { ...CONFIG, server: { port: 0, base_url: 'https://apps.example.org' } },
  });
  // Its `url` is the public one.
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(server.log) ?? [];
  await settled(url);
  assert.equal(
    (await get(`${url}/apps.flatpakrepo`)).body.toString(),
    '[Flatpak Repo]\nTitle=Sample\\napps\nUrl=oci+https://apps.example.org/apps\nComment=For tests\nHomepage=https://apps.example.org/about\n',
  );
  const ref = (await get(`${url}/apps/org.example.Platform.flatpakref?tag=latest&arch=amd64`)).body.toString();
  assert.match(
    ref,
    /^\[Flatpak Ref\]\nName=org\.example\.Platform\nBranch=stable\nTitle=Example Platform\nComment=What the sample apps run on\nUrl=oci\+https:\/\/apps\.example\.org\/apps\nIsRuntime=true\n/,
  );
  assert.match(ref, /^SuggestRemoteName=apps$/m);
});
