import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { keptUntilRestart } from '../../src/config/kept-until-restart.ts';
import { configOf, INDEX } from './config-file.ts';

const TLS = 'state_dir: /one\nserver: {tls: {cert: config.yaml, key: config.yaml}}';

function pair(t: TestContext, before: string, after: string): [Config, Config] {
  return [configOf(t, `${INDEX}${before}`), configOf(t, `${INDEX}${after}`)];
}

test('the state and the address stay as they are, and are named', (t) => {
  const [running, written] = pair(
    t,
    'state_dir: /one\nserver: {port: 1}',
    'state_dir: /two\nrescan_interval: 5m\nserver: {port: 2, host: "::1", max_age: 5s}',
  );
  const { config, keys } = keptUntilRestart(running, written);
  assert.deepEqual(keys, ['state_dir', 'server.host', 'server.port']);
  const { host, port, maxAge } = config.server;
  assert.deepEqual([config.stateDir, host, port], ['/one', '127.0.0.1', 1]);
  assert.deepEqual([maxAge, config.rescanInterval], [5, 300_000], 'all else is as it is written');
});

test('the database stays as it is, and so does its password', (t) => {
  const first = 'state_dir: /one\nstore: postgres://me:a@db.example.org/apps';
  for (const other of ['state_dir: /one', first.replace('apps', 'others'), first.replace(':a@', ':b@')]) {
    const [running, written] = pair(t, first, other);
    const { config, keys } = keptUntilRestart(running, written);
    assert.deepEqual([config.store, keys], [running.store, ['store']], other);
  }
  assert.deepEqual(keptUntilRestart(...pair(t, first, first)).keys, []);
});

test('a folder of icons may change by itself', (t) => {
  const [running, written] = pair(t, 'state_dir: /one', 'state_dir: /one\nicons_dir: /icons');
  assert.deepEqual(
    [keptUntilRestart(running, written).config.iconsDir, keptUntilRestart(running, written).keys],
    ['/icons', []],
  );
});

test('a certificate may be another, but not begin or cease to be', (t) => {
  const [running, written] = pair(t, TLS, TLS);
  assert.deepEqual(keptUntilRestart(running, written).keys, []);
  assert.equal(keptUntilRestart(running, written).config.server.tls, written.server.tls);
  const [secure, plain] = pair(t, TLS, 'state_dir: /one');
  assert.deepEqual(keptUntilRestart(secure, plain).keys, ['server.tls']);
  assert.equal(keptUntilRestart(secure, plain).config.server.tls, secure.server.tls);
  assert.deepEqual(keptUntilRestart(plain, secure).keys, ['server.tls']);
  assert.equal(keptUntilRestart(plain, secure).config.server.tls, undefined);
});
