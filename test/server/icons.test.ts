import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { iconPath } from '../../src/indexing/icons/icon-path.ts';
import { type Digest, digestOf } from '../../src/registry/digest.ts';
import { TestState } from '../indexing/test-state.ts';
import { randomIcon } from '../sources/random-images.ts';
import { RawConnection } from './raw-connection.ts';
import { TestServer } from './test-server.ts';

const PNG = randomIcon('icon', 3000);
const PATH = iconPath(digestOf(PNG));

/** Creates a server with one icon, whose icons are at `iconsUri`. */
async function serve(
  t: TestContext,
  iconsUri: string,
  indexes: readonly string[] = ['apps'],
): Promise<{ state: TestState; server: TestServer; readonly put: (digest: Digest, bytes: Buffer) => Promise<void> }> {
  const state = await TestState.open(t);
  const server = await TestServer.create(t, state, { iconsUri, indexes });
  const put = (digest: Digest, bytes: Buffer): Promise<void> =>
    state.store.publications.putPngs(new Map([[digest, bytes]]));
  await put(digestOf(PNG), PNG);
  return { state, server, put };
}

test('icons are immutable', async (t) => {
  const { server, put } = await serve(t, '/icons/');
  const answer = await server.fastify.inject(`/icons/${PATH}`);
  assert.equal(answer.statusCode, 200);
  assert.deepEqual(answer.rawPayload, PNG);
  assert.equal(answer.headers['content-type'], 'image/png');
  assert.equal(answer.headers['content-length'], String(PNG.length));
  assert.equal(answer.headers['cache-control'], 'public, max-age=31536000, immutable');
  const etag = String(answer.headers.etag);
  assert.match(etag, /^"[0-9a-f]{32}"$/);

  const fresh = await server.fastify.inject({ url: `/icons/${PATH}`, headers: { 'if-none-match': `"x", ${etag}` } });
  assert.deepEqual(
    [fresh.statusCode, fresh.rawPayload.length, fresh.headers.etag, fresh.headers['cache-control']],
    [304, 0, etag, answer.headers['cache-control']],
  );
  const head = await server.fastify.inject({ method: 'HEAD', url: `/icons/${PATH}` });
  assert.deepEqual(
    [head.statusCode, head.rawPayload.length, head.headers['content-length']],
    [200, 0, String(PNG.length)],
  );

  const other = randomIcon('other', 100);
  const path = iconPath(digestOf(other));
  assert.equal((await server.fastify.inject(`/icons/${path}`)).statusCode, 404);
  await put(digestOf(other), other);
  assert.deepEqual((await server.fastify.inject(`/icons/${path}`)).rawPayload, other, 'one that came later');
});

test('only icons are served: no other file, no damaged one', async (t) => {
  const { server, put } = await serve(t, '/icons/');
  const damaged = iconPath(digestOf('another icon'));
  await put(digestOf('another icon'), PNG);
  using connection = RawConnection.open(await server.listen());
  for (const path of [
    'readme.txt',
    'ab/readme.png',
    '../catalog.txt',
    '..%2fcatalog.txt',
    '%2e%2e/catalog.txt',
    `ab/../${PATH}`,
    `./${PATH}`,
    `${PATH}/`,
    `${PATH}%00`,
    `${PATH}%0a`,
    '',
    'ab',
    'ab/',
    PATH.slice(0, -4),
    PATH.toUpperCase(),
    damaged,
    '/etc/passwd',
    '....//....//catalog.txt',
    `ab/${'0'.repeat(62)}.png`,
  ]) {
    connection.send(`GET /icons/${path} HTTP/1.1\nhost: a\n\n`);
    const { statusCode, body } = await connection.answer();
    assert.equal(statusCode, 404, path);
    assert.equal((JSON.parse(body.toString()) as { statusCode: number }).statusCode, 404);
  }
  await put(digestOf('another icon'), Buffer.from('another icon'));
  assert.equal((await server.fastify.inject(`/icons/${damaged}`)).statusCode, 200, 'mended');
});

test('icons are served where icons_uri leads from an index', async (t) => {
  for (const [uri, here, nowhere] of [
    ['icons/', ['/index/icons/', '/apps/index/icons/', '/more/index/icons/'], ['/none/index/icons/']],
    ['../icons/', ['/icons/', '/apps/icons/'], ['/index/icons/']],
    ['/flatpak/icons/', ['/flatpak/icons/'], ['/apps/flatpak/icons/']],
    ['https://cdn.example.org/pictures/', ['/pictures/'], []],
    ['https://cdn.example.org/', ['/'], []],
    ['/with%20space/a:b/', ['/with%20space/a:b/'], ['/with%20space/a/']],
  ] as const) {
    const { server } = await serve(t, uri, ['apps', 'more']);
    for (const prefix of here)
      assert.equal((await server.fastify.inject(`${prefix}${PATH}`)).statusCode, 200, `${uri} ${prefix}`);
    for (const prefix of nowhere)
      assert.equal((await server.fastify.inject(`${prefix}${PATH}`)).statusCode, 404, `${uri} ${prefix}`);
    assert.equal((await server.fastify.inject('/healthz')).statusCode, 200, uri);
  }
});
