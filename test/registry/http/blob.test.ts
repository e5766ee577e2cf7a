import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import { playRegistry, readRegistry } from './play-registry.ts';

const BODY = 'x'.repeat(100_000);
const DIGEST = digestOf(BODY);

test('a blob of any size is streamed, also from where the registry keeps it', async (t) => {
  const storage = await playRegistry(t, (_request, response) => response.writeHead(200).end(BODY));
  const { url, seen } = await playRegistry(t, (_request, response) =>
    response.writeHead(307, { location: `${storage.url}/storage` }).end(),
  );
  const stream = await readRegistry(t, url).readBlob('apps/hello', DIGEST);
  assert.equal((await buffer(stream)).toString(), BODY);
  assert.deepEqual([seen, storage.seen], [[`GET /v2/apps/hello/blobs/${DIGEST}`], ['GET /storage']]);
});

test('a blob that is not there, and one that breaks off, are errors that say which', async (t) => {
  const missing = await playRegistry(t, (_request, response) => response.writeHead(404).end());
  await assert.rejects(readRegistry(t, missing.url).readBlob('a', DIGEST), {
    code: 'not-found',
    message: `GET ${missing.url}/v2/a/blobs/${DIGEST}: answered 404`,
  });
  const broken = await playRegistry(t, (_request, response) => {
    response.writeHead(200, { 'content-length': BODY.length });
    response.write('x', () => response.destroy());
  });
  const stream = await readRegistry(t, broken.url).readBlob('a', DIGEST);
  await assert.rejects(buffer(stream), { code: 'unavailable' });
  await assert.rejects(readRegistry(t, missing.url).readBlob('../a', DIGEST), { code: 'not-found' });
});
