import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { assert as check, dictionary, property, string } from 'fast-check';
import { keyFile } from '../../src/server/routes/flatpak-files.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { get, settled } from './ask-server.ts';

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

suite('files that install', needs('flatpak', 'dbus-daemon'), () => {
  test('a real flatpak adds the .flatpakrepo', async () => {
    await using server = await startRegindexer({ config: CONFIG });
    await settled(server.url);
    await using user = await startFlatpakClient();
    await user.flatpak('remote-add', '--user', 'samples', `${server.url}/apps.flatpakrepo`);
    assert.equal(await user.flatpak('remotes', '--user', '--columns=name,url,homepage,comment'), `samples\toci+${server.url}/apps\thttps://apps.example.org/about\tFor tests\n`);
    const listed = await user.flatpak('remote-ls', '--user', '--all', 'samples', '--columns=application');
    assert.deepEqual(listed.trim().split('\n').toSorted(), ['org.example.Clock', 'org.example.Hello', 'org.example.Platform']);
  });

  test('a real flatpak installs the .flatpakref, and runs what it has installed', async () => {
    await using server = await startRegindexer({ config: CONFIG });
    await settled(server.url);
    await using user = await startFlatpakClient();
    await user.flatpak('install', '--user', '--assumeyes', '--noninteractive', `${server.url}/apps/org.example.Hello.flatpakref`);
    assert.equal(await user.flatpak('run', '--user', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
    assert.match(await user.flatpak('remotes', '--user', '--columns=name'), /^apps$/m);
  });
});

test('a value cannot end its line, and nothing else is lost', () => {
  check(property(dictionary(string({ minLength: 1 }).filter((key) => /^[A-Za-z]+$/.test(key)), string({ unit: 'binary', maxLength: 200 }), { maxKeys: 5 }), (entries) => {
    const lines = keyFile('Flatpak Repo', entries).split(/[\r\n\u2028\u2029]/);
    assert.equal(lines.length, Object.keys(entries).length + 2);
    for (const [index, key] of Object.keys(entries).entries()) assert.ok(lines[index + 1]?.startsWith(`${key}=`));
  }));
});

test('the files say what the index is configured to be', async () => {
  await using server = await startRegindexer({ config: { ...CONFIG, server: { port: 0, base_url: 'https://apps.example.org' } } });
  // The URL that the program tells is the public one.
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(server.log) ?? [];
  await settled(url);
  assert.equal((await get(`${url}/apps.flatpakrepo`)).body.toString(), '[Flatpak Repo]\nTitle=Sample\\napps\nUrl=oci+https://apps.example.org/apps\nComment=For tests\nHomepage=https://apps.example.org/about\n');
  const ref = (await get(`${url}/apps/org.example.Platform.flatpakref?tag=latest&arch=amd64`)).body.toString();
  assert.match(ref, /^\[Flatpak Ref\]\nName=org\.example\.Platform\nBranch=stable\nTitle=Example Platform\nComment=What the sample apps run on\nUrl=oci\+https:\/\/apps\.example\.org\/apps\nIsRuntime=true\n/);
  assert.match(ref, /^SuggestRemoteName=apps$/m);
});
