/** Tests of what is kept of the pictures that an index names, in a store of its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import {
  PictureKeeper,
  type PictureKeeperOptions,
  readKeptPictures,
} from '../../../src/indexing/screenshots/picture-keeper.ts';
import type { Digest } from '../../../src/registry/digest.ts';
import { RegistryError } from '../../../src/registry/registry-error.ts';
import { SqliteBlobs } from '../../../src/store/sqlite/sqlite-blobs.ts';
import { pngPicture } from '../../sources/pictures.ts';
import { temporaryFolder } from '../../store/temporary-folder.ts';

/** Opens a store, and returns what opens keepers on it. */
function openStore(t: TestContext) {
  const file = join(temporaryFolder(t), 'blobs.sqlite');
  const blobs = SqliteBlobs.open(file, (warning) => assert.fail(warning));
  t.after(() => blobs.close());
  const asked: string[] = [];
  const warnings: string[] = [];
  const open = (list?: Digest, fetch?: PictureKeeperOptions['fetch']): Promise<PictureKeeper> =>
    PictureKeeper.open(
      {
        index: 'apps',
        blobs,
        fetch: async (url, request) => {
          asked.push(url);
          return fetch?.(url, request) ?? pngPicture(1, 1, url);
        },
        onWarning: (warning) => warnings.push(warning),
      },
      list,
    );
  return { file, blobs, asked, warnings, open };
}

function urls(count: number): ReadonlySet<string> {
  return new Set(Array.from({ length: count }, (_, place) => `https://example.org/${place}.png`));
}

function options(t: TestContext) {
  return { signal: t.signal, onChanged: () => undefined };
}

test('lists of many pictures take a few times the last one, however many were stored meanwhile', async (t) => {
  const { blobs, open } = openStore(t);
  const keeper = await open();
  await keeper.update(urls(1000), options(t));
  const kept = Object.keys(await readKeptPictures(blobs, keeper.list));
  assert.equal(kept.length, 1000);
  const pictures = kept.reduce((sum, url) => sum + pngPicture(1, 1, url).length, 0);
  const last = (await blobs.size({ kind: 'screenshot', digest: keeper.list ?? assert.fail() })) ?? 0;
  const lists = ((await blobs.stored('screenshot')) - pictures) / last;
  assert.ok(lists < 6, `${lists} times the last list`);
});

test('a damaged list is written again', async (t) => {
  const { file, blobs, open } = openStore(t);
  const keeper = await open();
  await keeper.update(urls(3), options(t));
  const list = keeper.list ?? assert.fail();
  using database = new DatabaseSync(file);
  database.prepare(`UPDATE blob_piece SET bytes = CAST('other' AS BLOB) WHERE digest = ?`).run(list);
  assert.deepEqual(await readKeptPictures(blobs, list), {});

  const again = await open(list);
  await again.update(urls(3), options(t));
  assert.equal(again.list, list);
  assert.equal(Object.keys(await readKeptPictures(blobs, list)).length, 3);
});

test('a picture that is gone from the store is not listed any more', async (t) => {
  const { blobs, open } = openStore(t);
  const keeper = await open();
  await keeper.update(urls(2), options(t));
  const [first] = Object.values(await readKeptPictures(blobs, keeper.list));
  await blobs.remove({ kind: 'screenshot', digest: first?.digest ?? assert.fail() });

  const again = await open(keeper.list, () => assert.fail('the host has it no more'));
  await again.update(urls(2), options(t));
  assert.deepEqual(Object.keys(await readKeptPictures(blobs, again.list)), ['https://example.org/1.png']);
});

test('a host that does not answer is given up soon, and others are not', async (t) => {
  const { asked, warnings, open } = openStore(t);
  const keeper = await open(undefined, async (url) => {
    if (url.startsWith('https://example.org/'))
      throw new RegistryError('unavailable', 'no answer', { cause: new Error('timed out') });
    if (url.startsWith('https://missing.example.org/')) throw new RegistryError('unavailable', 'answered 404');
    return pngPicture(1, 1, url);
  });
  const missing = [...urls(100)].map((url) => url.replace('example', 'missing.example'));
  await keeper.update(new Set([...urls(100), ...missing, 'https://other.example.org/1.png']), options(t));
  assert.ok(asked.filter((url) => url.startsWith('https://example.org/')).length < 16);
  assert.equal(asked.filter((url) => url.startsWith('https://missing.')).length, 100);
  assert.ok(asked.includes('https://other.example.org/1.png'));
  assert.match(warnings.join('\n'), /^200 screenshots of the index apps could not be fetched/);
});
