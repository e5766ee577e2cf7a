import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { INDEX, configOf } from './config-file.ts';

const NO_PROXIES = { http: undefined, https: undefined, none: undefined };

test('files with logins are those that the environment leads to, in their order', (t) => {
  const environment = { REGISTRY_AUTH_FILE: '/srv/auth.json', XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/indexer' };
  assert.deepEqual(configOf(t, INDEX, { environment }).access, {
    authFiles: [
      { path: '/srv/auth.json', required: true },
      { path: '/run/user/7/containers/auth.json', required: false },
      { path: '/home/indexer/.docker/config.json', required: false },
    ],
    proxies: NO_PROXIES,
  });
  assert.deepEqual(configOf(t, INDEX, { environment: { REGISTRY_AUTH_FILE: 'auth.json', HOME: '' } }).access.authFiles, [{ path: resolve('auth.json'), required: true }]);
});

test('proxies come from the environment, in capitals or not', (t) => {
  const environment = { HTTPS_PROXY: 'http://proxy:3128', https_proxy: 'http://other', http_proxy: 'proxy:80', HTTP_PROXY: '', NO_PROXY: 'localhost' };
  assert.deepEqual(configOf(t, INDEX, { environment }).access.proxies, { http: 'proxy:80', https: 'http://proxy:3128', none: 'localhost' });
});
