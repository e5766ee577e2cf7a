/** Images as an index shows them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { IndexDefinition } from '../../../src/indexing/index-definition.ts';
import { MemoryRegistry } from '../../sources/memory-registry.ts';
import type { PushedImage } from '../../sources/memory-registry.ts';
import { png, pngPath, pngUri } from '../png.ts';
import type { ImageJson } from '../test-state.ts';
import { TestState } from '../test-state.ts';

const ICON_64 = 'org.freedesktop.appstream.icon-64';
const ICON_128 = 'org.freedesktop.appstream.icon-128';
const TOKEN_TYPE = 'org.flatpak.commit-metadata.xa.token-type';

/** Builds an index of one image; returns it as shown, with the warnings of the rebuild. */
async function show(
  t: Parameters<typeof TestState.open>[0],
  definition: Partial<IndexDefinition>,
  image: PushedImage,
): Promise<{ image: ImageJson; warnings: readonly string[]; state: TestState }> {
  const state = await TestState.open(t, { definitions: [definition] });
  state.registry.pushImage('app', 'latest', image);
  const { indexes } = await state.rebuild();
  const shown = (await state.json()).Results[0]?.Images[0];
  assert.ok(shown);
  return { image: shown, warnings: indexes[0]?.warnings ?? [], state };
}

test('all that the image says, unchanged', async (t) => {
  const { image } = await show(
    t,
    {},
    { os: 'linux', architecture: 'ppc64le', labels: { b: '2', a: '1' }, annotations: { d: '', c: 'x' } },
  );
  assert.deepEqual(image, {
    Tags: ['latest'],
    Digest: image.Digest,
    MediaType: 'application/vnd.oci.image.manifest.v1+json',
    OS: 'linux',
    Architecture: 'ppc64le',
    Annotations: { c: 'x', d: '' },
    Labels: { a: '1', b: '2' },
  });
});

test('an image without labels and annotations has empty ones', async (t) => {
  const { image } = await show(t, {}, { mediaType: 'application/vnd.docker.distribution.manifest.v2+json' });
  assert.deepEqual(
    [image.MediaType, image.Annotations, image.Labels],
    ['application/vnd.docker.distribution.manifest.v2+json', {}, {}],
  );
});

test('keys and values of every kind survive unchanged', async (t) => {
  const strange = Object.fromEntries([
    ['__proto__', 'a key like others'],
    ['constructor', 'too'],
    ['emoji 🎉', '👨‍👩‍👧'],
    ['line\nbreak', 'a\r\nb\u2028c\u2029\t'],
    ['controls \u0001', '\u001f\u007f\uffff'],
    ['quote"\\', '</script>&amp;'],
    ['10', 'ten'],
    ['9', 'nine'],
    ['large', 'é'.repeat(512 * 1024)],
  ]);
  const { image, state } = await show(t, {}, { labels: strange, annotations: strange });
  for (const shown of [image.Labels, image.Annotations]) assert.deepEqual(shown, strange);
  // In the text, all keys are in order, also those that a JavaScript object would put first or lose.
  const keys = [...(await state.text()).matchAll(/"((?:[^"\\]|\\.)*)":"(?:ten|nine|too|a key like others)"/g)].map(
    ([, key]) => key,
  );
  assert.deepEqual(keys, ['10', '9', '__proto__', 'constructor', '10', '9', '__proto__', 'constructor']);
});

test('Flatpak’s labels and annotations are left out if the index says so, each by its own option', async (t) => {
  const pairs = {
    'org.flatpak.ref': 'r',
    'org.freedesktop.appstream.appdata': 'a',
    'org.flatpakx': 'x',
    'org.freedesktop': 'y',
    other: 'z',
  };
  const rest = { 'org.flatpakx': 'x', 'org.freedesktop': 'y', other: 'z' };
  const annotations = await show(t, { skipFlatpakAnnotations: true }, { labels: pairs, annotations: pairs });
  assert.deepEqual([annotations.image.Annotations, annotations.image.Labels], [rest, pairs]);
  const labels = await show(t, { skipFlatpakLabels: true }, { labels: pairs, annotations: pairs });
  assert.deepEqual([labels.image.Annotations, labels.image.Labels], [pairs, rest]);
});

test('appdata that would make that of all apps unreadable is left out with a warning', async (t) => {
  const APPDATA = 'org.freedesktop.appstream.appdata';
  for (const bad of [
    '\u0001',
    '\u000b',
    '\uffff',
    '&#1;',
    '&#x1F;',
    '&#XFFFE;',
    '&#0;',
    '&#xd800;',
    '&#x110000;',
    '&#99999999999;',
  ]) {
    const { image, warnings } = await show(
      t,
      {},
      { labels: { [APPDATA]: `<component><name>a${bad}b</name></component>`, other: bad } },
    );
    assert.deepEqual(image.Labels, { other: bad });
    assert.deepEqual(warnings, [
      `app@${image.Digest}: ${APPDATA} is left out: it contains a character that XML does not allow`,
    ]);
  }
  const good = '<component><name>\t\r\n\u0085é🎉&#9;&#x1F389;&#128512;&amp;#1; </name></component>';
  const { image, warnings } = await show(t, {}, { labels: { [APPDATA]: good } });
  assert.deepEqual([image.Labels, warnings], [{ [APPDATA]: good }, []]);
});

suite('flatpak_annotations and force_flatpak_token', () => {
  test('Flatpak’s labels become annotations, icons and all', async (t) => {
    const { image } = await show(
      t,
      { flatpakAnnotations: true, extractIcons: true },
      {
        labels: { 'org.flatpak.ref': 'r', [ICON_64]: pngUri('icon'), other: 'o' },
        annotations: { 'org.flatpak.ref': 'old', mine: 'm' },
      },
    );
    assert.deepEqual(image.Annotations, { mine: 'm', 'org.flatpak.ref': 'r', [ICON_64]: `icons/${pngPath('icon')}` });
    assert.deepEqual(image.Labels, { other: 'o' });
  });

  test('clients must ask for a token, whatever the image says', async (t) => {
    const { image } = await show(t, { forceFlatpakToken: true }, { labels: { [TOKEN_TYPE]: 'AAAAAABp', other: 'o' } });
    assert.deepEqual(image.Labels, { [TOKEN_TYPE]: 'AQAAAABp', other: 'o' });
    const moved = await show(t, { forceFlatpakToken: true, flatpakAnnotations: true }, {});
    assert.deepEqual([moved.image.Labels, moved.image.Annotations], [{}, { [TOKEN_TYPE]: 'AQAAAABp' }]);
  });
});

suite('extract_icons', () => {
  test('icons of both sizes, in labels and annotations, become files named by their content', async (t) => {
    const labels = { [ICON_64]: pngUri('small'), [ICON_128]: pngUri('large'), other: pngUri('stays') };
    const { image, state, warnings } = await show(
      t,
      { extractIcons: true },
      { labels, annotations: { [ICON_64]: pngUri('annotated'), [ICON_128]: pngUri('large') } },
    );
    assert.deepEqual(image.Labels, {
      [ICON_64]: `icons/${pngPath('small')}`,
      [ICON_128]: `icons/${pngPath('large')}`,
      other: pngUri('stays'),
    });
    assert.deepEqual(image.Annotations, {
      [ICON_64]: `icons/${pngPath('annotated')}`,
      [ICON_128]: `icons/${pngPath('large')}`,
    });
    for (const content of ['small', 'large', 'annotated'])
      assert.deepEqual(readFileSync(state.path('icons', pngPath(content))), png(content));
    assert.ok(!existsSync(state.path('icons', pngPath('stays'))));
    assert.deepEqual(warnings, []);
  });

  test('without it, icons stay where they are, as they were written', async (t) => {
    const usual = pngUri('its icon');
    assert.match(usual, /=$/);
    for (const icon of [
      usual,
      `${usual}\n`,
      usual.replace(/=+$/, ''),
      'data:image/png;base64,bm8gUE5H',
      'data:image/png;base64,!',
    ]) {
      const texts = { a: '1', [ICON_128]: icon, [ICON_64]: usual, z: '2' };
      const { image, state } = await show(t, {}, { labels: texts, annotations: texts });
      assert.deepEqual([image.Labels, image.Annotations], [texts, texts]);
      assert.ok(!existsSync(state.path('icons')));
    }
  });

  test('an icon can be required like other labels and annotations', async (t) => {
    for (const place of ['Labels', 'Annotations'] as const) {
      const state = await TestState.open(t, { definitions: [{ [`required${place}`]: [ICON_64] }] });
      state.registry.pushImage('with', 'latest', { [place.toLowerCase()]: { [ICON_64]: pngUri('icon') } });
      state.registry.pushImage('with-another', 'latest', { [place.toLowerCase()]: { [ICON_128]: pngUri('icon') } });
      state.registry.pushImage('without', 'latest', {});
      await state.rebuild();
      assert.deepEqual(
        (await state.json()).Results.map(({ Name }) => Name),
        ['with'],
      );
    }
  });

  test('icons that the index does not show are not written', async (t) => {
    const { state } = await show(
      t,
      { extractIcons: true, skipFlatpakLabels: true },
      { labels: { [ICON_64]: pngUri('icon') } },
    );
    assert.ok(!existsSync(state.path('icons', pngPath('icon'))));
  });

  test('values without the prefix of a PNG data URI are shown as they are', async (t) => {
    for (const value of ['icons/icon.png', 'https://example.org/icon.png', 'data:image/svg+xml,<svg/>', '']) {
      const { image } = await show(t, { extractIcons: true }, { labels: { [ICON_64]: value } });
      assert.deepEqual(image.Labels, { [ICON_64]: value });
    }
  });

  test('base64 in lines is base64', async (t) => {
    const uri = pngUri('wrapped '.repeat(20)).replaceAll(/(.{60})/g, '$1\n');
    const { image } = await show(t, { extractIcons: true }, { labels: { [ICON_64]: uri } });
    assert.deepEqual(image.Labels, { [ICON_64]: `icons/${pngPath('wrapped '.repeat(20))}` });
  });

  const largest = 'x'.repeat(1024 * 1024 - 8);
  test('1 MiB is not too large', async (t) => {
    const { image } = await show(t, { extractIcons: true }, { labels: { [ICON_64]: pngUri(largest) } });
    assert.deepEqual(image.Labels, { [ICON_64]: `icons/${pngPath(largest)}` });
  });

  const faults: Readonly<Record<string, readonly [value: string, reason: string]>> = {
    'that are not base64': [`${pngUri('icon')}*`, 'it is not valid base64'],
    'with something behind their end': [`${pngUri('icon!')}=AAAA`, 'it is not valid base64'],
    'that are cut off': [pngUri('icons').slice(0, -3), 'it is not valid base64'],
    'that are empty': ['data:image/png;base64,', 'it does not begin with the PNG signature'],
    'that are another kind of image': [
      `data:image/png;base64,${Buffer.from('GIF89a and more').toString('base64')}`,
      'it does not begin with the PNG signature',
    ],
    'that are too large': [pngUri(`${largest}x`), 'it is larger than 1 MiB'],
  };
  for (const [fault, [value, reason]] of Object.entries(faults)) {
    test(`icons ${fault} are left out with a warning`, async (t) => {
      const { image, warnings } = await show(
        t,
        { extractIcons: true },
        { labels: { [ICON_64]: value, [ICON_128]: pngUri('good') } },
      );
      assert.deepEqual(image.Labels, { [ICON_128]: `icons/${pngPath('good')}` });
      assert.deepEqual(warnings, [`app@${image.Digest}: ${ICON_64} is left out: ${reason}`]);
    });
  }

  test('of many warnings the first twenty are shown', async (t) => {
    const state = await TestState.open(t, { definitions: [{ extractIcons: true }] });
    for (let number = 0; number < 30; number++)
      state.registry.pushImage('app', `tag-${number}`, {
        labels: { name: String(number), [ICON_64]: 'data:image/png;base64,AAAA' },
      });
    const { indexes } = await state.rebuild();
    assert.equal(indexes[0]?.warnings.length, 21);
    assert.equal(indexes[0]?.warnings.at(-1), 'and 10 more warnings');
  });
});

test('the content is that of regindexer for the same registry', async (t) => {
  const registry = new MemoryRegistry({ id: 'https://registry.example.org' });
  const state = await TestState.open(t, {
    registries: [registry],
    definitions: [
      {
        name: 'flatpak',
        registry: registry.id,
        registryPublic: 'https://public.example.org',
        tags: ['latest', 'beta?'],
        requiredLabels: ['org.flatpak.ref'],
        architectures: ['amd64', 'arm64'],
        skipFlatpakAnnotations: true,
        extractIcons: true,
      },
    ],
  });
  const docker = 'application/vnd.docker.distribution.manifest.v2+json';
  const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
  const ref = { 'org.flatpak.ref': 'app/org.example.App/x86_64/stable' };
  const single = registry.pushImage('org.example.single', 'latest', {
    labels: { ...ref, [ICON_64]: pngUri('icon') },
    annotations: { 'org.flatpak.ref': 'dropped', maintainer: 'me' },
  });
  registry.tag('org.example.single', 'beta1', single);
  registry.tag('org.example.single', '1.0', single);
  const amd64 = registry.pushImage('org.example.list', undefined, { labels: ref, mediaType: docker });
  const arm64 = registry.pushImage('org.example.list', undefined, {
    labels: { ...ref, version: '2' },
    architecture: 'arm64',
    mediaType: docker,
  });
  const s390x = registry.pushImage('org.example.list', undefined, {
    labels: ref,
    architecture: 's390x',
    mediaType: docker,
  });
  const list = registry.pushIndex('org.example.list', 'latest', [s390x, arm64, amd64], dockerList);
  const beta = registry.pushImage('org.example.list', 'beta2', { labels: ref });
  registry.pushImage('org.example.container', 'latest', { labels: { maintainer: 'me' } });
  registry.pushImage('org.example.old', 'stable', { labels: ref });
  await state.rebuild();

  // Written down by reference.md, section 3, and regindexer's indexer.py.
  assert.deepEqual(await state.json('flatpak'), {
    Registry: 'https://public.example.org',
    Results: [
      {
        Name: 'org.example.list',
        Images: [
          {
            Tags: ['beta2'],
            Digest: beta,
            MediaType: 'application/vnd.oci.image.manifest.v1+json',
            OS: 'linux',
            Architecture: 'amd64',
            Annotations: {},
            Labels: ref,
          },
        ],
        Lists: [
          {
            Tags: ['latest'],
            Digest: list,
            MediaType: dockerList,
            Images: [
              {
                Digest: arm64,
                MediaType: docker,
                OS: 'linux',
                Architecture: 'arm64',
                Annotations: {},
                Labels: { ...ref, version: '2' },
              },
              { Digest: amd64, MediaType: docker, OS: 'linux', Architecture: 'amd64', Annotations: {}, Labels: ref },
            ],
          },
        ],
      },
      {
        Name: 'org.example.single',
        Images: [
          {
            Tags: ['beta1', 'latest'],
            Digest: single,
            MediaType: 'application/vnd.oci.image.manifest.v1+json',
            OS: 'linux',
            Architecture: 'amd64',
            Annotations: { maintainer: 'me' },
            Labels: { ...ref, [ICON_64]: `icons/${pngPath('icon')}` },
          },
        ],
        Lists: [],
      },
    ],
  });
});
