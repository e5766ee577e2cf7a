import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { PIECE_BYTES, putBlob } from '../../src/store/blobs.ts';
import { StoreError } from '../../src/store/store-error.ts';
import { TestState } from '../indexing/test-state.ts';
import { TestServer } from './test-server.ts';

const CONTENT = randomBytes(PIECE_BYTES + 1000);

/** A server that has a delta and a manifest. */
async function setUp(
  t: TestContext,
): Promise<{ server: TestServer; state: TestState; delta: string; manifest: string }> {
  const state = await TestState.open(t);
  const server = await TestServer.create(t, state, { pullSources: [] });
  const manifest = Buffer.from('{"layers":[]}');
  await putBlob(state.store.blobs, { kind: 'delta', digest: digestOf(CONTENT) }, [CONTENT]);
  await putBlob(state.store.blobs, { kind: 'delta-manifest', digest: digestOf(manifest) }, [manifest]);
  return {
    server,
    state,
    delta: pathOf(digestOf(CONTENT), 'tardiff'),
    manifest: pathOf(digestOf(manifest), 'json'),
  };
}

function pathOf(digest: Digest, extension: string): string {
  return `/deltas/${digest.slice(7, 9)}/${digest.slice(9)}.${extension}`;
}

test('a delta and its manifest are sent, and never change', async (t) => {
  const { server, delta, manifest } = await setUp(t);
  const whole = await server.fastify.inject(delta);
  assert.equal(whole.statusCode, 200);
  assert.ok(whole.rawPayload.equals(CONTENT));
  assert.deepEqual(
    ['content-type', 'content-length', 'cache-control', 'accept-ranges', 'x-content-type-options', 'etag'].map(
      (name) => whole.headers[name],
    ),
    [
      'application/octet-stream',
      String(CONTENT.length),
      'public, max-age=31536000, immutable',
      'bytes',
      'nosniff',
      `"${digestOf(CONTENT)}"`,
    ],
  );
  const head = await server.fastify.inject({ method: 'HEAD', url: delta });
  assert.deepEqual([head.statusCode, head.headers['content-length'], head.payload], [200, String(CONTENT.length), '']);
  const fresh = await server.fastify.inject({ url: delta, headers: { 'if-none-match': String(whole.headers.etag) } });
  assert.deepEqual([fresh.statusCode, fresh.payload], [304, '']);
  const its = await server.fastify.inject(manifest);
  assert.deepEqual(
    [its.statusCode, its.headers['content-type'], its.payload],
    [200, 'application/vnd.oci.image.manifest.v1+json', '{"layers":[]}'],
  );
});

test('a part of a delta is sent, across its pieces', async (t) => {
  const { server, delta } = await setUp(t);
  for (const [range, start, end] of [
    ['bytes=0-0', 0, 0],
    [`bytes=${PIECE_BYTES - 5}-${PIECE_BYTES + 5}`, PIECE_BYTES - 5, PIECE_BYTES + 5],
    ['bytes=-10', CONTENT.length - 10, CONTENT.length - 1],
  ] as const) {
    const part = await server.fastify.inject({ url: delta, headers: { range } });
    assert.equal(part.statusCode, 206);
    assert.equal(part.headers['content-range'], `bytes ${start}-${end}/${CONTENT.length}`);
    assert.ok(part.rawPayload.equals(CONTENT.subarray(start, end + 1)));
  }
  const behind = await server.fastify.inject({ url: delta, headers: { range: `bytes=${CONTENT.length}-` } });
  assert.deepEqual([behind.statusCode, behind.headers['content-range']], [416, `bytes */${CONTENT.length}`]);
});

test('what is not there is not found', async (t) => {
  const { server, delta, manifest } = await setUp(t);
  for (const path of [
    delta.replace('.tardiff', '.json'),
    manifest.replace('.json', '.tardiff'),
    pathOf(digestOf('none'), 'json'),
    '/deltas/',
    '/deltas/ab/cd.json',
  ])
    assert.equal((await server.fastify.inject(path)).statusCode, 404, path);
});

test('a delta that is damaged is not sent to its end, and is made again', async (t) => {
  const { server, state, delta } = await setUp(t);
  const lost = Promise.withResolvers<Digest>();
  state.indexer.deltas.lose = async (digest) => lost.resolve(digest);
  await state.store.blobs.putPiece({ kind: 'delta', digest: digestOf(CONTENT) }, 1, Buffer.from('short'), 0);
  const answer = await server.fastify.inject(delta).catch(() => undefined);
  assert.notEqual(answer?.rawPayload.length, CONTENT.length);
  assert.equal(await lost.promise, digestOf(CONTENT));
});

test('deltas are unavailable while the store is', async (t) => {
  const { server, state, delta, manifest } = await setUp(t);
  state.store.blobs.size = async () => {
    throw StoreError.of('unavailable', 'the database');
  };
  for (const path of [delta, manifest]) {
    const { statusCode, headers } = await server.fastify.inject(path);
    assert.deepEqual([statusCode, headers['retry-after']], [503, '1']);
  }
});
