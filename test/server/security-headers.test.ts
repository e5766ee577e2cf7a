import assert from 'node:assert/strict';
import { test } from 'node:test';
import { iconPath } from '../../src/indexing/icons/icon-path.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { randomIcon } from '../sources/random-images.ts';
import { TestServer } from './test-server.ts';

const ICON = randomIcon('icon', 300);

test('security headers of answers', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage(
    'apps/clock',
    'latest',
    named('clock', { 'org.flatpak.ref': 'app/org.example.Clock/x86_64/stable' }),
  );
  const server = await TestServer.create(t, state, {
    iconsUri: 'https://icons.example.org/icons/',
    description: {
      baseUrl: undefined,
      indexes: [{ name: 'apps', title: 'Apps', remoteName: 'apps', signatures: false }],
    },
  });
  await server.rebuild();
  const icon = iconPath(digestOf(ICON));
  await state.store.publications.putPngs(new Map([[digestOf(ICON), ICON]]));

  await t.test('the page may load only its own files', async () => {
    for (const path of ['/', '/page/main.js', '/page/page.css']) {
      const { statusCode, headers } = await server.fastify.inject(path);
      assert.equal(statusCode, 200);
      assert.equal(
        headers['content-security-policy'],
        "default-src 'none';frame-ancestors 'none';script-src 'self';style-src 'self';img-src 'self' data: https://icons.example.org;connect-src 'self';manifest-src 'self';form-action 'self';base-uri 'none';require-trusted-types-for 'script';trusted-types 'none'",
      );
      assert.deepEqual(
        [
          headers['x-content-type-options'],
          headers['referrer-policy'],
          headers['x-frame-options'],
          headers['cross-origin-opener-policy'],
          headers['cross-origin-resource-policy'],
        ],
        ['nosniff', 'no-referrer', 'DENY', 'same-origin', 'same-origin'],
        path,
      );
    }
  });

  await t.test('other answers are not shown as a page, nor in a frame', async () => {
    for (const path of [
      '/status',
      '/api/apps',
      '/api/apps/org.example.Clock',
      '/openapi.json',
      '/apps.flatpakrepo',
      '/apps/org.example.Clock.flatpakref',
      '/healthz',
      '/reindex',
      '/none',
      '/index/none.json',
      '/%zz',
    ]) {
      const { headers } = await server.fastify.inject(path);
      assert.match(String(headers['content-security-policy']), /^default-src 'none'; ?frame-ancestors 'none'/, path);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
    }
  });

  await t.test('indexes and icons are not sniffed, and other pages may show them', async () => {
    for (const path of [
      '/index/static',
      '/index/static',
      '/index/static?tag=latest',
      '/index/apps-file.json',
      `/icons/${icon}`,
    ]) {
      const { statusCode, headers } = await server.fastify.inject(path);
      assert.equal(statusCode, 200);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers['cross-origin-resource-policy'], undefined, path);
    }
  });

  await t.test('without TLS, there is no HSTS', async () => {
    for (const path of ['/', '/status', '/index/static'])
      assert.equal((await server.fastify.inject(path)).headers['strict-transport-security'], undefined);
  });
});
