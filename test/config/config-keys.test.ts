import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configKeys } from '../../src/config/config-keys.ts';

test('every key has a path of its own, a default and a description', () => {
  const keys = configKeys();
  assert.equal(new Set(keys.map(({ path }) => path)).size, keys.length);
  for (const key of keys) {
    assert.match(key.path, /^[a-z_]+(?:\[\])?(?:\.(?:[a-z_]+(?:\[\])?|NAME|URL))*$/);
    assert.notEqual(key.default, '', key.path);
    assert.match(key.description, /^[A-Z`].*\.$/, key.path);
  }
});

test('defaults are as YAML writes them, or in words', () => {
  const defaults = new Map(configKeys().map((key) => [key.path, key.default]));
  for (const [path, text] of [
    ['state_dir', '`REGINDEXER_STATE_DIR`, or `./state`'],
    ['icons_dir', 'none'],
    ['indexes.NAME.registry', 'required'],
    ['indexes.NAME.tags', '`["*"]`'],
    ['indexes.NAME.extract_icons', '`false`'],
    ['indexes.NAME.architectures', 'all'],
    ['registries.URL.concurrency', '`128`'],
    ['registries.URL.timeout', '`30s`'],
    ['server.tls.cert', 'required'],
    ['bus.destinations[].headers', 'none'],
  ] as const) {
    assert.equal(defaults.get(path), text, path);
  }
});
