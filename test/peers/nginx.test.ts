import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'undici';
import { needs } from './installed.ts';
import { startNginx } from './nginx.ts';

test('nginx answers as its server block says', needs('nginx'), async () => {
  await using nginx = await startNginx({ server: 'location /greeting { return 200 "hello"; }' });
  const { body } = await request(`${nginx.url}/greeting`);
  assert.equal(await body.text(), 'hello');
});
