import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublicationFollower } from '../../src/app/publication-follower.ts';
import { AppPages, AppPagesEncoder } from '../../src/indexing/appdata/app-pages.ts';
import { ServedIndex } from '../../src/server/documents/served-index.ts';

/** A store in which `apps` has `version`, and an index that follows it. */
function follow() {
  const index = new ServedIndex({ name: 'apps', fileName: 'apps', maxAge: 0, repositoryPriority: [] });
  const store = {
    version: 1,
    apps: undefined as number | undefined,
    questions: 0,
    loads: 0,
    isWhole: true,
    hasApps: true,
    shown: [] as object[],
  };
  const follower = new PublicationFollower({
    versions: async () => {
      store.questions++;
      return new Map([['apps', { version: store.version, apps: store.apps }]]);
    },
    onShown: async (shown) => void store.shown.push(shown),
  });
  follower.follow({
    indexes: new Map([['apps', index]]),
    load: async (_, document) => {
      store.loads++;
      const { version, apps } = store;
      if (apps !== undefined && store.hasApps && document !== 'index')
        index.useApps(
          AppPages.read(await new AppPagesEncoder('apps').encode([], () => undefined)) ?? assert.fail(),
          apps,
        );
      if (store.isWhole && document !== 'apps')
        index.use({ index: 'apps', version, format: '', registry: '', modified: 0, chunks: [], origin: '' }, []);
    },
  });
  return { follower, store, index };
}

test('what cannot be loaded is lag, until it can', async () => {
  const { follower, store } = follow();
  store.isWhole = false;
  await follower.loadNewer();
  const { lag } = follower;
  assert.ok(lag > 0);
  assert.equal(follower.caughtUp, false);
  await follower.loadNewer();
  assert.ok(follower.lag > lag);
  store.isWhole = true;
  await follower.loadNewer();
  assert.deepEqual([follower.lag, follower.caughtUp, follower.shown], [0, true, { apps: 1 }]);
  assert.equal(store.loads, 3);
  // There is nothing newer.
  await follower.loadNewer();
  assert.equal(store.loads, 3);
});

test('clients that ask at the same time lead to one question, which begins after they came', async () => {
  const { follower, store } = follow();
  await follower.loadNewer();
  store.version = 2;
  const first = follower.catchUp();
  await Promise.all([first, follower.catchUp(), follower.catchUp()]);
  assert.deepEqual([store.questions, store.loads, follower.shown], [2, 2, { apps: 2 }]);
  store.version = 3;
  await follower.catchUp();
  assert.deepEqual([store.questions, follower.shown], [3, { apps: 3 }]);
});

test('a list of apps that cannot be loaded is tried again, and is no lag', async () => {
  const { follower, store, index } = follow();
  store.apps = 1;
  store.hasApps = false;
  await follower.loadNewer();
  await follower.load('apps', 'apps');
  assert.deepEqual([store.loads, index.appsVersion, follower.caughtUp, follower.lag], [2, undefined, true, 0]);
  store.hasApps = true;
  await follower.loadNewer();
  await follower.loadNewer();
  assert.deepEqual([store.loads, index.appsVersion, follower.lag], [3, 1, 0]);
});
