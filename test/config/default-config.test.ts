import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { configWarnings } from '../../src/config/config-warnings.ts';
import { readConfig } from '../../src/config/read-config.ts';
import { configYaml } from '../dev/docs.ts';
import { configError, writeConfig } from './config-file.ts';

const FILE = fileURLToPath(new URL('../../config.yaml', import.meta.url));
const TEXT = readFileSync(FILE, 'utf8');

/** The file with every key that is commented out ("#key: value"; prose has a space after the "#"). */
const ALL_KEYS = TEXT.replaceAll(/^( *)#(?=\w|  )/gm, '$1');

test('the repository’s configuration is right, and indexes the sample images', () => {
  const config = readConfig(FILE, {});
  const { indexes, stateDir, server, bus } = config;
  assert.deepEqual(configWarnings(config), []);
  assert.deepEqual(
    indexes.map(({ name, registry, tags, extractIcons }) => ({ name, registry, tags, extractIcons })),
    [
      {
        name: 'apps',
        registry: `oci:${fileURLToPath(new URL('../fixtures/images', import.meta.url))}`,
        tags: ['*'],
        extractIcons: true,
      },
    ],
  );
  assert.equal(stateDir, fileURLToPath(new URL('../../state', import.meta.url)));
  assert.equal(server.adminToken, undefined);
  assert.equal(bus, undefined);
});

test('it is what the schema says', () => {
  assert.equal(TEXT, configYaml(), 'run npm run docs');
});

test('its examples are right, but for files that are not there, and for keys that exclude each other', (t) => {
  const text = ALL_KEYS.replace(/^default_index/m, '  others: {registry: https://registry.example.org}\ndefault_index');
  // Keys that exclude others, which stand beside them to be explained.
  const others =
    /^(?:  (?:(?:admin|events)_token_file|exchange|queue)|store_password_file|      (?:namespace|group|project|username|token_file)):.*$/gm;
  const { problems } = configError(writeConfig(t, text.replaceAll(others, '')), {
    REGISTRY_PASSWORD: 'x',
    LISTING_TOKEN: 'x',
  });
  assert.deepEqual(
    problems.filter(({ message }) => !message.includes('which does not exist')),
    [],
  );
});
