/** Tests of `regindexer check` as a program. */
import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { needs } from '../peers/installed.ts';
import { startPostgresql } from '../peers/postgresql.ts';
import { runRegindexer } from '../peers/regindexer.ts';
import { playRegistry, sendJson } from '../registry/http/play-registry.ts';
import { MADE_UP_APIS, playApi } from '../registry/listing/made-up/made-up-apis.ts';
import { TOKEN as API_TOKEN } from '../registry/listing/made-up/made-up-api.ts';

test('check fails with the place of what cannot work on this machine', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-check-'));
  const file = join(folder.path, 'config.yaml');
  await writeFile(file, 'indexes: {apps: {registry: oci:nowhere}}');
  const { code, stdout, stderr } = await runRegindexer(['-c', file, 'check']);
  assert.deepEqual([code, stdout], [2, '']);
  assert.equal(
    stderr,
    `${file}:1:28: indexes.apps.registry: needs the folder ${JSON.stringify(join(folder.path, 'nowhere'))}, which does not exist, expected a folder with OCI image layouts\n`,
  );
});

test('--online sends each registry one request, and prints its answer', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-check-'));
  await cp(SAMPLE_IMAGES, join(folder.path, 'images'), { recursive: true });
  const all = await playRegistry(t, (_, response) =>
    sendJson(response, { repositories: ['a', 'b', 'c', 'd'] }, { link: '</v2/_catalog?last=d>; rel="next"' }),
  );
  const named = await playRegistry(t, (_, response) => sendJson(response, { name: 'apps/a', tags: ['latest'] }));
  const globs = await playRegistry(t, (_, response) => sendJson(response, { repositories: ['apps/a', 'runtimes/b'] }));
  const refusing = await playRegistry(t, (_, response) =>
    sendJson(response, { errors: [{ code: 'DENIED' }] }, {}, 403),
  );
  const broken = await playRegistry(t, (_, response) => sendJson(response, {}, {}, 503));
  const check = async (registries: readonly string[]) => {
    const file = join(folder.path, 'config.yaml');
    const sections = {
      [named.url]: { repositories: ['apps/a', 'apps/b'] },
      [globs.url]: { repositories: ['x', 'apps/*'] },
    };
    await writeFile(
      file,
      stringify({
        indexes: Object.fromEntries(registries.map((registry, position) => [`index${position}`, { registry }])),
        registries: Object.fromEntries(Object.entries(sections).filter(([url]) => registries.includes(url))),
      }),
    );
    const { code, stdout } = await runRegindexer(['-c', file, 'check', '--online']);
    return {
      code,
      online: (stdout.match(/^Online: .*$/gm) ?? []).map((line) =>
        line.replace(/\d+\.\d+ s/, 'N s').replace(folder.path, '/etc'),
      ),
    };
  };
  assert.deepEqual(await check([all.url, named.url, globs.url, 'oci:images']), {
    code: 0,
    online: [
      `Online: ${all.url} answered after N s: it lists 4 repositories (a, b, c, …)`,
      `Online: ${named.url} answered after N s: apps/a has 1 tag (latest)`,
      `Online: ${globs.url} answered after N s: it lists 1 repository (apps/a)`,
      'Online: oci:/etc/images answered after N s: it lists 3 repositories (apps/clock, apps/hello, runtime/platform)',
    ],
  });
  assert.deepEqual([all.seen.length, named.seen.length, globs.seen.length], [1, 1, 1]);

  const { code, online } = await check([refusing.url, named.url, broken.url, 'http://127.0.0.1:1']);
  assert.equal(code, 1);
  assert.match(online[0] ?? '', /could not be read: .*answered 403.*: name them in registries\./);
  assert.match(online[1] ?? '', /apps\/a has 1 tag/);
  assert.match(online[2] ?? '', /could not be read: .*answered 503/);
  assert.match(online[3] ?? '', /^Online: http:\/\/127\.0\.0\.1:1 could not be read: .*ECONNREFUSED/);
  assert.deepEqual(refusing.seen.length + broken.seen.length, 2);
});

test('--online asks the database of the store, and only then', needs('postgres'), async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-check-'));
  await using server = await startPostgresql();
  const { port, database } = await server.createDatabase();
  await cp(SAMPLE_IMAGES, join(folder.path, 'images'), { recursive: true });
  const check = async (name: string, ...options: readonly string[]) => {
    const file = join(folder.path, 'config.yaml');
    const store = `postgres://regindexer:hunter2@127.0.0.1:${port}/${name}`;
    await writeFile(file, stringify({ indexes: { apps: { registry: 'oci:images' } }, store }));
    const { code, stdout, stderr } = await runRegindexer(['-c', file, 'check', ...options]);
    assert.ok(!`${stdout}${stderr}`.includes('hunter2'));
    assert.equal(stderr, '');
    assert.ok(
      stdout.includes(`State: in the PostgreSQL database ${name} at 127.0.0.1:${port}, without TLS; copies in `),
    );
    return { code, online: stdout.match(/^Online: the .*$/gm) };
  };
  const found = await check(database ?? '', '--online');
  assert.equal(found.code, 0);
  assert.match(
    found.online?.join() ?? '',
    /^Online: the database test_1 at 127\.0\.0\.1:\d+ answered after \d\.\d\d s: PostgreSQL \d+\.\d+/,
  );
  const missing = await check('nowhere', '--online');
  assert.equal(missing.code, 1);
  assert.match(
    missing.online?.join() ?? '',
    /^Online: the database nowhere at .+ does not exist \(.+\): make it with CREATE/,
  );
  await server.stop();
  assert.deepEqual(await check(database ?? ''), { code: 0, online: null });
  assert.match(
    (await check(database ?? '', '--online')).online?.join() ?? '',
    /cannot be reached .*: check host and port/,
  );
});

test('--online asks the API that lists repositories, and the registry for one of them', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-check-'));
  const registry = await playRegistry(t, (_, response) => sendJson(response, { tags: ['latest'] }));
  const api = await playApi(t, 'ghcr', { names: ['App', 'tool'] });
  const check = async (token: string) => {
    const file = join(folder.path, 'config.yaml');
    const listing = { ...MADE_UP_APIS.ghcr.listing, url: api.url, token };
    const config = { indexes: { apps: { registry: registry.url } }, registries: { [registry.url]: { listing } } };
    await writeFile(file, stringify(config));
    const { code, stdout } = await runRegindexer(['-c', file, 'check', '--online']);
    return { code, online: /^Online: .*$/m.exec(stdout)?.[0].replace(/\d+\.\d+ s/, 'N s') };
  };
  assert.deepEqual(await check(API_TOKEN), {
    code: 0,
    online: `Online: ${registry.url} answered after N s: ${api.url} lists 2 repositories (acme/app, acme/tool), of which acme/app has 1 tag (latest)`,
  });
  assert.deepEqual(
    [...api.seen, ...registry.seen],
    ['GET /orgs/Acme/packages?package_type=container&per_page=100', 'GET /v2/acme/app/tags/list?n=1000'],
  );
  const { code, online = '' } = await check('an-old-token');
  assert.equal(code, 1);
  assert.match(
    online,
    /could not be read: registries\..*\.listing: .*answered 401 \(Bad credentials\); GitHub refuses/,
  );
});
