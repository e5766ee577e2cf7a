import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { parse } from 'yaml';
import { configKeys } from '../../src/config/config-keys.ts';
import { configWarnings } from '../../src/config/config-warnings.ts';
import { readConfig } from '../../src/config/read-config.ts';
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

test('it has every key of the schema, and no other', () => {
  assert.deepEqual(
    paths(parse(ALL_KEYS)).toSorted(),
    configKeys()
      .map(({ path }) => path)
      .toSorted(),
  );
});

test('what it says of defaults is so', () => {
  const values = new Map(leaves(parse(ALL_KEYS)));
  // The sample needs these; destinations show what can be given.
  const differs = new Set(['indexes.NAME.extract_icons']);
  for (const { path, default: preset } of configKeys()) {
    const constant = /^`(.*)`$/.exec(preset)?.[1];
    if (constant === undefined || constant.includes('`') || differs.has(path)) continue;
    assert.deepEqual(values.get(path), parse(constant), path);
  }
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

/** Paths as `configKeys` writes them, with what stands there. */
function leaves(value: unknown, path = ''): readonly (readonly [path: string, value: unknown])[] {
  const isLeaf = configKeys().some((key) => key.path === path);
  const inside = Array.isArray(value)
    ? value.flatMap((element) => (isMapping(element) ? leaves(element, `${path}[]`) : []))
    : isMapping(value) && !path.endsWith('headers')
      ? Object.entries(value).flatMap(([key, child]) => leaves(child, join(path, key)))
      : [];
  return isLeaf || inside.length === 0 ? [[path, value], ...inside] : inside;
}

function paths(value: unknown): readonly string[] {
  return leaves(value).map(([path]) => path);
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function join(path: string, key: string): string {
  const placeholder = { indexes: 'NAME', registries: 'URL' }[path];
  return path === '' ? key : `${path}.${placeholder ?? key}`;
}
