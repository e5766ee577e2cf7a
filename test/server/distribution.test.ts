import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestOf } from '../../src/registry/digest.ts';
import { LayoutRegistrySource } from '../../src/registry/layout/layout-registry-source.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { TestState } from '../indexing/test-state.ts';
import { needs } from '../peers/installed.ts';
import { bareEnvironment } from '../peers/peer.ts';
import { runCommand } from '../peers/run-command.ts';
import { temporaryFolder, writeIndex, writeLayout } from '../registry/layout/write-layout.ts';
import { RawConnection } from './raw-connection.ts';
import { TestServer } from './test-server.ts';

interface ManifestJson {
  readonly config: { readonly digest: string; readonly size: number };
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

async function serve(t: TestContext, ...folders: readonly string[]): Promise<TestServer> {
  return TestServer.create(t, await TestState.open(t), {
    pullSources: (folders.length > 0 ? folders : [SAMPLE_IMAGES]).map((folder) => new LayoutRegistrySource(folder)),
  });
}

/** Copies the samples; the copy is removed after the test. */
async function copySamples(t: TestContext): Promise<string> {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-pull-'));
  t.after(() => folder.remove());
  await cp(SAMPLE_IMAGES, folder.path, { recursive: true });
  return folder.path;
}

test('image layouts on disk can be pulled', async (t) => {
  const server = await serve(t);
  const { fastify } = server;
  const latest = await fastify.inject('/v2/apps/hello/manifests/latest');
  const digest = String(latest.headers['docker-content-digest']);
  const { config, layers } = latest.json<ManifestJson>();
  const blob = layers[0] ?? config;

  await t.test('/v2/ answers, with the version of the API', async () => {
    const answer = await fastify.inject('/v2/');
    assert.deepEqual(
      [answer.statusCode, answer.json(), answer.headers['docker-distribution-api-version']],
      [200, {}, 'registry/2.0'],
    );
    assert.equal((await fastify.inject({ method: 'HEAD', url: '/v2/' })).statusCode, 200);
  });

  await t.test('a manifest by tag and by digest, byte for byte', async () => {
    assert.equal(latest.statusCode, 200);
    assert.equal(digest, digestOf(latest.rawPayload));
    assert.equal(latest.headers['content-type'], 'application/vnd.oci.image.manifest.v1+json');
    assert.equal(latest.headers['cache-control'], 'no-cache');
    const byDigest = await fastify.inject(`/v2/apps/hello/manifests/${digest}`);
    assert.deepEqual(byDigest.rawPayload, latest.rawPayload);
    assert.equal(byDigest.headers['cache-control'], 'public, max-age=31536000, immutable');
    for (const reference of ['latest', digest]) {
      const url = `/v2/apps/hello/manifests/${reference}`;
      const head = await fastify.inject({ method: 'HEAD', url });
      assert.equal(head.rawPayload.length, 0);
      for (const [name, value] of [
        ['content-length', String(latest.rawPayload.length)],
        ['content-type', latest.headers['content-type']],
        ['docker-content-digest', digest],
        ['etag', `"${digest}"`],
      ] as const)
        assert.equal(head.headers[name], value, name);
      assert.equal((await fastify.inject({ url, headers: { 'if-none-match': `"${digest}"` } })).statusCode, 304);
    }
  });

  await t.test('a blob, whole, in part and by HEAD', async () => {
    const url = `/v2/apps/hello/blobs/${blob.digest}`;
    const whole = await fastify.inject(url);
    const bytes = whole.rawPayload;
    assert.equal(digestOf(bytes), blob.digest);
    const { headers } = whole;
    assert.deepEqual(
      [
        headers['content-type'],
        headers['content-length'],
        headers['accept-ranges'],
        headers['docker-content-digest'],
        headers.etag,
        headers['cache-control'],
      ],
      [
        'application/octet-stream',
        String(blob.size),
        'bytes',
        blob.digest,
        `"${blob.digest}"`,
        'public, max-age=31536000, immutable',
      ],
    );
    assert.equal((await fastify.inject({ url, headers: { 'if-none-match': `"${blob.digest}"` } })).statusCode, 304);
    const head = await fastify.inject({ method: 'HEAD', url, headers: { range: 'bytes=0-9' } });
    assert.deepEqual(
      [head.statusCode, head.headers['content-length'], head.rawPayload.length],
      [200, String(blob.size), 0],
      'a range is for GET alone',
    );

    const size = bytes.length;
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 0],
      ['bytes=0-99', 0, 99],
      ['bytes=100-199', 100, 199],
      [`bytes=${size - 1}-`, size - 1, size - 1],
      ['bytes=50-', 50, size - 1],
      ['bytes=-10', size - 10, size - 1],
      [`bytes=-${size * 2}`, 0, size - 1],
      [`bytes=10-${size * 2}`, 10, size - 1],
    ] as const) {
      for (const conditions of [{}, { 'if-range': `"${blob.digest}"` }]) {
        const part = await fastify.inject({ url, headers: { range, ...conditions } });
        assert.equal(part.statusCode, 206, range);
        assert.equal(part.headers['content-range'], `bytes ${start}-${end}/${size}`);
        assert.equal(part.headers['content-length'], String(end - start + 1));
        assert.deepEqual(part.rawPayload, bytes.subarray(start, end + 1));
      }
    }
    for (const conditions of [
      { range: 'bytes=0-9,20-29' },
      { range: 'lines=0-9' },
      { range: 'bytes=9-0,x' },
      { range: 'nonsense' },
      { range: 'bytes=0-9', 'if-range': '"other"' },
      { range: 'bytes=0-9', 'if-range': `W/"${blob.digest}"` },
      { range: 'bytes=0-9', 'if-range': 'Thu, 01 Jan 2026 00:00:00 GMT' },
    ]) {
      const answer = await fastify.inject({ url, headers: conditions });
      assert.deepEqual([answer.statusCode, answer.rawPayload.length], [200, size], JSON.stringify(conditions));
    }
    for (const range of [`bytes=${size}-`, `bytes=${size + 5}-${size + 9}`]) {
      const answer = await fastify.inject({ url, headers: { range } });
      assert.equal(answer.statusCode, 416, range);
      assert.equal(answer.headers['content-range'], `bytes */${size}`);
      assert.equal(answer.json<{ errors: { code: string }[] }>().errors[0]?.code, 'RANGE_INVALID');
      assert.deepEqual([answer.headers['cache-control'], answer.headers.etag], ['no-store', undefined]);
    }
    assert.equal(
      (await fastify.inject({ url, headers: { range: `bytes=${size}-`, 'if-none-match': `"${blob.digest}"` } }))
        .statusCode,
      304,
      'conditions come first',
    );
  });

  await t.test('tags and repositories, page by page', async () => {
    assert.deepEqual((await fastify.inject('/v2/apps/hello/tags/list')).json(), {
      name: 'apps/hello',
      tags: ['latest'],
    });
    assert.deepEqual((await fastify.inject('/v2/_catalog')).json(), {
      repositories: ['apps/clock', 'apps/hello', 'runtime/platform'],
    });
    const pages: string[][] = [];
    let link: string | undefined = '/v2/_catalog?n=2';
    while (link !== undefined) {
      const page: Awaited<ReturnType<typeof fastify.inject>> = await fastify.inject(link);
      pages.push(page.json<{ repositories: string[] }>().repositories);
      link = /^<([^>]+)>; rel="next"$/.exec(String(page.headers.link))?.[1];
    }
    assert.deepEqual(pages, [['apps/clock', 'apps/hello'], ['runtime/platform']]);
    assert.deepEqual((await fastify.inject('/v2/_catalog?last=apps/hello')).json(), {
      repositories: ['runtime/platform'],
    });
    assert.deepEqual((await fastify.inject('/v2/_catalog?n=0')).json(), { repositories: [] });
    for (const n of ['-1', 'x', '', '1.5', '1001', '1e2', '1&n=2']) {
      const answer = await fastify.inject(`/v2/_catalog?n=${n}`);
      assert.equal(answer.statusCode, 400, n);
      assert.equal(answer.json<{ errors: { code: string }[] }>().errors[0]?.code, 'PAGINATION_NUMBER_INVALID');
    }
  });

  await t.test('errors have the fields of the protocol and of this server', async () => {
    const none = `sha256:${'0'.repeat(64)}`;
    for (const [method, path, status, code] of [
      ['GET', 'apps/hello/manifests/none', 404, 'MANIFEST_UNKNOWN'],
      ['GET', `apps/hello/manifests/${none}`, 404, 'MANIFEST_UNKNOWN'],
      ['GET', `apps/hello/manifests/${blob.digest}`, 404, 'MANIFEST_UNKNOWN'],
      ['GET', 'none/manifests/latest', 404, 'MANIFEST_UNKNOWN'],
      ['GET', 'apps/hello/manifests/..', 404, 'NAME_INVALID'],
      ['GET', 'apps/hello/manifests/-x', 404, 'MANIFEST_INVALID'],
      ['GET', `apps/hello/blobs/${none}`, 404, 'BLOB_UNKNOWN'],
      ['GET', `apps/clock/blobs/${blob.digest}`, 404, 'BLOB_UNKNOWN'],
      ['GET', 'apps/hello/blobs/latest', 404, 'DIGEST_INVALID'],
      ['GET', 'apps/hello/tags/other', 404, 'UNSUPPORTED'],
      ['GET', 'none/tags/list', 404, 'NAME_UNKNOWN'],
      ['GET', 'Apps/Hello/tags/list', 404, 'NAME_INVALID'],
      ['GET', 'apps', 404, 'NAME_INVALID'],
      ['GET', `apps/hello/referrers/${none}`, 404, 'NAME_INVALID'],
      ['POST', 'apps/hello/blobs/uploads/', 405, 'UNSUPPORTED'],
      ['PUT', 'apps/hello/manifests/latest', 405, 'UNSUPPORTED'],
      ['DELETE', `apps/hello/manifests/${digest}`, 405, 'UNSUPPORTED'],
      ['PATCH', '', 405, 'UNSUPPORTED'],
    ] as const) {
      const answer = await fastify.inject({ method, url: `/v2/${path}` });
      const body = answer.json<{
        statusCode: number;
        error: string;
        message: string;
        errors: { code: string; message: string }[];
      }>();
      assert.deepEqual(
        [answer.statusCode, body.statusCode, body.errors],
        [status, status, [{ code, message: body.message }]],
        path,
      );
      assert.equal(typeof body.error, 'string');
      assert.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0');
      if (status === 405) assert.equal(answer.headers.allow, 'GET, HEAD');
    }
  });

  await t.test('paths cannot leave the folder', async () => {
    using connection = RawConnection.open(await server.listen());
    for (const path of [
      '../../etc/passwd',
      'apps/../../manifests/latest',
      'apps/hello/../../../manifests/latest',
      '%2e%2e/%2e%2e/manifests/latest',
      'apps/hello/blobs/sha256:..%2f..%2findex.json',
      '/etc/manifests/latest',
    ]) {
      connection.send(`GET /v2/${path} HTTP/1.1\nhost: a\n\n`);
      assert.equal((await connection.answer()).statusCode, 404, path);
    }
  });

  assert.deepEqual(
    server.log.filter(({ level }) => level >= 40),
    [],
  );
});

test('the tag _deltaindex is served, but not listed', async (t) => {
  const folder = await temporaryFolder(t);
  const layout = join(folder, 'app');
  const [image] = await writeLayout(layout);
  assert.ok(image);
  await writeIndex(layout, [
    ['latest', image],
    ['_deltaindex', image],
  ]);
  const { fastify } = await serve(t, folder);
  assert.equal((await fastify.inject('/v2/app/manifests/_deltaindex')).statusCode, 200);
  assert.deepEqual((await fastify.inject('/v2/app/tags/list')).json(), { name: 'app', tags: ['latest'] });
});

test('the first folder that has a repository answers for it', async (t) => {
  const [one, two] = [await copySamples(t), await copySamples(t)];
  await rm(join(one, 'runtime'), { recursive: true });
  await rm(join(two, 'apps/clock'), { recursive: true });
  const { fastify } = await serve(t, one, two);
  assert.deepEqual((await fastify.inject('/v2/_catalog')).json(), {
    repositories: ['apps/clock', 'apps/hello', 'runtime/platform'],
  });
  for (const name of ['apps/clock', 'apps/hello', 'runtime/platform'])
    assert.equal((await fastify.inject(`/v2/${name}/manifests/latest`)).statusCode, 200);
});

test('damaged content is not served', async (t) => {
  const folder = await copySamples(t);
  const server = await serve(t, folder);
  const digest = String(
    (await server.fastify.inject('/v2/apps/hello/manifests/latest')).headers['docker-content-digest'],
  );
  await truncate(join(folder, 'apps/hello/blobs', digest.replace(':', '/')), 100);
  const answer = await server.fastify.inject('/v2/apps/hello/manifests/latest');
  assert.equal(answer.statusCode, 500);
  assert.deepEqual(answer.json<{ errors: unknown }>().errors, [
    { code: 'UNKNOWN', message: 'Something went wrong; the log of this server says what.' },
  ]);
  assert.equal(answer.headers['docker-content-digest'], undefined);
  assert.equal(server.log.filter(({ level }) => level >= 50).length, 1);
});

test('content that is unreadable or too large is 502', async (t) => {
  const folder = await copySamples(t);
  const server = await serve(t, folder);
  await truncate(join(folder, 'apps/hello/index.json'), 4 * 1024 * 1024 + 1);
  await writeFile(join(folder, 'apps/clock/index.json'), '[]');
  const ask = async (url: string): Promise<unknown> => {
    const answer = await server.fastify.inject(url);
    return [answer.statusCode, answer.json<{ errors: { message: string }[] }>().errors.map(({ message }) => message)];
  };
  const told = [502, ['This content cannot be read; the log of this server says why.']];
  for (const url of ['/v2/apps/hello/tags/list', '/v2/apps/hello/manifests/latest', '/v2/apps/clock/tags/list'])
    assert.deepEqual(await ask(url), told, url);
  assert.equal((await server.fastify.inject('/v2/runtime/platform/tags/list')).statusCode, 200);
  await rm(folder, { recursive: true });
  assert.deepEqual(await ask('/v2/_catalog'), told);
  assert.deepEqual(
    server.log.filter(({ level }) => level >= 50),
    [],
  );
  assert.match(
    server.log.find(({ level }) => level === 40)?.msg ?? '',
    /apps\/hello\/index\.json: 4194305 bytes are more than 4194304/,
  );
});

test('without sources there is no /v2/', async (t) => {
  const server = await TestServer.create(t, await TestState.open(t));
  for (const url of ['/v2/', '/v2/_catalog', '/v2/apps/hello/manifests/latest'])
    assert.equal((await server.fastify.inject(url)).statusCode, 404);
});

test('skopeo inspects and copies from it', needs('skopeo'), async (t) => {
  const server = await serve(t);
  const port = await server.listen();
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-pull-'));
  const env = bareEnvironment(folder.path);
  const image = `docker://127.0.0.1:${port}/apps/hello:latest`;
  const inspected = JSON.parse(await runCommand('skopeo', ['inspect', '--tls-verify=false', image], { env })) as {
    Digest: string;
    RepoTags: string[];
    Architecture: string;
  };
  assert.deepEqual([inspected.RepoTags, inspected.Architecture], [['latest'], 'amd64']);
  await runCommand(
    'skopeo',
    ['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false', image, `oci:${folder.path}/copy:latest`],
    { env },
  );
  const index = JSON.parse(await readFile(join(folder.path, 'copy/index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  assert.equal(index.manifests[0]?.digest, inspected.Digest);
  assert.equal(
    inspected.Digest,
    (await server.fastify.inject('/v2/apps/hello/manifests/latest')).headers['docker-content-digest'],
  );
});
