/** One image for each Flatpak ref, architecture and tag in what Flatpak asks for. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { AppDetails } from '../../../src/indexing/appdata/app-details.ts';
import type { AppEntry } from '../../../src/indexing/appdata/app-list.ts';
import type { IndexDefinition } from '../../../src/indexing/index-definition.ts';
import type { Digest } from '../../../src/registry/digest.ts';
import { flatpakLabels, type FlatpakApp } from '../../sources/flatpak-labels.ts';
import type { PushedImage } from '../../sources/memory-registry.ts';
import { namesIn, TestState } from '../test-state.ts';

const FLATPAK = 'label:org.flatpak.ref:exists=1&architecture=amd64&os=linux&tag=latest';
const ID = 'org.example.App';

/** Labels of the app, with a name that identifies the image. */
function labels(name: string, more: Partial<FlatpakApp> = {}): Record<string, string> {
  return { ...flatpakLabels({ id: ID, name, ...more }), name };
}

async function open(t: TestContext, definition: Partial<IndexDefinition> = {}) {
  const state = await TestState.open(t, { definitions: [definition] });
  const push = (
    repository: string,
    tag: string | undefined,
    name: string,
    more: Partial<FlatpakApp> = {},
    image: PushedImage = {},
  ): Digest => state.registry.pushImage(repository, tag, { ...image, labels: labels(name, more) });
  /** Returns the names of the images in the answer, in order. */
  const ask = async (query: string): Promise<readonly (string | undefined)[]> => namesIn(await state.answer(query));
  const apps = (): Promise<readonly AppEntry[]> => state.apps();
  const details = (): Promise<AppDetails | undefined> => state.details(ID);
  return { state, push, ask, apps, details };
}

suite('of the same ref and architecture in two repositories', () => {
  test('clients get that of the first repository by name, whatever time the other claims; whole documents keep both', async (t) => {
    const { state, push, ask } = await open(t);
    push('b/app', 'latest', 'second', { timestamp: 4_000_000_000 });
    push('a/app', 'latest', 'first', { timestamp: 1 });
    await state.rebuild();
    assert.deepEqual(await ask(FLATPAK), ['first']);
    assert.deepEqual(await ask(''), ['first', 'second']);
  });

  test('unrelated apps before, between and after them do not change which', async (t) => {
    const { state, push, ask, apps } = await open(t);
    for (const repository of ['m', 'g']) push(repository, 'latest', repository);
    const winners = new Set<string>();
    for (let i = 0; i < 12; i++) {
      push(`${'amnz'[i % 4]}${i}`, 'latest', `other ${i}`, {
        id: `org.example.Other${i}`,
        timestamp: 1_700_000_000 + i,
      });
      if (i === 6) state.registry.deleteRepository('a0', { stays: true });
      await state.rebuild();
      const answered = await ask(FLATPAK);
      winners.add(answered.filter((name) => name === 'm' || name === 'g').join());
      winners.add((await apps()).find(({ id }) => id === ID)?.name ?? '');
    }
    assert.deepEqual([...winners], ['g']);
  });

  test('repository_priority comes before names', async (t) => {
    const { state, push, ask, details } = await open(t, { repositoryPriority: ['z/*'] });
    push('a/app', 'latest', 'first');
    push('z/app', 'latest', 'wanted');
    await state.rebuild();
    assert.deepEqual(await ask(FLATPAK), ['wanted']);
    assert.equal((await details())?.name, 'wanted');
  });

  test('tags, architectures and systems are decided independently', async (t) => {
    const { state, push, ask } = await open(t);
    push('a', 'beta', 'a beta');
    push('a', 'arm', 'a arm', {}, { architecture: 'arm64' });
    state.registry.tag('a', 'latest', push('a', undefined, 'a windows', {}, { os: 'windows' }));
    state.registry.tag('b', 'beta', push('b', 'latest', 'b'));
    push('c', 'arm', 'c arm', {}, { architecture: 'arm64' });
    push('c', 'latest', 'c');
    await state.rebuild();
    assert.deepEqual(await ask(FLATPAK), ['b']);
    assert.deepEqual(await ask(FLATPAK.replace('latest', 'beta')), ['a beta']);
    assert.deepEqual(await ask(FLATPAK.replace('latest', 'arm').replace('amd64', 'arm64')), ['a arm']);
  });

  test('an image that clients skip does not hide another one', async (t) => {
    const { state, push, ask, apps } = await open(t);
    const { 'org.flatpak.metadata': _none, ...bare } = labels('without metadata');
    state.registry.pushImage('a', 'latest', { labels: bare });
    state.registry.pushImage('b', 'latest', { labels: { name: 'annotated' }, annotations: labels('annotated') });
    push('c', 'latest', 'labelled');
    await state.rebuild();
    assert.deepEqual(
      (await ask(FLATPAK)).filter((name) => name !== 'without metadata'),
      ['labelled'],
    );
    assert.deepEqual(await ask(FLATPAK.replace('label', 'annotation')), ['annotated']);
    assert.equal((await apps())[0]?.name, 'annotated');
  });

  test('a broader question of Flatpak includes what the narrower ones do; other questions include all images', async (t) => {
    const { state, push, ask } = await open(t);
    state.registry.tag('a', 'stable', push('a', 'latest', 'a'));
    state.registry.tag('b', 'beta', push('b', 'latest', 'b'));
    push('c', 'latest', 'c');
    await state.rebuild();
    assert.deepEqual(await ask('label:org.flatpak.ref:exists=1&tag=latest&tag=beta'), ['a', 'b']);
    assert.deepEqual(await ask('label:org.flatpak.ref:exists=1&tag:matches=*'), ['a', 'b']);
    assert.deepEqual(await ask('label:org.flatpak.ref:exists=1&tag=latest&repository=c'), []);
    for (const query of ['label:org.flatpak.ref:exists=1', 'tag=latest&architecture=amd64', ''])
      assert.deepEqual(await ask(query), ['a', 'b', 'c'], query);
  });
});

test('of two images of one list, as gzip and zstd, clients get the first', async (t) => {
  const { state, push, ask, details } = await open(t);
  state.registry.pushIndex('app', 'latest', [push('app', undefined, 'zstd'), push('app', undefined, 'gzip')]);
  const { indexes } = await state.rebuild();
  assert.deepEqual(await ask(FLATPAK), ['zstd']);
  assert.deepEqual(await ask(''), ['zstd', 'gzip']);
  assert.deepEqual((await details())?.images.length, 1);
  assert.deepEqual(indexes[0]?.warnings, [
    `app/${ID}/x86_64/stable (linux/amd64) is in app more than once with the tag latest: clients get the first one`,
  ]);
});

suite('the page and the API', () => {
  test('show the image that clients get, with the tags for which they get it', async (t) => {
    const { state, push, apps, details } = await open(t);
    push('a', 'latest', 'a');
    state.registry.tag('b', 'beta', push('b', 'latest', 'b', { timestamp: 4_000_000_000 }));
    push('c', 'latest', 'c', { timestamp: 4_100_000_000 });
    await state.rebuild();
    assert.deepEqual(
      (await apps()).map(({ name, tags }) => [name, tags]),
      [['a', ['beta', 'latest']]],
    );
    const app = await details();
    assert.equal(app?.name, 'a');
    assert.deepEqual(
      app.images.map(({ repository, tags }) => [repository, tags]),
      [
        ['a', ['latest']],
        ['b', ['beta']],
      ],
    );
  });

  test('do not prefer another branch in another repository by a time that it claims', async (t) => {
    const { state, push, apps, details } = await open(t);
    push('a', 'latest', 'a');
    push('b', 'latest', 'b', { branch: 'newer', timestamp: 4_000_000_000 });
    await state.rebuild();
    assert.equal((await apps())[0]?.name, 'a');
    assert.deepEqual(
      (await details())?.images.map(({ branch }) => branch),
      ['stable', 'newer'],
    );
  });

  test('prefer the newest image within a repository', async (t) => {
    const { state, push, apps } = await open(t);
    push('a', '23.08', 'old', { branch: '23.08', timestamp: 1_700_000_000 });
    push('a', '24.08', 'new', { branch: '24.08', timestamp: 1_720_000_000 });
    await state.rebuild();
    assert.equal((await apps())[0]?.name, 'new');
  });

  test('do not report changes of images that clients do not get', async (t) => {
    const { state, push } = await open(t);
    push('a', 'latest', 'a');
    await state.rebuild();
    push('b', 'latest', 'b');
    const [index] = (await state.rebuild()).indexes;
    assert.deepEqual([index?.changed, index?.apps?.updated.count], [true, 0]);
  });
});

suite('hidden images are reported', () => {
  const told = `app/${ID}/x86_64/stable (linux/amd64) is in several repositories: clients get it from a, not from b, c (with the tag beta, latest); choose with repository_priority or repository_exclude`;

  test('at every rebuild, and after a restart', async (t) => {
    const { state, push } = await open(t);
    for (const repository of ['c', 'b', 'a'])
      state.registry.tag(repository, 'beta', push(repository, 'latest', repository));
    assert.deepEqual((await state.rebuild()).indexes[0]?.warnings, [told]);
    assert.deepEqual((await state.rebuild()).indexes[0]?.warnings, [told]);
    await state.reopen();
    assert.deepEqual((await state.refresh())[0]?.warnings, [told]);
    assert.deepEqual((await state.shown()).warnings, [told]);
    for (const repository of ['b', 'c']) state.registry.deleteRepository(repository, { stays: true });
    assert.deepEqual((await state.rebuild()).indexes[0]?.warnings, []);
  });

  test('without control characters', async (t) => {
    const { state } = await open(t);
    for (const repository of ['a', 'b'])
      state.registry.pushImage(repository, 'latest', {
        labels: { 'org.flatpak.ref': 'app/\u001B[31m/x86_64/stable', 'org.flatpak.metadata': '' },
      });
    const [warning = ''] = (await state.rebuild()).indexes[0]?.warnings ?? [];
    assert.ok(warning.startsWith('app/?[31m/x86_64/stable (linux/amd64) is in several repositories: '), warning);
  });

  test('with repository_priority if only names decided', async (t) => {
    const { state, push } = await open(t, { repositoryPriority: ['wanted'] });
    for (const repository of ['wanted', 'x', 'y']) push(repository, 'latest', repository);
    for (const repository of ['x', 'y']) push(repository, 'other', repository, { id: 'org.example.Other' });
    const { indexes } = await state.rebuild();
    assert.deepEqual(indexes[0]?.warnings, [
      'app/org.example.Other/x86_64/stable (linux/amd64) is in several repositories: clients get it from x, not from y; choose with repository_priority or repository_exclude',
    ]);
  });
});
