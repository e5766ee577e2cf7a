import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { configurationHash } from '../../src/app/configuration-hash.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { temporaryFolder } from '../registry/layout/write-layout.ts';

const URL = 'https://registry.example';
const APPS = { registry: 'https://another.example' };
const OTHER = { registry: URL, tags: ['stable'] };
const LISTING = { kind: 'gitlab', group: 'apps', url: 'https://gitlab.example' };

test('only what changes what is published makes another configuration', async (t) => {
  const file = join(await temporaryFolder(t), 'config.yaml');
  const hashOf = async (config: object): Promise<string> => {
    await writeFile(file, stringify(config));
    return configurationHash(readConfig(file, {}));
  };
  const config = { indexes: { apps: APPS, other: OTHER }, registries: { [URL]: { listing: LISTING } } };
  const hash = await hashOf(config);
  for (const same of [
    { ...config, indexes: { other: OTHER, apps: APPS } },
    { ...config, indexes: { apps: { ...APPS, title: 'Apps', output: 'here.json' }, other: OTHER } },
    { ...config, registries: { [URL]: { listing: { ...LISTING, token: 'another' }, concurrency: 3 } } },
    { ...config, state_dir: 'elsewhere', rescan_interval: '1h', server: { port: 1234, admin_token: 'secret' } },
  ])
    assert.equal(await hashOf(same), hash, JSON.stringify(same));

  const hashes = [hash];
  for (const other of [
    { ...config, indexes: { apps: APPS, other: OTHER, more: APPS } },
    { ...config, indexes: { apps: { ...APPS, tags: ['beta'] }, other: OTHER } },
    { ...config, indexes: { apps: { ...APPS, extract_icons: true }, other: OTHER } },
    { ...config, indexes: { apps: { ...APPS, registry_public: 'https://public.example' }, other: OTHER } },
    { ...config, registries: { [URL]: { repositories: ['a'] } } },
    { ...config, registries: { [URL]: { listing: { ...LISTING, group: 'more' } } } },
    { ...config, icons_uri: 'https://icons.example/' },
  ]) {
    const its = await hashOf(other);
    assert.ok(!hashes.includes(its), JSON.stringify(other));
    hashes.push(its);
  }
});
