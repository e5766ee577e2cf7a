import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatpakLabels } from '../../sources/flatpak-labels.ts';
import { isoSeconds } from '../../../src/indexing/appdata/flatpak-image.ts';
import { TestState } from '../test-state.ts';

test('an index lists each app once, by name, with the data of its best image', async (t) => {
  const state = await TestState.open(t);
  const push = (repository: string, tag: string, architecture: string, app: Parameters<typeof flatpakLabels>[0]) =>
    state.registry.pushImage(repository, tag, { architecture, labels: flatpakLabels(app) });
  push('zebra', 'beta', 'amd64', {
    id: 'org.example.Zebra',
    name: 'Zebra (beta)',
    branch: 'beta',
    timestamp: 1_750_000_000,
  });
  push('zebra', 'latest', 'arm64', {
    id: 'org.example.Zebra',
    name: 'Zebra',
    summary: 'Has stripes',
    developer: 'Somebody',
    keywords: ['animal'],
    categories: ['Education', 'Simulation', 'Game'],
    architecture: 'aarch64',
    endOfLife: 'The stripes are gone',
    replacedBy: 'app/org.example.Horse/x86_64/stable',
  });
  push('ant', 'latest', 'amd64', { id: 'org.example.Ant', name: 'ant' });
  push('platform', 'latest', 'amd64', { id: 'org.example.Platform', name: 'Platform', type: 'runtime' });
  push('platform-locale', 'latest', 'amd64', {
    id: 'org.example.Platform.Locale',
    name: 'Platform',
    type: 'runtime',
    metadata: '[ExtensionOf]\nref=runtime/org.example.Platform/x86_64/stable',
  });
  state.registry.pushImage('no-flatpak', 'latest');
  await state.rebuild();

  const list = await state.apps();
  assert.deepEqual(
    list.map(({ name, kind }) => [name, kind]),
    [
      ['ant', 'app'],
      ['Platform', 'runtime'],
      ['Platform', 'extension'],
      ['Zebra', 'app'],
    ],
  );
  assert.deepEqual(list[3], {
    id: 'org.example.Zebra',
    kind: 'app',
    name: 'Zebra',
    summary: 'Has stripes',
    developer: 'Somebody',
    keywords: ['animal'],
    categories: ['Education', 'Game'],
    icon: '',
    endOfLife: 'The stripes are gone',
    replacedBy: 'app/org.example.Horse/x86_64/stable',
    architectures: ['amd64', 'arm64'],
    tags: ['beta', 'latest'],
    updated: '2025-06-15T15:06:40Z',
    added: '',
    changed: '',
  });
});

test('apps that come later, and those that change, have the time of it, also after a restart', async (t) => {
  const state = await TestState.open(t);
  const push = (id: string, summary = ''): void =>
    void state.registry.pushImage(id.toLowerCase(), 'latest', {
      labels: flatpakLabels({ id: `org.example.${id}`, summary }),
    });
  const times = async () => (await state.apps()).map(({ name, added, changed }) => [name.slice(12), added, changed]);
  push('Changes');
  push('Stays');
  await state.rebuild();
  assert.deepEqual(await times(), [
    ['Changes', '', ''],
    ['Stays', '', ''],
  ]);
  await state.reopen();
  push('Changes', 'Better now');
  push('Comes');
  await state.rebuild();
  const at = isoSeconds((await state.shown()).publication.modified / 1000);
  const expected = [
    ['Changes', '', at],
    ['Comes', at, at],
    ['Stays', '', ''],
  ];
  assert.deepEqual(await times(), expected);
  await state.reopen({ definitions: [{ extractIcons: true }] });
  await state.rebuild();
  assert.deepEqual(await times(), expected, 'shown in another way, they are the same');
});

test('accents do not count when apps are sorted', async (t) => {
  const state = await TestState.open(t);
  for (const name of ['Zoo', 'Écran', 'Editor', 'Übung', 'angle'])
    state.registry.pushImage(`app-${name.length}-${name.codePointAt(0)}`, 'latest', {
      labels: flatpakLabels({ id: `org.example.App${name.codePointAt(0)}`, name }),
    });
  await state.rebuild();
  assert.deepEqual(
    (await state.apps()).map(({ name }) => name),
    ['angle', 'Écran', 'Editor', 'Übung', 'Zoo'],
  );
});

test('the details of an app are from its best image, with a list of all its images', async (t) => {
  const state = await TestState.open(t);
  const image = state.registry.pushImage('app', undefined, {
    labels: flatpakLabels({
      id: 'org.example.App',
      name: 'App',
      metadata: '[Context]\nfilesystems=home;',
      endOfLife: 'Use another one',
    }),
  });
  state.registry.pushIndex('app', 'latest', [image]);
  state.registry.pushImage('app', 'beta', {
    labels: flatpakLabels({ id: 'org.example.App', name: 'App beta', branch: 'beta' }),
  });
  state.registry.pushImage('longer', 'latest', { labels: flatpakLabels({ id: 'org.example.App.Longer' }) });
  await state.rebuild();

  const app = await state.details('org.example.App');
  assert.equal(app?.name, 'App');
  assert.equal(app.endOfLife, 'Use another one');
  assert.equal(app.runtime, 'org.example.Platform/x86_64/stable');
  assert.deepEqual(
    app.permissions.map(({ dangerous }) => dangerous),
    [true],
  );
  assert.deepEqual(
    app.images.map(({ tags, branch, digest }) => [tags, branch, digest === image]),
    [
      [['latest'], 'stable', true],
      [['beta'], 'beta', false],
    ],
  );
  assert.equal(app.images[0]?.installedSize, 2_097_152);
  assert.equal(await state.details('org.example.Other'), undefined);
});

test('the details of an app say all that its app data do', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', {
    labels: flatpakLabels({
      id: 'org.example.App',
      categories: ['Video', 'Audio', 'Player', 'Utility'],
      metadata: '[Context]\nshared=network;',
      timestamp: 1_750_000_000,
      appdata: `<project_license>GPL-3.0-or-later</project_license><name xml:lang="de">Anwendung</name>
        <url type="homepage">https://example.org/</url><url type="bugtracker">https://example.org/bugs</url>
        <content_rating type="oars-1.1"><content_attribute id="social-chat">mild</content_attribute></content_rating>`,
    }),
  });
  state.registry.pushImage('damaged', 'latest', {
    labels: { ...flatpakLabels({ id: 'org.example.Damaged' }), 'org.freedesktop.appstream.appdata': '<component><<<' },
  });
  await state.rebuild();
  const app = await state.details('org.example.App');
  assert.ok(app);
  const { categories, license, licenseName, homepage, links, ageRating, safety, languages, updated } = app;
  assert.deepEqual(
    { categories, license, licenseName, homepage, links, ageRating, safety, languages, updated },
    {
      categories: ['AudioVideo', 'Utility'],
      license: 'GPL-3.0-or-later',
      licenseName: 'GNU General Public License v3.0 or later',
      homepage: 'https://example.org/',
      links: [
        { kind: 'homepage', url: 'https://example.org/' },
        { kind: 'bugtracker', url: 'https://example.org/bugs' },
      ],
      ageRating: { age: 4, reasons: [{ id: 'social-chat', level: 'mild', text: 'Chat with other users' }] },
      safety: 'probably-safe',
      languages: ['de'],
      updated: '2025-06-15T15:06:40Z',
    },
  );
  const damaged = await state.details('org.example.Damaged');
  assert.deepEqual([damaged?.name, damaged?.ageRating, damaged?.links], ['org.example.Damaged', null, []]);
  assert.deepEqual(
    (await state.apps()).map(({ id }) => id),
    ['org.example.App', 'org.example.Damaged'],
  );
});

function idsOf(apps: readonly { readonly id: string }[] = []): readonly string[] {
  return apps.map(({ id }) => id.slice(12));
}

test('the list of apps is summed up: kinds, categories, and what is new', async (t) => {
  const state = await TestState.open(t);
  const push = (id: string, app: Partial<Parameters<typeof flatpakLabels>[0]> = {}): void =>
    void state.registry.pushImage(id.toLowerCase(), 'latest', {
      labels: flatpakLabels({ id: `org.example.${id}`, ...app }),
    });
  push('Old', { categories: ['Game', 'Audio', 'Video'], timestamp: 1_600_000_000 });
  push('Older', { categories: ['Game'], timestamp: 1_500_000_000 });
  push('Platform', { type: 'runtime', categories: ['Game'] });
  await state.rebuild();
  push('New', { timestamp: 1_400_000_000 });
  push('Sdk', { type: 'runtime' });
  await state.rebuild();
  const summary = await (await state.index()).appSummary();
  assert.deepEqual(
    { ...summary, changed: idsOf(summary?.changed), added: idsOf(summary?.added) },
    {
      kinds: { app: 3, runtime: 2, extension: 0 },
      categories: { Game: 2, AudioVideo: 1 },
      changed: ['New', 'Old', 'Older'],
      added: ['New'],
    },
  );
});

test('labels that an index shows as annotations are read as labels', async (t) => {
  const state = await TestState.open(t, { definitions: [{ flatpakAnnotations: true }] });
  state.registry.pushImage('app', 'latest', { labels: flatpakLabels({ id: 'org.example.App', name: 'App' }) });
  await state.rebuild();
  assert.equal((await state.apps())[0]?.name, 'App');
  assert.equal((await state.details('org.example.App'))?.name, 'App');
});

test('a rebuild reports which apps were added, updated and removed', async (t) => {
  const state = await TestState.open(t);
  const push = (id: string, summary = ''): void =>
    void state.registry.pushImage(id.toLowerCase(), 'latest', {
      labels: flatpakLabels({ id: `org.example.${id}`, summary }),
    });
  push('Stays');
  push('Changes');
  push('Goes');
  const changes = async () => {
    const [index] = (await state.rebuild()).indexes;
    return (
      index?.apps && { added: index.apps.added.ids, updated: index.apps.updated.ids, removed: index.apps.removed.ids }
    );
  };
  assert.deepEqual(await changes(), {
    added: ['org.example.Changes', 'org.example.Goes', 'org.example.Stays'],
    updated: [],
    removed: [],
  });
  assert.equal(await changes(), undefined);
  push('Changes', 'Better now');
  push('Comes');
  state.registry.deleteRepository('goes', { stays: true });
  assert.deepEqual(await changes(), {
    added: ['org.example.Comes'],
    updated: ['org.example.Changes'],
    removed: ['org.example.Goes'],
  });
});
