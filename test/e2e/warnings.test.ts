/** What the administrator is told of indexes whose apps clients would not find, or could not install. */
import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { runRegindexer, startRegindexer } from '../peers/regindexer.ts';
import { writeLayout } from '../registry/layout/write-layout.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { settled, statusOf } from './ask-server.ts';

const MISSING =
  'org.example.Clock and 1 more app need the runtime org.example.Platform/x86_64/stable, which is not in any index here: push it, or set runtime_repo to the .flatpakrepo that has it';
const TAGS =
  'indexes.stable.tags: none of them can be latest, which Flatpak asks for unless the URL of its remote ends with another, such as oci+https://HOST/stable#stable';
const UNSIGNED =
  'indexes.named.gpg_key: Flatpak from 1.17 on refuses every image that is not signed, and signatures_dir is not set; set it to a folder of signatures with the docker-reference HOST[:PORT]/REPOSITORY, where HOST[:PORT] is this server as clients reach it (its name is known here once server.base_url is set), or leave gpg_key out';
const UNTAGGED =
  'none of its Flatpaks has the tag latest, which Flatpak asks for unless the URL of its remote ends with another';

test('check and /status tell of runtimes that are nowhere, and of tags that nobody asks for', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-warnings-'));
  const apps = join(folder.path, 'apps');
  const runtimes = join(folder.path, 'runtimes');
  await cp(join(SAMPLE_IMAGES, 'apps'), apps, { recursive: true });
  await cp(join(SAMPLE_IMAGES, 'runtime'), runtimes, { recursive: true });
  const config = (indexes: object) => ({ state_dir: join(folder.path, 'state'), indexes, server: { port: 0 } });
  const alone = {
    apps: { registry: `oci:${apps}` },
    named: {
      registry: `oci:${apps}`,
      runtime_repo: 'https://apps.example.org/runtimes.flatpakrepo',
      gpg_key: join(folder.path, 'key'),
    },
    stable: { registry: `oci:${runtimes}`, tags: ['stable'] },
  };
  const warnings = async (indexes: object) => {
    await using server = await startRegindexer({ config: config(indexes) });
    await settled(server.url);
    return {
      log: server.log,
      status: Object.fromEntries((await statusOf(server.url)).indexes.map((index) => [index.name, index.warnings])),
    };
  };
  const check = async (indexes: object): Promise<readonly string[]> => {
    const file = join(folder.path, 'config.yaml');
    await writeFile(file, stringify(config(indexes)));
    const { code, stdout } = await runRegindexer(['-c', file, 'check']);
    assert.equal(code, 0);
    return stdout.match(/(?<=^Warning: ).*/gm) ?? [];
  };

  await writeFile(join(folder.path, 'key'), '');

  // Nothing is published yet.
  assert.deepEqual(await check(alone), [UNSIGNED, TAGS]);
  const { log, status } = await warnings(alone);
  assert.deepEqual(status, { apps: [MISSING], named: [UNSIGNED], stable: [TAGS] });
  for (const warning of [TAGS, UNSIGNED]) assert.ok(log.includes(warning), log);
  assert.deepEqual(await check(alone), [UNSIGNED, TAGS, `index apps as it was built last: ${MISSING}`]);

  // Another index has it.
  const together = { apps: alone.apps, runtimes: { registry: `oci:${runtimes}` } };
  assert.deepEqual((await warnings(together)).status, { apps: [], runtimes: [] });
  assert.deepEqual(await check(together), []);

  // The tag may be taken, but no image has it. An image that says where its runtime is lacks none.
  await writeLayout(join(folder.path, 'others/platform'), [
    { tag: 'stable', labels: flatpakLabels({ id: 'org.example.Platform', type: 'runtime' }) },
  ]);
  const told = {
    ...flatpakLabels({ id: 'org.example.Told' }),
    'org.flatpak.metadata': '[Application]\nruntime=org.example.None/x86_64/stable\n',
    'org.flatpak.runtime-repo': 'https://runtimes.example.org/all.flatpakrepo',
  };
  await writeLayout(join(folder.path, 'others/told'), [{ tag: 'stable', labels: told }]);
  assert.deepEqual((await warnings({ others: { registry: `oci:${join(folder.path, 'others')}` } })).status, {
    others: [UNTAGGED],
  });
});
