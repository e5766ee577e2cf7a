import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import type { Environment } from '../../src/config/replace-variables.ts';
import { resolveAccess } from '../../src/config/resolve-config.ts';
import { INDEX, configOf } from './config-file.ts';

const NO_PROXIES = { http: undefined, https: undefined, none: undefined };

/** The paths of the files with logins, and whether each must be there. */
function authFiles(environment: Environment, uid = 7): (readonly [string, boolean])[] {
  return resolveAccess(environment, uid).authFiles.map(({ path, required }) => [path, required]);
}

test('files with logins are those that the environment leads to, in their order', (t) => {
  const environment = { REGISTRY_AUTH_FILE: '/srv/auth.json', XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/indexer' };
  assert.deepEqual(configOf(t, INDEX, { environment }).access, {
    authFiles: [
      { path: '/srv/auth.json', required: true },
      { path: '/run/user/7/containers/auth.json', required: false },
      { path: '/home/indexer/.config/containers/auth.json', required: false },
      { path: '/home/indexer/.docker/config.json', required: false },
    ],
    proxies: NO_PROXIES,
  });
  assert.deepEqual(authFiles({ REGISTRY_AUTH_FILE: 'auth.json', XDG_RUNTIME_DIR: '/run/user/7', HOME: '' }), [
    [resolve('auth.json'), true],
    ['/run/user/7/containers/auth.json', false],
  ]);
});

test('a login is found where it is put without XDG_RUNTIME_DIR, and where XDG_CONFIG_HOME and DOCKER_CONFIG say', () => {
  assert.deepEqual(authFiles({}), [['/run/containers/7/auth.json', false]]);
  assert.deepEqual(
    authFiles({
      HOME: '/home/indexer',
      XDG_RUNTIME_DIR: '',
      XDG_CONFIG_HOME: '/etc/indexer',
      DOCKER_CONFIG: '/srv/docker',
    }),
    [
      ['/run/containers/7/auth.json', false],
      ['/etc/indexer/containers/auth.json', false],
      ['/srv/docker/config.json', false],
    ],
  );
});

test('proxies come from the environment, in capitals or not', (t) => {
  const environment = {
    HTTPS_PROXY: 'http://proxy:3128',
    https_proxy: 'http://other',
    http_proxy: 'proxy:80',
    HTTP_PROXY: '',
    NO_PROXY: 'localhost',
  };
  assert.deepEqual(configOf(t, INDEX, { environment }).access.proxies, {
    http: 'proxy:80',
    https: 'http://proxy:3128',
    none: 'localhost',
  });
});
