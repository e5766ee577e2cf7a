import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestState } from '../indexing/test-state.ts';
import { TestServer } from './test-server.ts';

const HEX = '0123456789abcdef'.repeat(4);
const IMAGE = `apps/hello@sha256=${HEX}`;

test('only signatures are served, by the image that they sign', async (t) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-signatures-'));
  t.after(() => folder.remove());
  const root = join(folder.path, 'signatures');
  await mkdir(join(root, IMAGE), { recursive: true });
  const signature = Buffer.from([0x90, 1, 2, 3]);
  await writeFile(join(root, IMAGE, 'signature-1'), signature);
  await writeFile(join(root, IMAGE, 'signature-3'), Buffer.alloc(1024 * 1024 + 1));
  await writeFile(join(root, IMAGE, '.signature-4'), 'x');
  await writeFile(join(root, 'other'), 'x');
  await writeFile(join(folder.path, 'outside'), 'x');
  await symlink('signature-1', join(root, IMAGE, 'signature-5'));
  await symlink(join(folder.path, 'outside'), join(root, IMAGE, 'signature-6'));
  await mkdir(join(folder.path, 'outside-folder'));
  await writeFile(join(folder.path, 'outside-folder/signature-1'), 'x');
  await symlink(join(folder.path, 'outside-folder'), join(root, `linked@sha256=${HEX}`));
  await mkdir(join(root, IMAGE, 'signature-7'));
  const { fastify, log } = await TestServer.create(t, await TestState.open(t), {
    indexes: ['apps', 'none'],
    signatures: new Map([
      ['apps', root],
      ['none', join(folder.path, 'missing')],
    ]),
  });

  const answer = await fastify.inject(`/apps/signatures/${IMAGE}/signature-1`);
  assert.deepEqual(
    [answer.statusCode, answer.rawPayload, answer.headers['content-type'], answer.headers['cache-control']],
    [200, signature, 'application/octet-stream', 'public, max-age=60'],
  );
  const { etag } = answer.headers;
  assert.match(etag ?? '', /^"[\w-]{43}"$/);
  const url = `/apps/signatures/${IMAGE.replace('@', '%40').replace('=', '%3D')}/signature-1`;
  assert.equal((await fastify.inject({ url, headers: { 'if-none-match': etag } })).statusCode, 304);
  const head = await fastify.inject({ url, method: 'HEAD' });
  assert.deepEqual(
    [head.statusCode, head.headers['content-length'], head.headers.etag, head.rawPayload.length],
    [200, '4', etag, 0],
  );
  assert.equal(
    (await fastify.inject(`/apps/signatures/${IMAGE}/signature-5`)).statusCode,
    200,
    'a link within the folder',
  );
  assert.equal((await fastify.inject({ url, method: 'POST' })).statusCode, 405);

  for (const path of [
    '',
    IMAGE,
    `${IMAGE}/`,
    `${IMAGE}/signature-2`,
    `${IMAGE}/signature-3`,
    `${IMAGE}/.signature-4`,
    `${IMAGE}/signature-6`,
    `${IMAGE}/signature-7`,
    `${IMAGE}/signature-0`,
    'other',
    '../outside',
    '..%2Foutside',
    `${IMAGE}/../../../outside`,
    `${IMAGE}%2F..%2F..%2F..%2Foutside`,
    `..%2Fsignatures%2F${IMAGE}%2Fsignature-1`,
    `linked@sha256=${HEX}/signature-1`,
    `${IMAGE}/signature-1%00`,
    `Apps/hello@sha256=${HEX}/signature-1`,
  ]) {
    const absent = await fastify.inject(`/apps/signatures/${path}`);
    assert.deepEqual([absent.statusCode, absent.json<{ statusCode: number }>().statusCode], [404, 404], path);
  }
  assert.equal((await fastify.inject(`/none/signatures/${IMAGE}/signature-1`)).statusCode, 404);
  assert.deepEqual(
    log
      .filter(({ level }) => level === 40)
      .map(({ msg }) => /^a signature cannot be served: .*(?:more than|cannot be read)/.test(msg)),
    [true, true],
  );
  assert.deepEqual(
    log.filter(({ level }) => level > 40),
    [],
  );
});
