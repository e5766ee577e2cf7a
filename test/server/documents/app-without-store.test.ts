/** Tests of an app's details where a part of the store cannot be read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublicationLoader } from '../../../src/server/documents/publication-loader.ts';
import { ServedIndex } from '../../../src/server/documents/served-index.ts';
import { digestOf } from '../../../src/registry/digest.ts';
import { StoreError } from '../../../src/store/store-error.ts';
import { TestState } from '../../indexing/test-state.ts';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';

const PICTURE = 'https://example.org/one.png';

test('without the database, an app is shown without its screenshots, and with them once it is back', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', {
    labels: flatpakLabels({
      id: 'org.example.App',
      appdata: `<screenshots><screenshot><image>${PICTURE}</image></screenshot></screenshots>`,
    }),
  });
  await state.rebuild();
  await state.indexer.settled();
  let away = true;
  const index = new ServedIndex({
    name: 'apps',
    fileName: 'apps',
    maxAge: 60,
    repositoryPriority: [],
    screenshots: 'proxy',
    readPictures: async () => {
      if (away) throw StoreError.of('unavailable', 'the database');
      return { [PICTURE]: { digest: digestOf(Buffer.from('one')), type: 'png', width: 1, height: 1 } };
    },
  });
  const loader = new PublicationLoader(state.store.publications);
  if (await loader.load(index)) await loader.loadApps(index);

  const shown = async (): Promise<number | undefined> =>
    (await index.app('org.example.App'))?.details.screenshots.length;
  assert.equal(await shown(), 0);
  away = false;
  assert.equal(await shown(), 1);
});
