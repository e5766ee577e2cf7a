import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { explain, type Explanation } from '../../src/indexing/explain.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { parseReference } from '../../src/registry/reference.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { defineIndex, TestState } from './test-state.ts';

const NOTHING = { index: 'apps', shown: false, images: [] };

async function stateWith(t: TestContext, definition: Partial<IndexDefinition>) {
  const state = await TestState.open(t, { definitions: [definition] });
  return {
    state,
    push: (repository: string, tag: string, labels: Record<string, string>, architecture = 'amd64') =>
      state.registry.pushImage(repository, tag, { architecture, labels }),
    explain: (reference: string): Promise<Explanation> =>
      explain(parseReference(reference) ?? { repository: '' }, {
        definition: defineIndex(definition),
        covers: (repository) => !repository.startsWith('uncovered'),
        catalog: state.store.catalog,
        publications: state.store.publications,
      }),
  };
}

const APP = flatpakLabels({ id: 'org.example.App' });
const REF = 'app/org.example.App/x86_64/stable';

suite('an explanation says why an index shows a repository, or does not', () => {
  test('shown', async (t) => {
    const { state, push, explain: ask } = await stateWith(t, {});
    const digest = push('app', 'latest', APP);
    push('app', 'beta', flatpakLabels({ id: 'org.example.App', branch: 'beta' }));
    await state.rebuild();
    const image = { digest, tags: ['latest'], architecture: 'amd64', ref: REF, shown: true, reasons: [] };
    assert.deepEqual(await ask('app:latest'), { index: 'apps', shown: true, reasons: [], images: [image] });
    assert.deepEqual(
      (await ask('app')).images.map(({ tags, shown }) => [tags, shown]),
      [
        [['beta'], true],
        [['latest'], true],
      ],
    );
  });

  test('not taken: its registry does not read it, globs of repositories and tags', async (t) => {
    const { explain: ask } = await stateWith(t, {
      repositoryInclude: ['apps/**'],
      repositoryExclude: ['apps/old-*', 'apps/bad'],
      tags: ['latest', 'v*'],
    });
    const registry = defineIndex({}).registry;
    assert.deepEqual(await ask('uncovered:latest'), {
      ...NOTHING,
      reasons: [
        `It is not read: registries.${registry}.repositories, or the owner of its listing, does not select it.`,
        'indexes.apps.repository_include has nothing that matches it: apps/**.',
      ],
    });
    assert.deepEqual((await ask('apps/bad')).reasons, [
      'indexes.apps.repository_exclude has apps/bad, which matches it.',
    ]);
    assert.deepEqual((await ask('apps/good:test')).reasons, [
      'indexes.apps.tags has nothing that matches test: latest, v*.',
    ]);
    assert.match((await ask('apps/good:_deltaindex')).reasons[0] ?? '', /deltas/);
  });

  test('not known: never read, not listed, no such tag, none of its tags', async (t) => {
    const { state, push, explain: ask } = await stateWith(t, { tags: ['latest'] });
    assert.match((await ask('app')).reasons[0] ?? '', /has not been read in full yet for this index\.$/);
    push('app', 'latest', APP);
    push('other', 'beta', APP);
    await state.rebuild();
    assert.match((await ask('none')).reasons.join(), /^It was not found when the registry was last read/);
    const { state: all, push: pushTo, explain: askAll } = await stateWith(t, {});
    pushTo('app', 'latest', APP);
    await all.rebuild();
    assert.deepEqual((await askAll('app:v1')).reasons, ['The registry had no tag v1 when it was last read.']);
  });

  test('lacking: an architecture, labels, annotations, or what makes it a Flatpak', async (t) => {
    const {
      state,
      push,
      explain: ask,
    } = await stateWith(t, {
      architectures: ['amd64'],
      requiredLabels: ['wanted'],
      requiredAnnotations: ['also'],
    });
    push('arm', 'latest', APP, 'arm64');
    await state.rebuild();
    assert.deepEqual((await ask('arm')).images[0]?.reasons, [
      'indexes.apps.architectures has no arm64: amd64.',
      'It has no annotation also, which indexes.apps.required_annotations asks for.',
      'It has no label wanted, which indexes.apps.required_labels asks for.',
    ]);
    const { state: all, push: pushTo, explain: askAll } = await stateWith(t, {});
    pushTo('tool', 'latest', { name: 'tool' });
    await all.rebuild();
    const { shown, images } = await askAll('tool');
    assert.equal(shown, false);
    assert.match(images[0]?.reasons.join() ?? '', /^Flatpak clients skip it: it has no org\.flatpak\.ref/);
  });

  test('shadowed by another repository: by name, or by repository_priority', async (t) => {
    const { state, push, explain: ask } = await stateWith(t, {});
    const first = push('a-first', 'latest', APP);
    push('b-second', 'latest', { ...APP, other: 'yes' });
    push('b-second', 'beta', { ...APP, other: 'yes' });
    await state.rebuild();
    const { shown, images } = await ask('b-second');
    assert.equal(shown, true);
    assert.deepEqual(images[0]?.reasons, [
      `With the tag latest, clients get a-first (${first}) instead, which has the same ref and comes first; choose with repository_priority or repository_exclude.`,
    ]);
    assert.equal((await ask('b-second:latest')).shown, false);
    assert.equal((await ask('b-second:beta')).shown, true);
    const preferring = await stateWith(t, { repositoryPriority: ['b-*'] });
    preferring.push('a-first', 'latest', APP);
    const second = preferring.push('b-second', 'latest', { ...APP, other: 'yes' });
    await preferring.state.rebuild();
    assert.deepEqual((await preferring.explain('a-first')).images[0]?.reasons, [
      `indexes.apps.repository_priority (b-*) prefers b-second (${second}) for ${REF} (linux/amd64).`,
    ]);
    assert.equal((await preferring.explain('b-second')).shown, true);
  });

  test('no image: an artifact, or an index whose images cannot be read', async (t) => {
    const { state, push, explain: ask } = await stateWith(t, {});
    const image = push('app', 'one', APP);
    state.registry.pushIndex('app', 'latest', [image]);
    await state.rebuild();
    const { images, shown } = await ask('app:latest');
    assert.equal(shown, true);
    assert.deepEqual(
      images.map(({ digest, tags }) => [digest, tags]),
      [[image, ['latest']]],
    );
  });
});
