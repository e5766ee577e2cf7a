import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { TEMPORARY_SUFFIX } from '../../src/system/write-file.ts';
import { runRegindexer, startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { cannotMount, SmallDisk } from '../peers/small-disk.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { randomConfig, randomRepository } from '../sources/random-images.ts';
import { get, indexOf, reindex, settled, TOKEN } from './ask-server.ts';

/**
 * Of an image whose labels hold so much that cannot be compressed that it does not fit where there are a few pages
 * left.
 */
const LARGE = { icons: 400_000, appdata: 4_000 };

suite('a server whose disks are full, may not be written, or lose their files', { skip: cannotMount() }, () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let state: SmallDisk;
  let files: SmallDisk;
  let server: Regindexer;
  let pushed = 0;
  before(async () => {
    const folder = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-disks-'))).path;
    const mount = async (name: string): Promise<SmallDisk> =>
      resources.adopt(await SmallDisk.mount(join(folder, name)), (disk) => disk.unmount());
    [state, files] = [await mount('state'), await mount('files')];
    registry = resources.use(await LabelRegistry.start());
    push({ icons: 4_000, appdata: 400 });
    const config = {
      state_dir: state.path,
      icons_dir: join(files.path, 'icons'),
      clean_files_after: 0,
      indexes: {
        apps: { registry: registry.url, extract_icons: true, output: join(files.path, 'out/apps.json') },
        plain: { registry: registry.url, tags: ['plain'] },
      },
      server: { port: 0, admin_token: TOKEN },
    };
    server = resources.use(await startRegindexer({ config }));
    await settled(server.url);
  });
  after(() => resources.disposeAsync());

  /** One more app. */
  function push(size: { icons: number; appdata: number } = { icons: 4_000, appdata: 400 }): void {
    registry.push(randomRepository(pushed), { labels: randomConfig(pushed, 0, 'amd64', size).labels });
    pushed++;
  }

  /** Rebuilds, and gives what is said of why it failed. */
  const failedRebuild = async (): Promise<string> => {
    const { statusCode, body } = await request(`${server.url}/reindex?wait=true`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const { message } = (await body.json()) as { message: string };
    assert.equal(statusCode, 502, message);
    return message;
  };

  const output = (): Promise<string> => readFile(join(files.path, 'out/apps.json'), 'utf8');

  /** Lets `spoil` go wrong what is written, and sees that all is served as before, and comes right when that ends. */
  const survives = async (
    spoil: () => void,
    message: RegExp,
    mend: () => void,
    { fileAlone = false } = {},
  ): Promise<void> => {
    const [served, written] = [await get(`${server.url}/index/apps.json`), await output()];
    spoil();
    try {
      const failure = await failedRebuild();
      assert.match(failure, message);
      assert.equal((await get(`${server.url}/readyz`)).body.toString(), '{"status":"ready"}');
      // Not told apart by what tells how texts differ: that takes for ever for large ones.
      assert.equal((await get(`${server.url}/index/apps.json`)).body.equals(served.body), !fileAlone, 'what is served');
      assert.ok((await output()) === written, 'what is in the file');
    } finally {
      mend();
    }
    await reindex(server.url);
    const { Results } = await indexOf(server.url);
    assert.equal(Results.length, pushed);
    assert.ok(
      (await output()) === (await get(`${server.url}/index/apps.json`)).body.toString(),
      'the file is what is served',
    );
    for (const disk of [state, files])
      assert.deepEqual(
        (await readdir(disk.path, { recursive: true })).filter((name) => name.endsWith(TEMPORARY_SUFFIX)),
        [],
      );
  };

  test('a full disk of the state', async () => {
    push(LARGE);
    await survives(
      () => state.fill(),
      new RegExp(`${state.path}/[^ ]* could not be written, the disk is full`),
      () => state.free(),
    );
  });

  test('a full disk of icons and files', async () => {
    push(LARGE);
    await survives(
      () => files.fill(),
      new RegExp(`icon could not be written below ${files.path}/icons: .*ENOSPC.*make room on that disk`),
      () => files.free(),
    );
  });

  test('a full disk of files, where nothing is new but the file itself: the new index is served all the same', async () => {
    registry.push(randomRepository(0), { tag: 'more', labels: { text: 'x'.repeat(100_000) } });
    await survives(
      () => files.fill(),
      new RegExp(
        `index apps: indexes\\.apps\\.output: ${files.path}/out/apps\\.json could not be written: ENOSPC.*make room on that disk`,
      ),
      () => files.free(),
      { fileAlone: true },
    );
  });

  test('a disk of the state that may not be written', async () => {
    // Under a server that has files open there, the system does not let it become so.
    await server.stop();
    state.remount('ro');
    try {
      const { code, stderr } = await runRegindexer(['-c', join(server.folder, 'config.yaml'), 'index']);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(`^regindexer: ${state.path}[^ ]* is not writable .*set state_dir to another folder`, 'm'),
      );
    } finally {
      state.remount('rw');
    }
    await server.start();
    await settled(server.url);
  });

  test('a disk of icons and files that may not be written', async () => {
    push();
    await survives(
      () => files.remount('ro'),
      new RegExp(`icon could not be written below ${files.path}/icons: .*EROFS`),
      () => files.remount('rw'),
    );
  });

  test('icons that somebody removes come back with the next full rebuild', async () => {
    const icons = (await output()).match(/\/icons\/[0-9a-f]{2}\/[0-9a-f]{62}\.png/g) ?? [];
    assert.equal(icons.length, 2 * pushed);
    const statuses = async (): Promise<Set<number>> =>
      new Set(
        await Promise.all(
          icons.map(async (icon) => {
            const { statusCode, body } = await request(`${server.url}${icon}`);
            await body.dump();
            return statusCode;
          }),
        ),
      );
    const written = async (): Promise<readonly string[]> =>
      (await readdir(join(files.path, 'icons'), { recursive: true }))
        .filter((name) => name.endsWith('.png'))
        .toSorted();
    const all = await written();
    assert.deepEqual(all, icons.map((icon) => icon.replace('/icons/', '')).toSorted());
    await rm(join(files.path, 'icons'), { recursive: true });
    assert.deepEqual(await statuses(), new Set([200]), 'they are served from the store');
    assert.equal((await get(`${server.url}/readyz`)).body.toString(), '{"status":"ready"}');
    await reindex(server.url);
    assert.deepEqual(await written(), all);
    assert.deepEqual(await statuses(), new Set([200]));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.doesNotMatch(server.log, /"level":"fatal"/);
  });
});
