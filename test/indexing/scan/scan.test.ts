/** Scans: their requests, what is believed, and what is kept. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { scan as runScan, type ScanResult } from '../../../src/indexing/scan/scan.ts';
import { digestOf, type Digest } from '../../../src/registry/digest.ts';
import { EVERYTHING } from '../../../src/indexing/rebuild.ts';
import { WorkingCopy } from '../../../src/indexing/scan/working-copy.ts';
import { OCI_IMAGE_INDEX, OCI_IMAGE_MANIFEST } from '../../../src/registry/media-types.ts';
import { MemoryRegistry } from '../../sources/memory-registry.ts';
import type { PushedImage, RegistryCall } from '../../sources/memory-registry.ts';
import { named, TestState } from '../test-state.ts';

suite('requests', () => {
  test('a cold scan asks once for the list, and for each repository, tag, child manifest and config', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushIndex('a', 'latest', [
      registry.pushImage('a', undefined, named('a1')),
      registry.pushImage('a', undefined, { ...named('a2'), architecture: 'arm64' }),
    ]);
    registry.pushImage('b', '1', named('b1'));
    registry.pushImage('b', '2', named('b2'));
    const result = await state.rebuild();
    assert.equal(result.requests, 1 + 2 + 3 + 2 + 4);
    assert.equal(registry.requests, result.requests);
    assert.deepEqual([result.repositories, result.newImages, result.failures], [2, 4, []]);
  });

  test('a rescan with nothing new asks for the list, each repository, and each tag without its content', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushIndex('a', 'latest', [registry.pushImage('a', undefined, named('a1'))]);
    registry.pushImage('b', '1', named('b1'));
    registry.pushArtifact('b', 'sha256-abc.sig');
    await state.rebuild();
    await state.reopen();
    registry.calls.length = 0;
    const result = await state.rebuild();
    assert.deepEqual([result.requests, result.newImages], [1 + 2 + 3, 0]);
    assert.deepEqual(methodsOf(registry.calls), { repositories: 1, tags: 2, resolve: 3 });
  });

  test('tags that no index takes are not asked for', async (t) => {
    const state = await TestState.open(t, { definitions: [{ tags: ['latest'] }, { name: 'beta', tags: ['beta-*'] }] });
    const { registry } = state;
    for (const tag of ['latest', 'beta-1', 'nightly', 'old']) registry.pushImage('a', tag, named(tag));
    const { requests } = await state.rebuild();
    assert.equal(requests, 1 + 1 + 2 + 2);
    assert.deepEqual(await state.shows(), ['a:latest latest']);
    assert.deepEqual(await state.shows('beta'), ['a:beta-1 beta-1']);
  });

  test('a notification of one tag costs one request, and those for what is new', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const arm64 = registry.pushImage('a', undefined, { ...named('arm64'), architecture: 'arm64' });
    registry.pushIndex('a', 'latest', [registry.pushImage('a', undefined, named('amd64')), arm64]);
    registry.pushImage('a', 'other', named('other'));
    await state.rebuild();
    assert.equal((await state.rebuildTags('a', 'latest')).requests, 1);

    registry.pushIndex('a', 'latest', [registry.pushImage('a', undefined, named('newer')), arm64]);
    registry.untag('a', 'other');
    // The tag, the index, the new image and its config.
    assert.equal((await state.rebuildTags('a', 'latest')).requests, 4);
    assert.deepEqual(await state.shows(), ['a:other other', 'a:latest [newer arm64]']);
  });

  test('a notification of a tag that is new, of one that is gone, and of one that no index takes', async (t) => {
    const state = await TestState.open(t, { definitions: [{ tags: ['latest', 'new'] }] });
    const { registry } = state;
    registry.pushImage('a', 'latest', named('latest'));
    await state.rebuild();
    registry.pushImage('a', 'new', named('new'));
    registry.pushImage('a', 'nightly', named('nightly'));
    registry.untag('a', 'latest');
    assert.equal((await state.rebuildTags('a', 'new')).requests, 2);
    assert.equal((await state.rebuildTags('a', 'latest')).requests, 1);
    assert.equal((await state.rebuildTags('a', 'nightly')).requests, 0);
    assert.deepEqual(await state.shows(), ['a:new new']);
  });

  test('an image with several tags is fetched once', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const digest = registry.pushImage('a', '1.0', named('image'));
    registry.tag('a', '1', digest);
    registry.tag('a', 'latest', digest);
    // The manifest of each tag has to be read, but the config only once.
    assert.equal((await state.rebuild()).requests, 1 + 1 + 3 + 1);
    assert.deepEqual(await state.shows(), ['a:1,1.0,latest image']);
  });

  test('a digest in several repositories is fetched once and shown in each', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const repository of ['a', 'b', 'c'])
      registry.pushIndex(repository, 'latest', [registry.pushImage(repository, undefined, named('image'))]);
    await state.rebuild();
    assert.deepEqual(methodsOf(registry.calls), { repositories: 1, tags: 3, manifest: 3 + 1, config: 1 });
    assert.deepEqual(await state.shows(), ['a:latest [image]', 'b:latest [image]', 'c:latest [image]']);
  });

  test('a known digest costs no request in another repository', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'latest', named('image'));
    await state.rebuild();
    registry.pushImage('b', 'latest', named('image'));
    assert.equal((await state.rebuildTags('b', 'latest')).requests, 1);
    assert.deepEqual(await state.shows(), ['a:latest image', 'b:latest image']);
  });

  test('a list of many pages is read to its end', async (t) => {
    const state = await TestState.open(t, { registries: [new MemoryRegistry({ pageSize: 2 })] });
    for (const name of ['a', 'b', 'c', 'd', 'e']) state.registry.pushImage(name, 'latest', named(name));
    const { repositories, requests } = await state.rebuild();
    assert.deepEqual([repositories, requests], [5, 3 + 5 + 5 + 5]);
  });
});

suite('what is read', () => {
  test('a tag that moves leads to the new image; the old one is removed once nothing leads to it', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const one = registry.pushImage('a', 'latest', named('one'));
    await state.rebuild();
    registry.pushImage('a', 'latest', named('two'));
    registry.tag('a', 'old', one);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest two', 'a:old one']);
    registry.untag('a', 'old');
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest two']);
    assert.equal(await state.image(one), undefined);
  });

  test('image indexes in image indexes come out as one list, up to four deep', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    let digest = registry.pushIndex('a', 'deep', [
      registry.pushImage('a', undefined, named('inner')),
      registry.pushImage('a', undefined, { ...named('arm'), architecture: 'arm64' }),
    ]);
    for (let depth = 2; depth <= 4; depth++)
      digest = registry.pushIndex('a', 'deep', [digest, registry.pushImage('a', undefined, named(`at ${depth}`))]);
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:deep [inner arm at 2 at 3 at 4]']);

    registry.pushIndex('a', 'deep', [digest]);
    const { failures } = await state.rebuild();
    assert.deepEqual(failures, [
      { repository: 'a', error: 'tag deep: a: image indexes are nested more than 4 levels deep' },
    ]);
    assert.deepEqual(await state.shows(), ['a:deep [inner arm at 2 at 3 at 4]']);
  });

  test('artifacts and images without a platform are skipped, alone and in indexes', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const image = registry.pushImage('a', 'latest', named('image'));
    const signature = registry.pushArtifact('a', 'sha256-1.sig');
    const attestation = registry.pushImage('a', 'attestation', {
      ...named('attestation'),
      os: 'unknown',
      architecture: 'unknown',
    });
    registry.pushIndex('a', 'list', [signature, image, attestation]);
    registry.pushIndex('a', 'no-images', [signature, attestation]);
    const { failures, newImages } = await state.rebuild();
    assert.deepEqual([failures, newImages], [[], 1]);
    assert.deepEqual(await state.shows(), ['a:latest image', 'a:list [image]']);
    assert.equal(await state.requestsOf(() => state.rebuild()), 1 + 1 + 5);
  });

  test('a child that the registry does not have is skipped, and read once it is there', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const there = registry.pushImage('a', undefined, named('there'));
    const missing = registry.pushImage('a', undefined, { ...named('missing'), architecture: 'arm64' });
    registry.deleteManifest('a', missing);
    registry.pushIndex('a', 'latest', [there, missing]);
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(await state.shows(), ['a:latest [there]']);
    registry.pushImage('a', undefined, { ...named('missing'), architecture: 'arm64' });
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest [there missing]']);
  });

  test('a child that one repository does not have is taken from another that has it, whichever is read first', async (t) => {
    for (const first of ['sparse', 'whole']) {
      const state = await TestState.open(t, { registries: [new MemoryRegistry()] });
      const { registry } = state;
      const push = (repository: string): void => {
        const child = registry.pushImage(repository, undefined, named('child'));
        registry.pushIndex(repository, 'latest', [
          registry.pushImage(repository, undefined, { ...named('other'), architecture: 'arm64' }),
          child,
        ]);
        if (repository === 'sparse') registry.deleteManifest(repository, child);
      };
      for (const repository of [first, ...['sparse', 'whole'].filter((name) => name !== first)]) push(repository);
      assert.deepEqual((await state.rebuild()).failures, []);
      assert.deepEqual(await state.shows(), ['sparse:latest [other child]', 'whole:latest [other child]']);
    }
  });

  test('a repository without tags is removed, as are one that the registry does not have and a tag without a manifest', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['emptied', 'stays']) registry.pushImage(name, 'latest', named(name));
    const dangling = registry.pushImage('stays', 'dangling', named('dangling'));
    await state.rebuild();
    registry.deleteRepository('emptied', { stays: true });
    registry.deleteManifest('stays', dangling);
    registry.tag('stays', 'dangling', dangling);
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(await state.shows(), ['stays:latest stays']);
    assert.deepEqual(await state.repositories(), ['stays']);
  });
});

suite('failures', () => {
  test('a repository whose tags cannot be read keeps its content, and is named', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['bad', 'good']) registry.pushImage(name, 'latest', named(`${name} one`));
    await state.rebuild();
    for (const name of ['bad', 'good']) registry.pushImage(name, 'latest', named(`${name} two`));
    registry.fail({ method: 'tags', repository: 'bad' }, 'denied');
    assert.deepEqual((await state.rebuild()).failures, [
      { repository: 'bad', error: 'http://registry.example.org tags bad: denied' },
    ]);
    assert.deepEqual(await state.shows(), ['bad:latest bad one', 'good:latest good two']);
    assert.deepEqual(await failing(state), [
      ['bad', true],
      ['good', false],
    ]);

    registry.heal();
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(await state.shows(), ['bad:latest bad two', 'good:latest good two']);
  });

  test('a repository that can be read again has no error any more', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const states = async (): Promise<unknown> =>
      [...(await state.known()).repositories.values()].map(({ error, missedScans }) => [
        error !== undefined,
        missedScans,
      ]);
    registry.pushImage('a', 'latest', named('a'));
    await state.rebuild();
    registry.fail({ method: 'tags' });
    await state.rebuild();
    assert.deepEqual(await states(), [[true, 0]]);
    registry.heal();
    await state.rebuild();
    assert.deepEqual(await states(), [[false, 0]]);
    await state.store.catalog.commit(registry.id, [{ kind: 'missed', repository: 'a' }], () => []);
    assert.deepEqual(await states(), [[false, 1]]);
    await state.rebuild();
    assert.deepEqual(await states(), [[false, 0]]);
  });

  for (const method of ['resolve', 'manifest', 'config'] as const) {
    test(`a tag whose ${method} fails keeps its images; the other tags of its repository are read`, async (t) => {
      const state = await TestState.open(t);
      const { registry } = state;
      const push = (tag: string, version: string): Digest => {
        const arm = registry.pushImage('a', undefined, { ...named(`${tag} arm ${version}`), architecture: 'arm64' });
        registry.pushIndex('a', tag, [registry.pushImage('a', undefined, named(`${tag} ${version}`)), arm]);
        return arm;
      };
      for (const tag of ['bad', 'good']) push(tag, 'one');
      await state.rebuild();
      const [child] = ['bad', 'good'].map((tag) => push(tag, 'two')) as [Digest, Digest];
      registry.fail({
        method,
        reference: { resolve: 'bad', manifest: child, config: registry.configOf('a', child) }[method],
      });
      const { failures } = await state.rebuild();
      assert.deepEqual(
        failures.map(({ repository }) => repository),
        ['a'],
      );
      assert.match(
        failures[0]?.error ?? '',
        new RegExp(`^tag bad: http://registry.example.org ${method} a .*: unavailable$`),
      );
      assert.deepEqual(await state.shows(), [
        `a:bad [bad ${method === 'resolve' ? 'one' : 'two'} bad arm one]`,
        'a:good [good two good arm two]',
      ]);

      registry.heal();
      assert.deepEqual((await state.rebuild()).failures, []);
      assert.deepEqual(await state.shows(), ['a:bad [bad two bad arm two]', 'a:good [good two good arm two]']);
    });
  }

  test('tags that lead to one digest fail together', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const push = (version: string): Digest => {
      const child = registry.pushImage('a', undefined, named(version));
      const digest = registry.pushIndex('a', 'latest', [child]);
      for (const tag of ['1', '2']) registry.tag('a', tag, digest);
      return child;
    };
    push('one');
    await state.rebuild();
    registry.fail({ method: 'config', reference: registry.configOf('a', push('two')) });
    const { failures } = await state.rebuild();
    assert.match(failures[0]?.error ?? '', /\(and 2 more tags\)$/);
    assert.deepEqual(await state.shows(), ['a:1,2,latest [one]']);
    registry.heal();
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:1,2,latest [two]']);
  });

  test('a missing config is a failure, and does not remove the image', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'latest', named('one'));
    await state.rebuild();
    const digest = registry.pushImage('a', 'latest', named('two'));
    registry.deleteConfigs('a');
    const { failures } = await state.rebuild();
    assert.equal(failures.length, 1);
    assert.ok(failures[0]?.error.startsWith(`tag latest: a@${digest}: `));
    assert.deepEqual(await state.shows(), ['a:latest one']);
  });

  test('an architecture that is not a text is a failure, and changes nothing that is known', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'bad', { ...named('bad'), architecture: 'lone \ud800' });
    registry.pushImage('a', 'good', named('good'));
    const { failures } = await state.rebuild();
    assert.deepEqual(failures, [{ repository: 'a', error: 'tag bad: architecture: expected a string' }]);
    assert.deepEqual(await state.shows(), ['a:good good']);
  });

  test('an image with a text that would end Flatpak’s parser is left out and named', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'good', named('good'));
    registry.pushImage('a', 'updated', named('one'));
    await state.rebuild();
    registry.pushImage('a', 'updated', named('two', { x: 'lone \ud800' }));
    registry.pushImage('b', 'latest', named('spoof', { 'org.flatpak.ref\0': 'app/net.own.Other/x86_64/stable' }));
    registry.pushImage('c', 'latest', { ...named('annotated'), annotations: { '\udc00': '' } });
    const { failures } = await state.rebuild();
    assert.deepEqual(
      failures.toSorted((a, b) => String(a.repository).localeCompare(String(b.repository))),
      [
        { repository: 'a', error: 'tag updated: config.Labels["x"]: expected Unicode text without NUL' },
        {
          repository: 'b',
          error: 'tag latest: the key of config.Labels["org.flatpak.ref\\u0000"]: expected Unicode text without NUL',
        },
        { repository: 'c', error: 'tag latest: the key of annotations["\\udc00"]: expected Unicode text without NUL' },
      ],
    );
    assert.deepEqual(await state.shows(), ['a:good good', 'a:updated one']);
  });

  test('several failing tags are one failure of their repository', async (t) => {
    const state = await TestState.open(t);
    for (const tag of ['1', '2', '3']) state.registry.pushImage('a', tag, named(tag));
    state.registry.fail({ method: 'manifest' });
    assert.deepEqual((await state.rebuild()).failures, [
      { repository: 'a', error: 'tag 1: http://registry.example.org manifest a 1: unavailable (and 2 more tags)' },
    ]);
  });

  test('what one repository cannot return is read from another one', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const repository of ['bad', 'good'])
      registry.pushIndex(repository, 'latest', [registry.pushImage(repository, undefined, named('image'))]);
    registry.fail({ method: 'config', repository: 'bad' });
    const { failures } = await state.rebuild();
    assert.deepEqual(
      failures.map(({ repository }) => repository),
      ['bad'],
    );
    assert.deepEqual(await state.shows(), ['good:latest [image]']);
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(await state.shows(), ['bad:latest [image]', 'good:latest [image]']);
  });

  test('a rebuild ends only after all its requests, also those beside a failure', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const [bad, slow] = [
      registry.pushImage('a', undefined, named('bad')),
      registry.pushImage('a', undefined, { ...named('slow'), architecture: 'arm64' }),
    ];
    registry.pushIndex('a', 'latest', [bad, slow]);
    registry.fail({ method: 'manifest', reference: bad });
    const held = registry.hold({ method: 'manifest', reference: slow });
    const phases = new Set<string>();
    const rebuild = state.rebuild(undefined, { onProgress: ({ phase }) => phases.add(phase) });
    await held.reached;
    // Everything else has finished by now.
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    assert.ok(!phases.has('rendering'));
    held.release();
    assert.equal((await rebuild).newImages, 1);
    registry.heal();
    registry.calls.length = 0;
    await state.rebuild();
    assert.deepEqual(
      registry.calls.filter(({ reference }) => reference === slow),
      [],
    );
  });

  test('when the list fails halfway, the repositories before that are read, and none is taken for gone', async (t) => {
    const registry = new MemoryRegistry({ pageSize: 2 });
    const state = await TestState.open(t, { registries: [registry] });
    for (const name of ['a', 'b', 'c', 'd']) registry.pushImage(name, 'latest', named(`${name} one`));
    await state.rebuild();
    for (const name of ['a', 'b', 'c', 'd']) registry.pushImage(name, 'latest', named(`${name} two`));
    registry.fail({ method: 'repositories', page: 2 });
    for (let scan = 0; scan < 3; scan++) {
      const { failures, repositories } = await state.rebuild();
      assert.deepEqual(failures, [{ error: 'http://registry.example.org repositories: unavailable' }]);
      assert.equal(repositories, 2);
    }
    assert.deepEqual(await state.shows(), ['a:latest a two', 'b:latest b two', 'c:latest c one', 'd:latest d one']);
    assert.deepEqual(
      [...(await state.known()).repositories.values()].map(({ missedScans }) => missedScans),
      [0, 0, 0, 0],
    );
  });

  test('a notified repository that fails is named, and keeps its content', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'latest', named('one'));
    await state.rebuild();
    registry.pushImage('a', 'latest', named('two'));
    registry.fail({ repository: 'a' });
    assert.deepEqual((await state.rebuildTags('a', 'latest')).failures, [
      { repository: 'a', error: 'tag latest: http://registry.example.org resolve a latest: unavailable' },
    ]);
    assert.deepEqual((await state.rebuildRepository('a')).failures, [
      { repository: 'a', error: 'http://registry.example.org tags a: unavailable' },
    ]);
    assert.deepEqual(await state.shows(), ['a:latest one']);
  });
});

function forArm(name: string): PushedImage {
  return { ...named(name), architecture: 'arm64' };
}

suite('a child of an index that cannot be read', () => {
  test('does not hide its siblings, in a new tag or nested, and is retried', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const bad = registry.pushImage('a', undefined, forArm('bad'));
    const inner = registry.pushIndex('a', undefined, [bad, registry.pushImage('a', undefined, named('inner'))]);
    registry.pushIndex('a', 'latest', [registry.pushImage('a', undefined, named('outer')), inner]);
    registry.fail({ method: 'config', reference: registry.configOf('a', bad) }, 'denied');
    for (let time = 0; time < 2; time++) {
      const { failures } = await state.rebuild();
      assert.deepEqual(
        failures.map(({ repository }) => repository),
        ['a'],
      );
      assert.match(failures[0]?.error ?? '', /^tag latest: http:\/\/registry.example.org config a .*: denied$/);
      assert.deepEqual(await state.shows(), ['a:latest [outer inner]']);
      assert.match((await state.known()).repositories.get('a')?.error ?? '', /denied/);
    }
    registry.heal();
    registry.calls.length = 0;
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(methodsOf(registry.calls), { repositories: 1, tags: 1, resolve: 1, manifest: 1, config: 1 });
    assert.deepEqual(await state.shows(), ['a:latest [outer bad inner]']);
    assert.equal((await state.known()).repositories.get('a')?.error, undefined);
  });

  test('is shown as it was known until then, however often the tag moves', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const push = (version: string, ...bad: readonly string[]): void => {
      const images = [
        registry.pushImage('a', undefined, named(`amd ${version}`)),
        registry.pushImage('a', undefined, forArm(`arm ${version}`)),
      ] as const;
      registry.pushIndex('a', 'latest', images);
      registry.heal();
      for (const [position, digest] of images.entries())
        if (bad.includes(['amd', 'arm'][position] ?? ''))
          registry.fail({ method: 'config', reference: registry.configOf('a', digest) });
    };
    push('1');
    await state.rebuild();
    push('2', 'arm');
    assert.equal((await state.rebuildTags('a', 'latest')).failures.length, 1);
    assert.deepEqual(await state.shows(), ['a:latest [amd 2 arm 1]']);
    push('3', 'amd', 'arm');
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest [amd 2 arm 1]']);
    push('4', 'amd');
    await state.rebuild();
    await state.reopen();
    assert.deepEqual(await state.shows(), ['a:latest [arm 4 amd 2]']);
    assert.equal((await state.rebuild()).failures.length, 1);
    assert.deepEqual(await state.shows(), ['a:latest [arm 4 amd 2]']);
    registry.heal();
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest [amd 4 arm 4]']);
  });

  test('is kept beside another app of the same architecture, which is replaced', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const push = (version: string): Digest => {
      const [one, two] = ['one', 'two'].map((app) =>
        registry.pushImage(
          'a',
          undefined,
          named(`${app} ${version}`, { 'org.flatpak.ref': `app/net.own.${app}/x86_64/stable` }),
        ),
      ) as [Digest, Digest];
      registry.pushIndex('a', 'latest', [one, two]);
      return two;
    };
    push('1');
    await state.rebuild();
    registry.fail({ method: 'manifest', reference: push('2') });
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest [one 2 two 1]']);
  });

  test('is removed when the registry says that it is gone', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const push = (version: string): Digest => {
      const bad = registry.pushImage('a', undefined, forArm(`arm ${version}`));
      registry.pushIndex('a', 'latest', [registry.pushImage('a', undefined, named(`amd ${version}`)), bad]);
      return bad;
    };
    push('1');
    await state.rebuild();
    const bad = push('2');
    registry.fail({ method: 'manifest', reference: bad });
    await state.rebuild();
    registry.heal();
    registry.deleteManifest('a', bad);
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.deepEqual(await state.shows(), ['a:latest [amd 2]']);
  });

  test('may be an invalid descriptor, which is reported at each scan', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const good = {
      mediaType: OCI_IMAGE_MANIFEST,
      digest: registry.pushImage('a', undefined, named('good')),
      size: 100,
    };
    const digest = registry.pushManifest('a', 'latest', {
      schemaVersion: 2,
      mediaType: OCI_IMAGE_INDEX,
      manifests: [{ ...good, digest: 'blake3:abc' }, good],
    });
    for (let time = 0; time < 2; time++) {
      const { failures } = await state.rebuild();
      assert.deepEqual(failures, [
        { repository: 'a', error: `tag latest: a@${digest}: manifests[0].digest: expected a sha256 or sha512 digest` },
      ]);
      assert.deepEqual(await state.shows(), ['a:latest [good]']);
    }
  });
});

/** Made-up digests that do not exist. */
function absent(count: number, salt: string): readonly Digest[] {
  return Array.from({ length: count }, (_, number) => digestOf(`${salt} ${number}`));
}

suite('a repository that is too expensive fails, and the others are read', () => {
  test('nested indexes that lead to more than 1000 manifests together, also by many paths to few', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('hostile', 'wide', named('before'));
    registry.pushImage('innocent', 'latest', named('innocent'));
    await state.rebuild();
    const image = registry.pushImage('hostile', undefined, named('image'));
    const leaves = Array.from({ length: 40 }, (_, number) =>
      registry.pushIndex('hostile', undefined, [image, ...absent(30, String(number))]),
    );
    registry.pushIndex('hostile', 'wide', leaves);
    const few = absent(30, 'few');
    const middle = Array.from({ length: 40 }, (_, number) =>
      registry.pushIndex('hostile', undefined, [image, ...few, digestOf(`of ${number}`)]),
    );
    registry.pushIndex('hostile', 'many-ways', middle);
    registry.pushImage('innocent', 'latest', named('newer'));

    registry.calls.length = 0;
    const { failures } = await state.rebuild();
    assert.deepEqual(
      failures.map(({ repository }) => repository),
      ['hostile'],
    );
    assert.match(
      failures[0]?.error ?? '',
      /^tag (wide|many-ways): hostile: more than 1000 manifests in one image index and its nested ones \(and 1 more tag\)$/,
    );
    assert.deepEqual(await state.shows(), ['hostile:wide before', 'innocent:latest newer']);
    assert.ok(registry.calls.length < 3000, String(registry.calls.length));
  });

  test('more than 1 GiB of configs: what was read is kept, and the next rebuild continues', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const tags = Array.from({ length: 70 }, (_, number) => `t${number}`);
    for (const tag of tags) {
      const image = registry.pushImage('a', undefined, named(tag));
      const config = {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: registry.configOf('a', image),
        size: 16 * 1024 * 1024,
      };
      registry.pushManifest('a', tag, { schemaVersion: 2, mediaType: OCI_IMAGE_MANIFEST, config, layers: [] });
    }
    registry.pushImage('b', 'latest', named('b'));
    const { failures } = await state.rebuild();
    assert.equal(failures.length, 1);
    assert.match(
      failures[0]?.error ?? '',
      /^tag t\d+: a: more than 50000 manifests and configs, or 1024 MiB of them, are new; the next rebuild continues \(and 6 more tags\)$/,
    );
    assert.equal((await state.shows()).length, 63 + 1);
    assert.deepEqual((await state.rebuild()).failures, []);
    assert.equal((await state.shows()).length, 70 + 1);
  });

  test('large configs are read one at a time', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const configs = ['one', 'two', 'small'].map((name) => {
      const digest = registry.configOf('a', registry.pushImage('a', undefined, named(name)));
      const config = {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest,
        size: name === 'small' ? 1000 : 2 * 1024 * 1024,
      };
      registry.pushManifest('a', name, { schemaVersion: 2, mediaType: OCI_IMAGE_MANIFEST, config, layers: [] });
      return digest;
    });
    const held = registry.hold({ method: 'config', reference: configs[0] ?? '' });
    const rebuild = state.rebuild();
    await held.reached;
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    const asked = (): readonly (string | undefined)[] =>
      registry.calls.filter(({ method }) => method === 'config').map(({ reference }) => reference);
    assert.deepEqual(new Set(asked()), new Set([configs[0], configs[2]]));
    held.release();
    assert.deepEqual((await rebuild).failures, []);
    assert.deepEqual(new Set(asked()), new Set(configs));
  });

  test('the size of one registry in the catalog is limited, with a warning before that', async (t) => {
    const state = await TestState.open(t);
    const {
      registry,
      store: { catalog, publications },
    } = state;
    const warnings: string[] = [];
    const run = async (): Promise<ScanResult> =>
      runScan({
        source: registry,
        known: await WorkingCopy.load({ catalog, publications, registry: registry.id, takenBy: () => [] }),
        wanted: new Map([['apps', { repository: () => true, tag: () => true }]]),
        scope: EVERYTHING,
        concurrency: 1,
        maxStored: 5 * 1024 ** 2,
        onWarning: (warning) => warnings.push(warning),
      });
    const push = (repository: string, mebibytes: number): void => {
      registry.pushImage(repository, 'latest', named(repository, { long: 'x'.repeat(mebibytes * 1024 ** 2) }));
    };
    push('a', 2);
    assert.deepEqual((await run()).failures, []);
    assert.deepEqual(warnings, []);
    push('b', 2);
    assert.deepEqual((await run()).failures, []);
    const warning =
      'http://registry.example.org takes 4 MiB in the catalog: beyond 5 MiB, nothing new is stored from it. Index fewer repositories or tags, or check who pushes so much';
    assert.deepEqual(warnings.splice(0), [warning]);
    push('c', 2);
    assert.deepEqual((await run()).failures, [
      {
        repository: 'c',
        error:
          'tag latest: nothing new is stored from http://registry.example.org: its 4 MiB in the catalog are near the limit of 5 MiB',
      },
    ]);
    assert.deepEqual(warnings, [warning]);
    assert.deepEqual(await failing(state), [
      ['a', false],
      ['b', false],
      ['c', true],
    ]);
    registry.deleteRepository('a', { stays: true });
    await run();
    await catalog.prune();
    assert.deepEqual((await run()).failures, []);
  });

  test('only the first 10,000 failures have their own messages', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (let number = 0; number <= 10_000; number++) registry.pushImage(`r${number}`, 'latest', named('image'));
    registry.fail({ method: 'tags' });
    const { failures } = await state.rebuild();
    assert.equal(new Set(failures.map(({ repository }) => repository)).size, 10_001);
    assert.deepEqual(failures.filter(({ error }) => error === 'could not be read, like 10000 others').length, 1);
    assert.equal((await failing(state)).filter(([, failed]) => failed).length, 10_001);
  });

  test('what a failing repository does not lead to any more is removed', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const old = registry.pushImage('a', 'latest', named('old'));
    await state.rebuild();
    registry.pushImage('a', 'latest', named('new'));
    registry.pushImage('a', 'bad', named('lone \ud800'));
    assert.equal((await state.rebuild()).failures.length, 1);
    assert.equal(await state.image(old), undefined);
  });
});

test('a digest is known of a registry only if it was read from that registry', async (t) => {
  const [own, foreign] = [
    new MemoryRegistry({ id: 'http://own.example.org' }),
    new MemoryRegistry({ id: 'http://foreign.example.org' }),
  ];
  const state = await TestState.open(t, {
    registries: [own, foreign],
    definitions: [
      { registry: own.id, skipFlatpakLabels: true },
      { name: 'foreign', registry: foreign.id },
    ],
  });
  const secret = own.pushImage('a', 'latest', named('secret', { 'org.flatpak.secret': 'of the own registry' }));
  await state.indexer.rebuild(own.id, EVERYTHING);
  foreign.pushIndex('b', 'list', [foreign.pushImage('b', undefined, named('foreign')), secret]);
  foreign.tag('b', 'latest', secret);
  await state.indexer.rebuild(foreign.id, EVERYTHING);
  assert.deepEqual(await state.shows('foreign'), ['b:list [foreign]']);
  assert.deepEqual(await state.shows(), ['a:latest secret']);
  // It is shown for the registry that has it.
  foreign.pushImage('b', 'copy', named('secret', { 'org.flatpak.secret': 'of the own registry' }));
  await state.indexer.rebuild(foreign.id, EVERYTHING);
  assert.deepEqual(await state.shows('foreign'), ['b:copy,latest secret', 'b:list [foreign secret]']);
});

suite('a list that leaves repositories out', () => {
  test('is not believed at once, but at the second scan', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['gone', 'stays']) registry.pushImage(name, 'latest', named(name));
    await state.rebuild();
    registry.deleteRepository('gone');
    assert.equal((await state.rebuild()).requests, 1 + 1 + 1);
    assert.deepEqual(await state.shows(), ['gone:latest gone', 'stays:latest stays']);
    await state.reopen();
    assert.equal((await state.rebuild()).requests, 1 + 1 + 1 + 1);
    assert.deepEqual(await state.shows(), ['stays:latest stays']);
    assert.equal((await state.rebuild()).requests, 1 + 1 + 1);
  });

  test('removes nothing if it is complete again at the next scan', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['a', 'b']) registry.pushImage(name, 'latest', named(name));
    await state.rebuild();
    for (let time = 0; time < 3; time++) {
      registry.unlist('b');
      await state.rebuild();
      registry.list('b');
      await state.rebuild();
    }
    assert.deepEqual(await state.shows(), ['a:latest a', 'b:latest b']);
  });

  test('is not believed while the registry still has the repository, which is read', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    registry.pushImage('a', 'latest', named('one'));
    await state.rebuild();
    registry.unlist('a');
    registry.pushImage('a', 'latest', named('two'));
    for (let scan = 0; scan < 2; scan++) await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest two']);
    registry.deleteRepository('a');
    for (let scan = 0; scan < 2; scan++) await state.rebuild();
    assert.deepEqual(await state.shows(), []);
  });

  test('may be an empty list', async (t) => {
    const state = await TestState.open(t);
    for (const name of ['a', 'b', 'c']) state.registry.pushImage(name, 'latest', named(name));
    await state.rebuild();
    for (const name of ['a', 'b', 'c']) state.registry.deleteRepository(name);
    assert.equal((await state.rebuild()).requests, 1);
    assert.equal((await state.shows()).length, 3);
    await state.rebuild();
    assert.deepEqual(await state.shows(), []);
  });

  test('does not remove a repository that cannot be read', async (t) => {
    const state = await TestState.open(t);
    state.registry.pushImage('a', 'latest', named('a'));
    await state.rebuild();
    state.registry.deleteRepository('a');
    state.registry.fail({ method: 'tags' });
    for (let scan = 0; scan < 3; scan++) await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest a']);
    state.registry.heal();
    await state.rebuild();
    assert.deepEqual(await state.shows(), []);
  });

  test('removes one that the registry refuses, and that anybody could read before', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) registry.pushImage(name, 'latest', named(name));
    for (const name of ['a', 'b', 'd']) registry.publish(name, true);
    await state.rebuild();
    registry.publish('d', false);
    await state.rebuild();
    for (const repository of names) registry.fail({ method: 'tags', repository }, 'denied');
    for (const name of ['a', 'c', 'd']) registry.unlist(name);
    // It is remembered over a restart.
    await state.reopen();
    assert.deepEqual(
      (await state.rebuild()).failures.map(({ repository }) => repository),
      ['b'],
    );
    assert.equal((await state.shows()).length, 4);
    const unlisted = 'not listed any more (if it was deleted, leave it out with repository_exclude)';
    assert.deepEqual((await state.rebuild()).failures, [
      { repository: 'b', error: `${registry.id} tags b: denied` },
      { repository: 'c', error: `${unlisted}: ${registry.id} tags c: denied` },
      { repository: 'd', error: `${unlisted}: ${registry.id} tags d: denied` },
    ]);
    assert.deepEqual(await state.shows(), ['b:latest b', 'c:latest c', 'd:latest d']);
  });
});

suite('scopes', () => {
  test('a rebuild of one repository reads it whole and leaves the rest alone', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['a', 'b']) for (const tag of ['1', '2']) registry.pushImage(name, tag, named(`${name} ${tag}`));
    await state.rebuild();
    for (const name of ['a', 'b']) {
      registry.untag(name, '1');
      registry.pushImage(name, '3', named(`${name} 3`));
    }
    registry.calls.length = 0;
    const { requests, repositories } = await state.rebuildRepository('a');
    assert.deepEqual([requests, repositories], [1 + 2 + 1, 1]);
    assert.ok(registry.calls.every(({ repository }) => repository === 'a'));
    assert.deepEqual(await state.shows(), ['a:2 a 2', 'a:3 a 3', 'b:1 b 1', 'b:2 b 2']);
  });

  test('a rebuild of one index reads what it takes and leaves what only others take', async (t) => {
    const state = await TestState.open(t, {
      definitions: [
        { name: 'stable', tags: ['stable'], repositoryInclude: ['a', 'shared'] },
        { name: 'beta', tags: ['beta'] },
      ],
    });
    const { registry } = state;
    const push = (version: string): void => {
      for (const name of ['a', 'b', 'shared'])
        for (const tag of ['stable', 'beta']) registry.pushImage(name, tag, named(`${name} ${tag} ${version}`));
    };
    push('one');
    await state.rebuild();
    push('two');
    registry.calls.length = 0;
    await state.rebuild({ indexes: new Set(['stable']), repositories: new Map() });
    assert.deepEqual(
      registry.calls.filter(({ repository }) => repository === 'b'),
      [],
    );
    assert.deepEqual(await state.shows('stable'), ['a:stable a stable two', 'shared:stable shared stable two']);
    assert.deepEqual(await state.shows('beta'), [
      'a:beta a beta one',
      'b:beta b beta one',
      'shared:beta shared beta one',
    ]);
    await state.rebuild({ indexes: new Set(['beta']), repositories: new Map() });
    assert.deepEqual(await state.shows('beta'), [
      'a:beta a beta two',
      'b:beta b beta two',
      'shared:beta shared beta two',
    ]);
  });

  test('repositories named beside everything are read once', async (t) => {
    const state = await TestState.open(t);
    state.registry.pushImage('a', 'latest', named('a'));
    const { requests } = await state.rebuild({
      indexes: 'all',
      repositories: new Map([
        ['a', 'all'],
        ['not-there', 'all'],
      ]),
    });
    assert.equal(requests, 1 + 1 + 1 + 1 + 1);
  });

  test('repositories that no index takes, or that the source excludes, cost no requests', async (t) => {
    const state = await TestState.open(t, {
      definitions: [{ repositoryInclude: ['apps/*'], repositoryExclude: ['apps/secret'] }],
    });
    const { registry } = state;
    registry.uncover('apps/uncovered');
    for (const name of ['apps/one', 'apps/secret', 'apps/uncovered', 'apps/a/b', 'other'])
      registry.pushImage(name, 'latest', named(name));
    assert.equal((await state.rebuild()).requests, 1 + 1 + 1 + 1);
    for (const name of ['apps/secret', 'apps/uncovered', 'apps/a/b', 'other']) {
      assert.equal((await state.rebuildRepository(name)).requests, 0);
      assert.equal((await state.rebuildTags(name, 'latest')).requests, 0);
    }
    assert.deepEqual(await state.shows(), ['apps/one:latest apps/one']);
  });

  test('a repository that the source excludes now is removed at once', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['a', 'b']) registry.pushImage(name, 'latest', named(name));
    await state.rebuild();
    registry.uncover('b');
    await state.reopen();
    await state.refresh();
    assert.deepEqual(await state.shows(), ['a:latest a']);
    registry.cover('b');
    await state.reopen();
    await state.refresh();
    assert.deepEqual(await state.shows(), ['a:latest a', 'b:latest b'], 'it is shown again at once, too');
    registry.uncover('b');
    await state.reopen();
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest a']);
    assert.deepEqual(await state.repositories(), ['a']);
  });
});

test('what no index takes any more is removed by a full scan, and only by that', async (t) => {
  const state = await TestState.open(t);
  const { registry } = state;
  for (const repository of ['a', 'b'])
    for (const tag of ['latest', 'beta']) registry.pushImage(repository, tag, named(`${repository} ${tag}`));
  await state.rebuild();
  await state.reopen({ definitions: [{ tags: ['latest'], repositoryExclude: ['b'] }] });
  const known = async (): Promise<readonly string[]> =>
    [...(await state.known()).repositories].flatMap(([name, { tags }]) =>
      [...tags.keys()].map((tag) => `${name}:${tag}`),
    );
  await state.rebuild({ indexes: new Set(['apps']), repositories: new Map() });
  await state.rebuildTags('a', 'latest');
  assert.deepEqual(await known(), ['a:beta', 'a:latest', 'b:beta', 'b:latest']);
  await state.rebuild();
  assert.deepEqual(await known(), ['a:latest']);
});

suite('the end of a scan', () => {
  test('an abort ends it with the signal’s reason, and what was known is kept', async (t) => {
    const state = await TestState.open(t);
    const { registry } = state;
    for (const name of ['a', 'b', 'c']) registry.pushImage(name, 'latest', named(`${name} one`));
    await state.rebuild();
    const before = await state.text();
    for (const name of ['a', 'b', 'c']) registry.pushImage(name, 'latest', named(`${name} two`));
    const held = registry.hold({ repository: 'b' });
    const abort = new AbortController();
    const rebuild = state.rebuild(undefined, { signal: abort.signal });
    await held.reached;
    const reason = new Error('the server stops');
    abort.abort(reason);
    await assert.rejects(rebuild, reason);
    assert.equal(await state.text(), before);

    registry.heal();
    await state.rebuild();
    assert.deepEqual(await state.shows(), ['a:latest a two', 'b:latest b two', 'c:latest c two']);
  });

  test('progress ends with the numbers of the result', async (t) => {
    const state = await TestState.open(t);
    for (const name of ['a', 'b']) state.registry.pushImage(name, 'latest', named(name));
    const seen: string[] = [];
    let last;
    const result = await state.rebuild(undefined, {
      onProgress: (progress) => {
        seen.push(progress.phase);
        last = progress;
      },
    });
    assert.deepEqual(last, {
      phase: 'rendering',
      repositories: { done: 2, total: 2 },
      images: { done: 2, total: 2 },
      requests: result.requests,
    });
    assert.deepEqual([...new Set(seen)], ['scanning', 'rendering']);
  });

  test('parallel scans of two registries do not remove what the other has just read', async (t) => {
    const [slow, quick] = [
      new MemoryRegistry({ id: 'http://slow.example.org' }),
      new MemoryRegistry({ id: 'http://quick.example.org' }),
    ];
    const state = await TestState.open(t, {
      registries: [slow, quick],
      definitions: [{ registry: slow.id }, { name: 'quick', registry: quick.id }],
    });
    // So large that they are committed before their tag is read.
    const large = Array.from({ length: 5 }, (_, number) =>
      slow.pushImage('a', undefined, named(`large ${number}`, { value: 'x'.repeat(1_000_000) })),
    );
    const last = slow.pushImage('a', undefined, named('last'));
    slow.pushIndex('a', 'latest', [...large, last]);
    quick.pushImage('b', 'latest', named('b'));

    const held = slow.hold({ reference: last });
    const rebuild = state.indexer.rebuild(slow.id, { indexes: 'all', repositories: new Map() });
    await held.reached;
    while ((await state.store.catalog.manifests(slow.id, large)).size < 4)
      await setImmediate(undefined, { signal: t.signal });
    await state.indexer.rebuild(quick.id, { indexes: 'all', repositories: new Map() });
    held.release();
    await rebuild;
    assert.deepEqual(await state.shows(), ['a:latest [large 0 large 1 large 2 large 3 large 4 last]']);
  });
});

/** Returns the repositories in the catalog, and whether each has an error. */
async function failing(state: TestState): Promise<readonly (readonly [name: string, failing: boolean])[]> {
  return [...(await state.known()).repositories].map(([name, { error }]) => [name, error !== undefined]);
}

function methodsOf(calls: readonly RegistryCall[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { method } of calls) counts[method] = (counts[method] ?? 0) + 1;
  return counts;
}
