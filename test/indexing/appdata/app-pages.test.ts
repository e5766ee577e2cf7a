import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { array, assert as check, asyncProperty, constantFrom, nat, tuple, type Arbitrary } from 'fast-check';
import { AppList, type AppRecord, type ChunkOfApps } from '../../../src/indexing/appdata/app-list.ts';
import { AppPages, AppPagesEncoder } from '../../../src/indexing/appdata/app-pages.ts';

const PRIORITY = ['wanted-*'];

function record(id: string, repository: string, name: string, stable: number): AppRecord {
  return {
    images: [`${repository} latest sha256:${name}`],
    architectures: ['amd64'],
    tags: ['latest'],
    updated: 0,
    repository,
    rank: [stable, 0, 1, 1],
    pictures: [],
    shown: {
      kind: 'app',
      name,
      summary: `${id} of ${repository}`,
      developer: '',
      keywords: [],
      categories: ['Game'],
      icon: '',
      endOfLife: '',
      replacedBy: '',
    },
  };
}

const chunk: Arbitrary<ChunkOfApps> = array(
  tuple(nat(300), constantFrom('app', 'other', 'wanted-app'), constantFrom('Ant', 'bee', 'Zebra'), nat(1)),
  { maxLength: 80 },
)
  .map((apps) =>
    Object.fromEntries(
      apps.map(([number, repository, name, stable]) => [
        `org.example.App${number}`,
        record(`org.example.App${number}`, repository, name, stable),
      ]),
    ),
  )
  .map((apps) => ({ appIds: Object.keys(apps), apps: gzipSync(JSON.stringify(apps)) }));

test('an updated list of apps is the same as a new one, byte for byte', async () => {
  await check(
    asyncProperty(
      array(chunk, { minLength: 3, maxLength: 6 }),
      array(tuple(nat(5), chunk), { minLength: 1, maxLength: 4 }),
      async (chunks, changes) => {
        const [list, pages] = [new AppList(PRIORITY, undefined), new AppPagesEncoder('apps')];
        const encode = async (some: AppList, encoder: AppPagesEncoder): Promise<Buffer> =>
          encoder.encode(await some.update(now, time), some.seen);
        const now = [...chunks];
        let time = 1_700_000_000_000;
        let before = await encode(list, pages);
        for (const [place, changed] of changes) {
          now[place % now.length] = changed;
          time += 1000;
          const again = await encode(list, pages);
          const restored = new AppList(PRIORITY, await AppPages.read(before)?.seen());
          assert.ok(again.equals(await encode(restored, new AppPagesEncoder('apps'))));
          before = again;
        }
      },
    ),
    { numRuns: 50 },
  );
});
