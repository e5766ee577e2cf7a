import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { suite, test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openPullBackends, type PullBackendOptions } from '../../src/app/pull-backends.ts';
import type { RegistryOptions } from '../../src/registry/create-registry-source.ts';
import { digestOf } from '../../src/registry/digest.ts';
import { RequestCounts } from '../../src/registry/http/transport/request-counts.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { defineIndex, TestState } from '../indexing/test-state.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { playRegistry, sendJson, type Answer, type Played } from '../registry/http/play-registry.ts';
import { TestServer } from './test-server.ts';

const LOGIN = { username: 'indexer', password: 'p:ss wörd' };
const AUTHORIZATION = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString('base64')}`;
const MANIFEST = '{"schemaVersion":2}';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const BLOB = randomBytes(100_000);
const DIGEST = digestOf(BLOB);
const BLOB_PATH = `/v2/apps/a/blobs/${DIGEST}`;

interface Setup {
  readonly server: TestServer;
  readonly registry: Played;
  /** Headers of the requests to the registry. */
  readonly got: readonly IncomingHttpHeaders[];
  /** Requests to the registry. */
  readonly counts: RequestCounts;
}

interface Options {
  readonly registry?: Partial<RegistryOptions>;
  readonly passRedirects?: boolean;
  readonly indexes?: readonly Partial<IndexDefinition>[];
  readonly layouts?: PullBackendOptions['layouts'];
}

/** Creates a server that forwards to a registry with this handler. */
async function serve(
  t: TestContext,
  answer: Answer,
  { registry: its = {}, passRedirects = false, indexes = [{}], layouts = [] }: Options = {},
): Promise<Setup> {
  const got: IncomingHttpHeaders[] = [];
  const registry = await playRegistry(t, (request, response) => {
    got.push(request.headers);
    answer(request, response);
  });
  const options: RegistryOptions = {
    id: registry.url,
    concurrency: 4,
    timeout: 5000,
    userAgent: 'regindexer/test',
    credentials: LOGIN,
    ...its,
  };
  const counts = new RequestCounts();
  const pullBackends = await openPullBackends(
    {
      layouts,
      proxied: {
        registry: options,
        passRedirects,
        indexes: indexes.map((index) => defineIndex({ registry: registry.url, ...index })),
      },
    },
    counts.count,
  );
  const server = await TestServer.create(t, await TestState.open(t), { ...pullBackends });
  t.after(() => pullBackends.close());
  return { server, registry, got, counts };
}

/** Answers as docker-registry does for a blob. */
function sendBlob(request: IncomingMessage, response: ServerResponse): void {
  const headers = {
    'content-type': 'text/html',
    'docker-content-digest': DIGEST,
    etag: `"${DIGEST}"`,
    'accept-ranges': 'bytes',
    'set-cookie': 'session=1',
    'x-internal': 'yes',
    'www-authenticate': 'Basic realm="inside"',
  };
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (request.headers['if-none-match'] === headers.etag) response.writeHead(304, headers).end();
  else if (Number(from) >= BLOB.length)
    response.writeHead(416, { ...headers, 'content-range': `bytes */${BLOB.length}` }).end();
  else if (from !== undefined) {
    const part = BLOB.subarray(Number(from), Number(to) + 1);
    response
      .writeHead(206, {
        ...headers,
        'content-length': part.length,
        'content-range': `bytes ${from}-${to}/${BLOB.length}`,
      })
      .end(part);
  } else
    response
      .writeHead(200, { ...headers, 'content-length': BLOB.length })
      .end(request.method === 'HEAD' ? undefined : BLOB);
}

suite('what a registry has is served from here', () => {
  test('a blob: whole, its head, a part, and not again', async (t) => {
    const {
      server: { fastify },
      got,
    } = await serve(t, sendBlob);
    const whole = await fastify.inject(BLOB_PATH);
    assert.equal(whole.statusCode, 200);
    assert.ok(whole.rawPayload.equals(BLOB));
    const {
      etag,
      'content-length': length,
      'content-type': type,
      'docker-content-digest': digest,
      'accept-ranges': ranges,
      'cache-control': cache,
      'docker-distribution-api-version': version,
    } = whole.headers;
    assert.deepEqual(
      [etag, length, type, digest, ranges, cache, version],
      [
        `"${DIGEST}"`,
        '100000',
        'application/octet-stream',
        DIGEST,
        'bytes',
        'public, max-age=31536000, immutable',
        'registry/2.0',
      ],
    );
    assert.deepEqual(
      [whole.headers['x-content-type-options'], whole.headers['content-security-policy']],
      ['nosniff', "default-src 'none'; frame-ancestors 'none'; sandbox"],
    );

    const head = await fastify.inject({ method: 'HEAD', url: BLOB_PATH });
    assert.deepEqual([head.statusCode, head.headers['content-length'], head.rawPayload.length], [200, '100000', 0]);
    const part = await fastify.inject({ url: BLOB_PATH, headers: { range: 'bytes=10-19', 'if-range': `"${DIGEST}"` } });
    assert.deepEqual(
      [part.statusCode, part.headers['content-range'], part.headers['content-length']],
      [206, 'bytes 10-19/100000', '10'],
    );
    assert.ok(part.rawPayload.equals(BLOB.subarray(10, 20)));
    assert.equal(got.at(-1)?.['if-range'], `"${DIGEST}"`);
    const beyond = await fastify.inject({ url: BLOB_PATH, headers: { range: 'bytes=100000-100009' } });
    assert.deepEqual([beyond.statusCode, beyond.headers['content-range']], [416, 'bytes */100000']);
    const fresh = await fastify.inject({ url: BLOB_PATH, headers: { 'if-none-match': `"${DIGEST}"` } });
    assert.deepEqual([fresh.statusCode, fresh.rawPayload.length, fresh.headers.etag], [304, 0, `"${DIGEST}"`]);
  });

  test('a manifest, in the type that the client takes', async (t) => {
    const {
      server: { fastify },
      got,
      registry,
    } = await serve(t, (_request, response) =>
      response
        .writeHead(200, { 'content-type': MANIFEST_TYPE, 'docker-content-digest': digestOf(MANIFEST) })
        .end(MANIFEST),
    );
    const manifest = await fastify.inject({ url: '/v2/apps/a/manifests/latest', headers: { accept: MANIFEST_TYPE } });
    assert.deepEqual(
      [manifest.statusCode, manifest.body, manifest.headers['content-type'], manifest.headers['cache-control']],
      [200, MANIFEST, MANIFEST_TYPE, 'no-cache'],
    );
    assert.deepEqual(
      [registry.seen, got[0]?.accept, got[0]?.['user-agent'], got[0]?.['accept-encoding']],
      [['GET /v2/apps/a/manifests/latest'], MANIFEST_TYPE, 'regindexer/test', 'identity'],
    );
  });

  test('HEAD of a manifest, also where the registry refuses HEAD', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(
      t,
      (request, response) => {
        if (request.method === 'HEAD') response.writeHead(404).end();
        else if (request.url.endsWith('/gone')) sendJson(response, {}, {}, 404);
        else
          response
            .writeHead(200, {
              'content-type': MANIFEST_TYPE,
              'docker-content-digest': digestOf(MANIFEST),
              'content-length': MANIFEST.length,
            })
            .end(MANIFEST);
      },
      { registry: { credentials: undefined } },
    );
    assert.equal((await fastify.inject({ method: 'HEAD', url: '/v2/apps/a/manifests/gone' })).statusCode, 404);
    for (const tag of ['latest', 'other']) {
      const head = await fastify.inject({ method: 'HEAD', url: `/v2/apps/a/manifests/${tag}` });
      assert.deepEqual(
        [head.statusCode, head.body, head.headers['docker-content-digest'], head.headers['content-length']],
        [200, '', digestOf(MANIFEST), String(MANIFEST.length)],
      );
    }
    assert.deepEqual(
      registry.seen.map((request) => request.replace('/v2/apps/a/manifests/', '')),
      ['HEAD gone', 'GET gone', 'HEAD latest', 'GET latest', 'GET other'],
    );
  });

  test('with the credentials of this server, not those of the client', async (t) => {
    const {
      server: { fastify },
      got,
    } = await serve(t, (request, response) => {
      if (request.headers.authorization === AUTHORIZATION) sendBlob(request, response);
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="inside"' }).end();
    });
    const answer = await fastify.inject({
      url: BLOB_PATH,
      headers: { authorization: 'Bearer of-the-client', cookie: 'a=b', 'x-forwarded-for': '10.0.0.1', 'x-other': 'c' },
    });
    assert.equal(answer.statusCode, 200);
    for (const name of ['set-cookie', 'www-authenticate', 'x-internal'])
      assert.equal(answer.headers[name], undefined, name);
    for (const headers of got) {
      assert.deepEqual(
        Object.keys(headers).filter((name) => ['cookie', 'x-forwarded-for', 'x-other'].includes(name)),
        [],
      );
      assert.ok([undefined, AUTHORIZATION].includes(headers.authorization));
    }
  });

  test('without credentials, if the registry refuses them but is public', async (t) => {
    for (const status of [400, 401, 403, 404]) {
      const {
        server: { fastify },
        got,
      } = await serve(t, (request, response) => {
        if (request.headers.authorization === undefined) sendBlob(request, response);
        else response.writeHead(status).end();
      });
      const answer = await fastify.inject(BLOB_PATH);
      assert.deepEqual([answer.statusCode, answer.rawPayload.equals(BLOB), got.length], [200, true, 2], String(status));
    }
  });

  test('decompressed, if the registry compresses against the request', async (t) => {
    const {
      server: { fastify },
    } = await serve(t, (_request, response) => {
      const packed = gzipSync(BLOB);
      response
        .writeHead(200, {
          'content-encoding': 'gzip',
          'content-length': packed.length,
          'accept-ranges': 'bytes',
          'docker-content-digest': DIGEST,
        })
        .end(packed);
    });
    const blob = await fastify.inject(BLOB_PATH);
    assert.ok(blob.rawPayload.equals(BLOB));
    assert.deepEqual(
      [blob.statusCode, blob.headers['content-encoding'], blob.headers['accept-ranges']],
      [200, undefined, undefined],
    );
  });

  test('for reading only', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(t, sendBlob);
    for (const [method, url] of [
      ['PUT', '/v2/apps/a/manifests/latest'],
      ['DELETE', BLOB_PATH],
      ['POST', '/v2/apps/a/blobs/uploads/'],
      ['PATCH', BLOB_PATH],
      ['POST', '/v2/_catalog'],
    ] as const) {
      const refused = await fastify.inject({ method, url, payload: 'x' });
      assert.deepEqual(
        [refused.statusCode, refused.headers.allow, refused.json<{ errors: { code: string }[] }>().errors[0]?.code],
        [405, 'GET, HEAD', 'UNSUPPORTED'],
        `${method} ${url}`,
      );
    }
    assert.deepEqual(registry.seen, []);
  });
});

/** A registry without a login, with two lists. */
const openRegistry: Answer = (request, response) => {
  if (request.url.startsWith('/v2/_catalog'))
    sendJson(
      response,
      { repositories: ['apps/a', 'apps/secret', 'other/b', 'no such name', 7] },
      { link: '</v2/_catalog?n=4&last=other%2Fb>; rel="next"' },
    );
  else if (request.url.includes('/tags/list'))
    sendJson(
      response,
      { name: 'apps/a', tags: ['latest', 'internal', 'v1'] },
      { link: `<http://inside.example.org${request.url.replace(/\?.*/, '')}?token=abc>; rel="next"` },
    );
  else sendBlob(request, response);
};

suite('a proxied registry shows no more than its indexes', () => {
  const indexes = [
    { name: 'one', repositoryInclude: ['apps/*'], repositoryExclude: ['apps/secret'], tags: ['latest'] },
    { name: 'two', repositoryInclude: ['apps/b'], tags: ['internal'] },
  ];

  test('repositories and tags that no index includes do not exist', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(t, openRegistry, { indexes, registry: { repositories: ['apps/*'] } });
    for (const url of [
      `/v2/apps/secret/blobs/${DIGEST}`,
      '/v2/apps/secret/manifests/latest',
      '/v2/apps/a/manifests/internal',
      '/v2/apps/b/manifests/v1',
      '/v2/other/b/manifests/latest',
      '/v2/apps/secret/tags/list',
    ]) {
      const absent = await fastify.inject(url);
      assert.equal(absent.statusCode, 404, url);
      assert.match(
        absent.json<{ errors: { code: string }[] }>().errors[0]?.code ?? '',
        /^(BLOB|MANIFEST|NAME)_UNKNOWN$/,
        url,
      );
    }
    assert.deepEqual(registry.seen, [], 'nobody is asked');
    for (const url of [
      BLOB_PATH,
      `/v2/apps/a/manifests/${DIGEST}`,
      '/v2/apps/a/manifests/latest',
      '/v2/apps/b/manifests/internal',
    ])
      assert.equal((await fastify.inject(url)).statusCode, 200, url);
  });

  test('the tag _deltaindex of a visible repository is served, but not listed', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(
      t,
      (request, response) => {
        if (request.url.includes('/tags/list'))
          sendJson(response, { name: 'apps/a', tags: ['_deltaindex', 'latest', 'v1'] });
        else
          response
            .writeHead(200, {
              'content-type': MANIFEST_TYPE,
              'content-length': MANIFEST.length,
              'docker-content-digest': digestOf(MANIFEST),
            })
            .end(request.method === 'HEAD' ? undefined : MANIFEST);
      },
      { indexes: [{ tags: ['latest', '_*'], repositoryInclude: ['apps/*'] }] },
    );
    for (const method of ['GET', 'HEAD'] as const)
      assert.equal((await fastify.inject({ method, url: '/v2/apps/a/manifests/_deltaindex' })).statusCode, 200);
    assert.equal((await fastify.inject('/v2/secret/manifests/_deltaindex')).statusCode, 404);
    assert.deepEqual((await fastify.inject('/v2/apps/a/tags/list')).json(), { name: 'apps/a', tags: ['latest'] });
    assert.deepEqual(
      registry.seen.filter((request) => request.includes('secret')),
      [],
    );
  });

  test('lists have pages, with links to this server', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(t, openRegistry, { indexes });
    const catalog = await fastify.inject('/v2/_catalog?n=4&last=%22>');
    assert.deepEqual(
      [catalog.json(), catalog.headers.link],
      [{ repositories: ['apps/a'] }, '</v2/_catalog?n=4&last=other%2Fb>; rel="next"'],
    );
    const tags = await fastify.inject('/v2/apps/a/tags/list');
    assert.deepEqual(
      [tags.json(), tags.headers.link],
      [{ name: 'apps/a', tags: ['latest'] }, '</v2/apps/a/tags/list?token=abc>; rel="next"'],
    );
    assert.deepEqual(registry.seen, ['GET /v2/_catalog?n=4&last=%22%3E', 'GET /v2/apps/a/tags/list']);
  });

  test('without a catalog, the repositories of the configuration are listed', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(t, openRegistry, { indexes, registry: { repositories: ['apps/b', 'apps/a', 'other/b'] } });
    assert.deepEqual((await fastify.inject('/v2/_catalog?n=1')).json(), { repositories: ['apps/a'] });
    assert.deepEqual(registry.seen, []);
  });

  test('folders of image layouts are served beside it', async (t) => {
    const {
      server: { fastify },
      registry,
    } = await serve(t, sendBlob, { layouts: [{ folder: SAMPLE_IMAGES, repositories: [] }] });
    const local = await fastify.inject('/v2/apps/hello/manifests/latest');
    assert.deepEqual([local.statusCode, registry.seen.length], [200, 0]);
    assert.equal((await fastify.inject(`/v2/apps/hello/blobs/${DIGEST}`)).statusCode, 200);
    assert.equal((await fastify.inject('/v2/apps/hello/blobs/sha256:123')).statusCode, 404);
    assert.deepEqual(registry.seen, [`GET /v2/apps/hello/blobs/${DIGEST}`]);
  });
});

/** A registry that redirects within itself first, and then to a store. */
async function setUpStorage(t: TestContext, passRedirects: boolean) {
  const stored: IncomingHttpHeaders[] = [];
  const storage = await playRegistry(t, (request, response) => {
    stored.push(request.headers);
    sendBlob(request, response);
  });
  const answer: Answer = (request, response) =>
    response
      .writeHead(307, {
        location: request.url === BLOB_PATH ? `${BLOB_PATH}?moved` : `${storage.url}/bucket?signature=x`,
      })
      .end('moved');
  return { ...(await serve(t, answer, { passRedirects })), storage, stored };
}

suite('a redirect of a proxied registry', () => {
  test('is followed, without credentials where it leads elsewhere', async (t) => {
    const {
      server: { fastify },
      got,
      stored,
    } = await setUpStorage(t, false);
    const part = await fastify.inject({ url: BLOB_PATH, headers: { range: 'bytes=0-9' } });
    assert.deepEqual([part.statusCode, part.rawPayload.length, part.headers.location], [206, 10, undefined]);
    assert.deepEqual([stored.length, stored[0]?.authorization, stored[0]?.range], [1, undefined, 'bytes=0-9']);
    assert.equal(got.length, 2);
  });

  test('is passed on if it is to be, where it leads elsewhere', async (t) => {
    const {
      server: { fastify },
      stored,
      storage,
      got,
    } = await setUpStorage(t, true);
    const moved = await fastify.inject(BLOB_PATH);
    assert.deepEqual(
      [moved.statusCode, moved.headers.location, moved.body, moved.headers['cache-control']],
      [307, `${storage.url}/bucket?signature=x`, '', 'no-store'],
    );
    assert.deepEqual([stored.length, got.length], [0, 2], 'one within the registry is followed');
  });
});

suite('a proxied registry that does not give what it should', () => {
  test('is an error as JSON that says what to do, and reveals nothing internal', async (t) => {
    let status = 0;
    const { server, registry } = await serve(
      t,
      (_request, response) =>
        response.writeHead(status, { 'www-authenticate': 'Basic realm="inside"', 'retry-after': '0' }).end('inside'),
      { registry: { credentials: undefined } },
    );
    for (const [its, ours, code] of [
      [404, 404, 'BLOB_UNKNOWN'],
      [401, 403, 'DENIED'],
      [403, 403, 'DENIED'],
      [429, 429, 'TOOMANYREQUESTS'],
      [400, 400, 'UNSUPPORTED'],
      [500, 502, 'UNKNOWN'],
      [503, 502, 'UNKNOWN'],
      [302, 502, 'UNKNOWN'],
      [201, 502, 'UNKNOWN'],
    ] as const) {
      status = its;
      const answer = await server.fastify.inject(BLOB_PATH);
      const { errors, message, statusCode } = answer.json<{
        errors: { code: string }[];
        message: string;
        statusCode: number;
      }>();
      assert.deepEqual([answer.statusCode, statusCode, errors[0]?.code], [ours, ours, code], String(its));
      assert.doesNotMatch(message, /inside|127\.0\.0\.1/);
      assert.equal(answer.headers['www-authenticate'], undefined);
    }
    assert.ok(registry.seen.length > 9, 'what may pass is tried again');
    assert.deepEqual(
      server.log.filter(({ level }) => level > 40),
      [],
    );
    assert.match(server.log.find(({ level }) => level === 40)?.msg ?? '', /answered 401; .*username and password/);
  });

  test('because it is down', async (t) => {
    const {
      server: { fastify },
    } = await serve(t, sendBlob, { registry: { id: 'http://127.0.0.1:1' } });
    for (const url of [BLOB_PATH, '/v2/_catalog', '/v2/apps/a/tags/list']) {
      const answer = await fastify.inject(url);
      assert.equal(answer.statusCode, 502);
      assert.match(answer.json<{ message: string }>().message, /cannot be read now; ask again in a moment/);
    }
  });

  test('because it does not answer', async (t) => {
    const {
      server: { fastify },
    } = await serve(t, () => undefined, { registry: { timeout: 100 } });
    const answer = await fastify.inject(BLOB_PATH);
    assert.equal(answer.statusCode, 504);
    assert.match(
      answer.json<{ message: string }>().message,
      /did not answer within 0\.1 s; .*registries\.URL\.timeout/,
    );
  });

  test('but stops in the middle of it: so does the answer', async (t) => {
    const ways: ((response: ServerResponse) => void)[] = [(response) => void response.socket?.end(), () => undefined];
    const how = ways.values();
    const { server } = await serve(
      t,
      (_request, response) => {
        response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 50_000));
        how.next().value?.(response);
      },
      { registry: { timeout: 200 } },
    );
    const port = await server.listen();
    for (const _ of ways) {
      const answer = await download(port);
      await assert.rejects(buffer(answer), { code: 'ECONNRESET' });
    }
    assert.deepEqual(
      server.log.filter(({ level }) => level > 40),
      [],
    );
  });
});

suite('a proxied blob is never held here', () => {
  const SIZE = 96 * 1024 * 1024;

  test('it is sent at the pace of the client', async (t) => {
    const chunk = randomBytes(64 * 1024);
    const hash = createHash('sha256');
    let sent = 0;
    const { server } = await serve(t, (_request, response) => {
      response.writeHead(200, { 'content-length': SIZE });
      void (async () => {
        while (sent < SIZE) {
          hash.update(chunk);
          sent += chunk.length;
          if (!response.write(chunk)) await once(response, 'drain');
        }
        response.end();
      })();
    });
    const answer = await download(await server.listen());
    answer.pause();
    for (let before = -1; before < sent; await pause(200)) before = sent;
    t.diagnostic(
      `${Math.round(sent / 1024 / 1024)} of ${SIZE / 1024 / 1024} MiB left the registry before the client read any`,
    );
    assert.ok(sent < SIZE / 2);
    const received = createHash('sha256');
    for await (const part of answer) received.update(part as Buffer);
    assert.equal(received.digest('hex'), hash.digest('hex'));
  });

  test('a client that disconnects aborts the request, before and after its answer has begun', async (t) => {
    const answers: ServerResponse[] = [];
    const { promise: first, resolve: begun } = Promise.withResolvers<void>();
    const { server } = await serve(t, (_request, response) => {
      answers.push(response);
      if (answers.length === 1) begun();
      else response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 1000));
    });
    const port = await server.listen();
    const waiting = get({ port, path: BLOB_PATH, agent: false }).on('error', () => undefined);
    await first;
    waiting.destroy();
    await once(answers[0] ?? assert.fail(), 'close');
    const answer = await download(port);
    answer.destroy();
    await once(answers[1] ?? assert.fail(), 'close');
    assert.deepEqual(
      server.log.filter(({ level }) => level > 40),
      [],
    );
  });

  test('many slow clients do not block others', async (t) => {
    let slow = true;
    const { server } = await serve(t, (request, response) => {
      if (slow) response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 1000));
      else sendBlob(request, response);
    });
    const port = await server.listen();
    const downloads = await Promise.all(Array.from({ length: 20 }, () => download(port)));
    slow = false;
    assert.equal((await buffer(await download(port))).length, BLOB.length);
    for (const each of downloads) each.destroy();
  });
});

/** Requests the blob without reading the answer. */
async function download(port: number): Promise<IncomingMessage> {
  const [answer] = (await once(get({ port, path: BLOB_PATH, agent: false }), 'response')) as [IncomingMessage];
  return answer;
}

test('requests to the registry for clients are counted', async (t) => {
  const { server, registry, counts } = await serve(t, sendBlob);
  await server.fastify.inject(BLOB_PATH);
  await server.fastify.inject({ url: BLOB_PATH, headers: { range: 'bytes=0-1' } });
  assert.deepEqual(counts.take(), [
    { registry: registry.url, status: '200', count: 1 },
    { registry: registry.url, status: '206', count: 1 },
  ]);
});
