/** Names of inherited properties of objects, such as `constructor`, work like all others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { named, namesIn, TestState } from './test-state.ts';

const INHERITED = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__defineGetter__',
  '__lookupSetter__',
];
const APPDATA = 'org.freedesktop.appstream.appdata';

/** Without a prototype: `{}` would treat `__proto__` specially. */
function pairs(value: (name: string) => string): Record<string, string> {
  return Object.fromEntries(INHERITED.map((name) => [name, value(name)]));
}

test('keys and values of labels and annotations, tags, repositories, systems and architectures', async (t) => {
  const state = await TestState.open(t);
  const labels = { ...pairs((name) => `label ${name}`), name: 'odd' };
  const annotations = pairs((name) => name);
  for (const tag of INHERITED)
    state.registry.pushImage('constructor', tag, {
      labels,
      annotations,
      os: 'constructor',
      architecture: 'constructor',
    });
  state.registry.pushImage('other', 'latest', named('plain'));
  await state.rebuild();

  const { Results } = await state.json();
  const [image] = Results[0]?.Images ?? [];
  assert.deepEqual(new Map(Object.entries(image?.Labels ?? {})), new Map(Object.entries(labels)));
  assert.deepEqual(new Map(Object.entries(image?.Annotations ?? {})), new Map(Object.entries(annotations)));
  assert.deepEqual(
    [Results[0]?.Name, image?.Tags?.toSorted(), image?.OS, image?.Architecture],
    ['constructor', INHERITED.toSorted(), 'constructor', 'constructor'],
  );

  const found = async (query: string): Promise<readonly (string | undefined)[]> => namesIn(await state.answer(query));
  for (const name of INHERITED) {
    for (const query of [
      `tag=${name}`,
      `label:${name}:exists=1`,
      `label:${name}=label ${name}`,
      `label:${name}:matches=label*`,
      `annotation:${name}=${name}`,
    ])
      assert.deepEqual(await found(query), ['odd'], query);
    assert.deepEqual(await found(`label:${name}=${name}`), []);
  }
  assert.deepEqual(await found('repository=constructor&os=constructor&architecture=constructor'), ['odd']);
  for (const query of ['os=toString', 'architecture=toString', 'repository=valueof'])
    assert.deepEqual(await found(query), []);
});

test('attributes of app data, groups and keys of the metadata, permissions', async (t) => {
  const state = await TestState.open(t);
  const attributes = INHERITED.map((name) => `${name}="x"`).join(' ');
  const metadata = `[Context]\n${['shared', 'sockets', 'devices', 'features', 'filesystems'].map((key) => `${key}=${INHERITED.join(';')};\n`).join('')}${INHERITED.map((name) => `[${name}]\n${name}=x\n`).join('')}[Session Bus Policy]\n${INHERITED.map((name) => `${name}=talk\n`).join('')}`;
  const labels = flatpakLabels({ id: 'org.example.Odd', name: 'Odd', metadata });
  state.registry.pushImage('odd', 'latest', {
    labels: { ...labels, [APPDATA]: (labels[APPDATA] ?? '').replace('<component ', `<component ${attributes} `) },
  });
  state.registry.pushImage('plain', 'latest', { labels: flatpakLabels({ id: 'org.example.Plain', name: 'Plain' }) });
  await state.rebuild();
  assert.deepEqual(
    (await state.apps()).map(({ name }) => name),
    ['Odd', 'Plain'],
  );
  const details = await state.details('org.example.Odd');
  assert.equal(details?.permissions.length, 6 * INHERITED.length);
  for (const { text } of details.permissions)
    assert.ok(
      INHERITED.some((name) => text.includes(name)),
      text,
    );
});
