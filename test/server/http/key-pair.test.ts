import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtempDisposable, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type KeyPair, KeyPairError, KeyPairWatch, readKeyPair } from '../../../src/server/http/key-pair.ts';
import { makeCertificates } from '../../peers/certificates.ts';
import { needs } from '../../peers/installed.ts';

/** Creates the pairs of a server and of a client. */
async function setUp(t: TestContext) {
  const temporary = await mkdtempDisposable(join(tmpdir(), 'regindexer-pair-'));
  t.after(() => temporary.remove());
  const folder = temporary.path;
  const made = await makeCertificates(folder);
  return {
    folder,
    one: { cert: made.certificate, key: made.key },
    two: { cert: made.clientCertificate, key: made.clientKey },
  };
}

/** The events of a watch, in order. */
function watch(t: TestContext, files: { cert: string; key: string }): () => Promise<KeyPair | Error> {
  const told: (KeyPair | Error)[] = [];
  let wake: (() => void) | undefined;
  const tell = (what: KeyPair | Error): void => {
    told.push(what);
    wake?.();
  };
  const watching = new KeyPairWatch(files, { onChange: tell, onFault: (error) => tell(error as Error) }, 20);
  t.after(() => watching[Symbol.dispose]());
  return async () => {
    while (told.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return told.shift() as KeyPair | Error;
  };
}

test('a pair is read; the error of one that does not match names its files', needs('openssl'), async (t) => {
  const { folder, one, two } = await setUp(t);
  assert.deepEqual(await readKeyPair(one), { cert: await readFile(one.cert), key: await readFile(one.key) });
  const half = join(folder, 'half.crt');
  await writeFile(half, (await readFile(one.cert)).subarray(0, 300));
  for (const wrong of [
    { cert: one.cert, key: two.key },
    { cert: half, key: one.key },
    { cert: join(folder, 'none'), key: one.key },
    { cert: folder, key: one.key },
  ]) {
    await assert.rejects(readKeyPair(wrong), (error: unknown) => {
      assert.ok(error instanceof KeyPairError);
      assert.ok(error.message.startsWith(`server.tls: ${wrong.cert} and ${wrong.key} cannot be used: `));
      assert.doesNotMatch(error.message, /BEGIN|PRIVATE/);
      return true;
    });
  }
});

test('renamed files are detected; a pair that does not match yet is reported', needs('openssl'), async (t) => {
  const { folder, one, two } = await setUp(t);
  const files = { cert: join(folder, 'live.crt'), key: join(folder, 'live.key') };
  await copyFile(one.cert, files.cert);
  await copyFile(one.key, files.key);
  const next = watch(t, files);
  await copyFile(two.cert, join(folder, 'new.crt'));
  await rename(join(folder, 'new.crt'), files.cert);
  assert.ok((await next()) instanceof KeyPairError);
  await copyFile(two.key, join(folder, 'new.key'));
  await rename(join(folder, 'new.key'), files.key);
  assert.deepEqual(await next(), await readKeyPair(two));
});

test('a replaced link to a folder is detected', needs('openssl'), async (t) => {
  const { folder, one, two } = await setUp(t);
  for (const [name, pair] of [
    ['first', one],
    ['second', two],
  ] as const) {
    await mkdir(join(folder, name));
    await copyFile(pair.cert, join(folder, name, 'tls.crt'));
    await copyFile(pair.key, join(folder, name, 'tls.key'));
  }
  await symlink('first', join(folder, '..data'));
  for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, join(folder, name));
  const next = watch(t, { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') });
  await symlink('second', join(folder, '..next'));
  await rename(join(folder, '..next'), join(folder, '..data'));
  assert.deepEqual(await next(), await readKeyPair(two));
});
