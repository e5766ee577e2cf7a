/** Replacing the site of a running server, as a reload does. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ServedIndex } from '../../src/server/documents/served-index.ts';
import { withoutBasePath } from '../../src/server/site.ts';
import { pngPath, png, pngUri } from '../indexing/png.ts';
import { named, TestState } from '../indexing/test-state.ts';
import { makeCertificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { RawConnection } from './raw-connection.ts';
import { ADMIN_TOKEN, bearer, TestServer } from './test-server.ts';

const ICON = 'org.freedesktop.appstream.icon-64';

function ask(path: string, fields: Readonly<Record<string, string>> = {}): string {
  return `GET ${path} HTTP/1.1\n${Object.entries({ host: 'a', ...fields })
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')}\n`;
}

test('a new site answers on open connections; pending requests are finished with the old one', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('apps/clock', 'latest', named('clock'));
  const server = await TestServer.create(t, state);
  await server.rebuild();
  const port = await server.listen();
  using connection = RawConnection.open(port);
  using slow = RawConnection.open(port);
  const say = async (path: string): Promise<number> => {
    connection.send(ask(path));
    return (await connection.answer()).statusCode;
  };
  assert.deepEqual(
    [
      await say('/index/static'),
      await say('/apps/index/static'),
      await say('/more/index/static'),
      await say('/apps.flatpakrepo'),
    ],
    [200, 200, 404, 404],
  );

  const known = Promise.withResolvers<boolean>();
  const waiting = Promise.withResolvers<void>();
  const before = {
    ...server.site,
    reindex: { ...server.site.reindex, knowsRepository: () => (waiting.resolve(), known.promise) },
  };
  void server.server.use(before);
  const body = '{"repository": "apps/clock"}';
  slow.send(
    `POST /reindex HTTP/1.1\nhost: a\nauthorization: ${bearer(ADMIN_TOKEN).authorization}\ncontent-type: application/json\ncontent-length: ${body.length}\n\n${body}`,
  );
  await waiting.promise;
  const more = new ServedIndex({ name: 'more', fileName: 'more', maxAge: 7, repositoryPriority: [] });
  let ended = false;
  const ending = server.server
    .use({
      ...server.site,
      indexes: new Map([['more', more]]),
      defaultIndex: 'more',
      basePath: '/below',
      description: {
        baseUrl: undefined,
        indexes: [{ name: 'more', title: 'More', remoteName: 'more', signatures: false }],
      },
      reindex: { ...server.site.reindex, token: undefined },
    })
    .then(() => (ended = true));
  // A cached answer of the first is not sent again.
  assert.deepEqual(
    [
      await say('/index/static'),
      await say('/apps/index/static'),
      await say('/more/index/static'),
      await say('/below/more.flatpakrepo'),
      await say('/index/more.json'),
    ],
    [503, 404, 503, 200, 503],
  );
  assert.equal(ended, false);
  known.resolve(true);
  assert.equal((await slow.answer()).statusCode, 202, 'as it began');
  await ending;
  slow.send(`POST /reindex HTTP/1.1\nhost: a\ncontent-length: 0\n\n`);
  assert.equal((await slow.answer()).statusCode, 403);
  await server.server.use(server.site);
  assert.equal(await say('/index/static'), 200);
});

test('icons are at the icons_uri of the current site', async (t) => {
  const state = await TestState.open(t, { definitions: [{ extractIcons: true }] });
  state.registry.pushImage('app', 'latest', named('app', { [ICON]: pngUri('icon') }));
  const server = await TestServer.create(t, state, { iconsUri: '/a:b c/' });
  await server.rebuild();
  const path = pngPath('icon');
  const answer = await server.fastify.inject(`/a:b%20c/${path}`);
  assert.deepEqual([answer.statusCode, answer.rawPayload], [200, png('icon')]);
  await server.server.use({ ...server.site, iconsUri: 'pictures/', basePath: '/base' });
  for (const url of [`/base/index/pictures/${path}`, `/index/pictures/${path}`, `/apps/index/pictures/${path}`])
    assert.equal((await server.fastify.inject(url)).statusCode, 200, url);
  assert.equal((await server.fastify.inject(`/a:b%20c/${path}`)).statusCode, 404);
});

test('X-Forwarded-* is trusted as the current site says', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t), {
    description: {
      baseUrl: undefined,
      indexes: [{ name: 'apps', title: 'Apps', remoteName: 'apps', signatures: false }],
    },
  });
  const url = async (): Promise<string | undefined> =>
    /^Url=oci\+(.*)$/m.exec(
      (
        await server.fastify.inject({
          url: '/apps.flatpakrepo',
          headers: { host: 'own', 'x-forwarded-host': 'public', 'x-forwarded-proto': 'https' },
        })
      ).body,
    )?.[1];
  for (const [trustProxy, expected] of [
    [false, 'http://own/apps'],
    [true, 'https://public/apps'],
    [1, 'https://public/apps'],
    [0, 'http://own/apps'],
    ['loopback', 'https://public/apps'],
    ['10.0.0.1, 192.0.2.0/24', 'http://own/apps'],
    [['10.0.0.1', '127.0.0.0/8'], 'https://public/apps'],
  ] as const) {
    await server.server.use({ ...server.site, trustProxy });
    assert.equal(await url(), expected, String(trustProxy));
  }
});

test('a site without sources serves nothing at /v2/', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  for (const method of ['GET', 'POST'] as const) {
    const answer = await server.fastify.inject({ url: '/v2/', method });
    assert.deepEqual(
      [answer.statusCode, answer.json<{ message: string }>().message],
      [404, 'Nothing is served at /v2/.'],
      method,
    );
  }
});

test(
  'a new certificate is used for new connections; without TLS, setting one is an error',
  needs('openssl'),
  async (t) => {
    const plain = await TestServer.create(t, await TestState.open(t));
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-tls-'));
    const { certificate, key } = await makeCertificates(folder.path);
    const pair = { cert: await readFile(certificate), key: await readFile(key) };
    assert.throws(() => plain.server.secure(pair), /listens without TLS/);
  },
);

test('doubled slashes in a path count as one, also within the path of base_url; the query is unchanged', () => {
  for (const asked of ['/a/b/index/static', '//a//b///index/static', '/index/static', '//index//static'])
    assert.equal(withoutBasePath(`${asked}?repository=x//y`, '/a/b'), '/index/static?repository=x//y', asked);
  assert.equal(withoutBasePath('//index//static?a=//', ''), '/index/static?a=//');
});
