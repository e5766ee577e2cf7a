/** Contract of every engine's catalog. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type { ArtifactManifest, ImageIndexManifest } from '../../src/registry/manifest.ts';
import { imageBytes, manifestBytes, TAG_BYTES } from '../../src/store/catalog.ts';
import type { Catalog, CatalogChange, Image, KnownManifest, TagRecord } from '../../src/store/catalog.ts';

/** A catalog that is removed after the test. */
export interface CatalogUnderTest {
  /** Opens it; closes the one that was opened before. */
  open(): Promise<Catalog>;
}

export const REGISTRY = 'https://registry.example';
const OTHER_REGISTRY = 'https://other.example';
const REF = 'org.flatpak.ref';
const NO_PNGS = new Map<Digest, Buffer>();

export function imageOf(name: string, more: Partial<Image> = {}): Image {
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(name),
    size: name.length,
    os: 'linux',
    architecture: 'amd64',
    annotations: {},
    icons: [],
    labels: { [REF]: refOf(name) },
    ...more,
  };
}

function refOf(name: string): string {
  return `app/${name}/x86_64/stable`;
}

function indexOf(
  name: string,
  children: readonly (Image | ImageIndexManifest | ArtifactManifest)[],
  faults?: readonly string[],
): ImageIndexManifest {
  return {
    kind: 'index',
    mediaType: 'application/vnd.oci.image.index.v1+json',
    digest: digestOf(name),
    size: name.length,
    manifests: children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    ...(faults && { faults }),
  };
}

function artifactOf(name: string): ArtifactManifest {
  return {
    kind: 'artifact',
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(name),
    size: name.length,
  };
}

/** Returns the change for an image or another manifest that was read. */
export function put(content: Image | ImageIndexManifest | ArtifactManifest): CatalogChange {
  if ('kind' in content) return { kind: 'manifest', manifest: content };
  const refs = [content.labels, content.annotations].flatMap((texts) =>
    Object.hasOwn(texts, REF) ? [texts[REF] as string] : [],
  );
  return { kind: 'image', image: content, refs, bytes: imageBytes(content, NO_PNGS) };
}

export function setTag(
  repository: string,
  tag: string,
  { digest }: { readonly digest: Digest },
  ...kept: readonly { readonly digest: Digest }[]
): CatalogChange {
  return {
    kind: 'tag',
    repository,
    tag: { tag, digest, ...(kept.length > 0 && { kept: kept.map((image) => image.digest) }) },
  };
}

function accessOf(repository: string, isPublic: boolean): CatalogChange {
  return { kind: 'access', repository, isPublic };
}

/** Returns what is known of an image or another manifest. */
function knownOf(content: Image | ImageIndexManifest | ArtifactManifest): KnownManifest {
  const { mediaType, digest, size } = content;
  const descriptor = { mediaType, digest, size };
  if (!('kind' in content)) return { kind: 'image', descriptor, os: content.os, architecture: content.architecture };
  if (content.kind === 'artifact') return { kind: 'artifact', descriptor };
  return {
    kind: 'index',
    descriptor,
    manifests: content.manifests.map((child) => child.digest),
    ...(content.faults && { faults: content.faults }),
  };
}

function nobody(): readonly string[] {
  return [];
}

function apps(): readonly string[] {
  return ['apps'];
}

function byText(one: string, other: string): number {
  return one < other ? -1 : 1;
}

async function imageIn(catalog: Catalog, digest: Digest, registry = REGISTRY): Promise<Image | undefined> {
  return (await catalog.images(registry, [digest])).get(digest);
}

async function manifestIn(catalog: Catalog, digest: Digest, registry = REGISTRY): Promise<KnownManifest | undefined> {
  return (await catalog.manifests(registry, [digest])).get(digest);
}

async function tagsIn(catalog: Catalog, repository: string, registry = REGISTRY): Promise<readonly TagRecord[]> {
  return [...((await catalog.known(registry)).repositories.get(repository)?.tags.values() ?? [])];
}

/** Returns what a commit marks for an index that takes everything. */
async function marked(
  catalog: Catalog,
  changes: readonly CatalogChange[],
  registry = REGISTRY,
): Promise<readonly string[]> {
  await catalog.clearDirty('apps', (await catalog.dirty('apps')).upTo);
  assert.deepEqual((await catalog.dirty('apps')).repositories, []);
  await catalog.commit(registry, changes, apps);
  return (await catalog.dirty('apps')).repositories;
}

export function catalogContract(create: (t: TestContext) => CatalogUnderTest): void {
  const openNew = (t: TestContext): Promise<Catalog> => create(t).open();

  test('a catalog keeps its id when it is opened again; another catalog has another id', async (t) => {
    const under = create(t);
    const { id } = await under.open();
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.equal((await under.open()).id, id);
    assert.notEqual((await openNew(t)).id, id);
  });

  suite('manifests', () => {
    test('an image is found by its digest, with and without its texts, also after closing and opening again', async (t) => {
      const under = create(t);
      const image = imageOf('one', { annotations: { created: 'today' } });
      await (await under.open()).commit(REGISTRY, [put(image)], nobody);
      const catalog = await under.open();
      assert.deepEqual(await imageIn(catalog, image.digest), image);
      assert.deepEqual(await manifestIn(catalog, image.digest), knownOf(image));
    });

    test('an image has its icons; the images of an icon are known by registry', async (t) => {
      const catalog = await openNew(t);
      const [png, other] = [digestOf('a PNG'), digestOf('another PNG')];
      const icons: Image['icons'] = [
        { place: 'label', key: '64', png },
        { place: 'annotation', key: '64', png: other },
      ];
      const [both, one] = [imageOf('both', { icons }), imageOf('one', { icons: icons.slice(0, 1) })];
      await catalog.commit(REGISTRY, [put(both), put(one), setTag('a', 'latest', one)], nobody);
      assert.deepEqual(new Set((await imageIn(catalog, both.digest))?.icons), new Set(icons));
      assert.deepEqual(await imageIn(catalog, one.digest), one);
      assert.deepEqual(
        await catalog.icons(REGISTRY),
        new Map([
          [png, [both, one].map((image) => image.digest).toSorted(byText)],
          [other, [both.digest]],
        ]),
      );
      assert.equal((await catalog.icons(OTHER_REGISTRY)).size, 0);
      assert.equal(await catalog.prune(), 1);
      assert.deepEqual(await catalog.icons(REGISTRY), new Map([[png, [one.digest]]]));
    });

    test('an index names its children in order, known or not, and all that it leads to is returned', async (t) => {
      const catalog = await openNew(t);
      const [zebra, mole] = [imageOf('zebra', { architecture: 'arm64' }), artifactOf('mole')];
      const ant = indexOf('ant', [mole]);
      const index = indexOf('index', [zebra, ant, imageOf('fox'), zebra]);
      await catalog.commit(REGISTRY, [put(index)], nobody);
      assert.deepEqual(await catalog.manifests(REGISTRY, [index.digest]), new Map([[index.digest, knownOf(index)]]));
      await catalog.commit(REGISTRY, [put(zebra), put(ant), put(mole)], nobody);
      const reached = await catalog.manifests(REGISTRY, [index.digest]);
      assert.deepEqual(
        reached,
        new Map([index, zebra, ant, mole].map((content) => [content.digest, knownOf(content)] as const)),
      );
      assert.equal(await imageIn(catalog, index.digest), undefined);
      await catalog.commit(REGISTRY, [setTag('app', 'latest', index)], nobody);
      assert.deepEqual((await catalog.known(REGISTRY)).manifests.size, 4);
    });

    test('an index has its faults beside its children', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('image');
      const index = indexOf('index', [image], ['manifests[1].digest: bad', 'manifests[2]: bad']);
      await catalog.commit(REGISTRY, [put(image), put(index), setTag('app', 'latest', index)], nobody);
      assert.deepEqual(await manifestIn(catalog, index.digest), knownOf(index));
      assert.equal(await catalog.prune(), 0);
    });

    test('an artifact is known, and is not an image', async (t) => {
      const catalog = await openNew(t);
      const artifact = artifactOf('signature');
      await catalog.commit(REGISTRY, [put(artifact)], nobody);
      assert.deepEqual(await manifestIn(catalog, artifact.digest), knownOf(artifact));
      assert.equal(await imageIn(catalog, artifact.digest), undefined);
    });

    test('a manifest of one registry is not known of another', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('image');
      const index = indexOf('index', [image]);
      await catalog.commit(REGISTRY, [put(image)], nobody);
      await catalog.commit(OTHER_REGISTRY, [put(index), setTag('app', 'latest', index)], nobody);
      assert.equal(await manifestIn(catalog, image.digest, OTHER_REGISTRY), undefined);
      assert.equal(await imageIn(catalog, image.digest, OTHER_REGISTRY), undefined);
      assert.deepEqual((await catalog.known(OTHER_REGISTRY)).manifests, new Map([[index.digest, knownOf(index)]]));
      await catalog.commit(OTHER_REGISTRY, [put(image)], nobody);
      for (const registry of [REGISTRY, OTHER_REGISTRY])
        assert.deepEqual(await imageIn(catalog, image.digest, registry), image);
    });

    test('a digest that was never read is left out', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('known');
      await catalog.commit(REGISTRY, [put(image)], nobody);
      const asked = [digestOf('nothing'), image.digest];
      assert.deepEqual([...(await catalog.manifests(REGISTRY, asked)).keys()], [image.digest]);
      assert.deepEqual([...(await catalog.images(REGISTRY, asked)).keys()], [image.digest]);
    });

    test('reading again is safe, and the last result counts if a digest is of another kind', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('same');
      const index = indexOf('same', [imageOf('child')]);
      await catalog.commit(REGISTRY, [put(image), put(image), put(index), put(index)], nobody);
      assert.equal(await imageIn(catalog, image.digest), undefined);
      assert.deepEqual(await manifestIn(catalog, image.digest), knownOf(index));
      await catalog.commit(REGISTRY, [put(image)], nobody);
      assert.deepEqual(await imageIn(catalog, image.digest), image);
      assert.deepEqual(await manifestIn(catalog, image.digest), knownOf(image));
      assert.equal(await catalog.stored(REGISTRY), imageBytes(image, NO_PNGS));
    });

    test('sha512 digests are kept beside sha256 ones', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('long', { digest: digestOf('long', 'sha512') });
      await catalog.commit(REGISTRY, [put(image)], nobody);
      assert.deepEqual(await imageIn(catalog, image.digest), image);
    });

    test('keys and values of every kind come back unchanged', async (t) => {
      const catalog = await openNew(t);
      const labels: Record<string, string> = Object.fromEntries([
        ['__proto__', 'a key like others'],
        ['constructor', ''],
        ['', 'empty key'],
        ['emoji \u{1F600}', '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}'],
        ['new\nline\r\n\t', 'a\nb\u2028c\u2029'],
        ['nul\0key', 'a\0b\0'],
        ['lone \ud800', '\udfff lone \ud83d'],
        ['quote\'"\\', "'; DROP TABLE image; --"],
        ['1 MiB', 'é'.repeat(512 * 1024)],
        ['7', 'a key that looks like a number'],
        [REF, 'app/\0/ \ud800 ; DROP'],
      ]);
      const image = imageOf('strange', { labels, annotations: labels });
      await catalog.commit(REGISTRY, [put(image)], nobody);
      const read = await imageIn(catalog, image.digest);
      assert.deepEqual(read, image);
      assert.deepEqual(Object.keys(read?.labels ?? {}), Object.keys(labels));
      assert.equal(Object.getPrototypeOf(read?.labels), Object.prototype);
    });
  });

  suite('tags and repositories', () => {
    test('tags and repositories come in code point order', async (t) => {
      const catalog = await openNew(t);
      // In UTF-16 order U+1F600 would come before U+FF5E.
      const names = ['10', '9', 'A', 'Z', 'a', 'a-b', 'a/b', 'z', '\uff5e', '\u{1f600}'];
      const digest = digestOf('any');
      await catalog.commit(
        REGISTRY,
        names.toReversed().map((repository) => ({
          kind: 'tags',
          repository,
          tags: names.toReversed().map((tag) => ({ tag, digest })),
        })),
        nobody,
      );
      const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const { repositories } = await catalog.known(REGISTRY);
      assert.deepEqual([...repositories.keys()], sorted);
      assert.deepEqual([...(repositories.get('a')?.tags.keys() ?? [])], sorted);
    });

    test('a tag moves, another is added and a third is removed', async (t) => {
      const catalog = await openNew(t);
      const [one, two] = [digestOf('1'), digestOf('2')];
      await catalog.commit(
        REGISTRY,
        [
          {
            kind: 'tags',
            repository: 'app',
            tags: [
              { tag: 'latest', digest: one },
              { tag: 'old', digest: one },
            ],
          },
        ],
        nobody,
      );
      await catalog.commit(
        REGISTRY,
        [
          {
            kind: 'tags',
            repository: 'app',
            tags: [
              { tag: 'latest', digest: two },
              { tag: 'new', digest: one },
            ],
          },
        ],
        nobody,
      );
      assert.deepEqual(await tagsIn(catalog, 'app'), [
        { tag: 'latest', digest: two },
        { tag: 'new', digest: one },
      ]);

      await catalog.commit(
        REGISTRY,
        [
          setTag('app', 'latest', { digest: one }),
          { kind: 'tag-gone', repository: 'app', tag: 'new' },
          setTag('app', 'newer', { digest: two }),
        ],
        nobody,
      );
      assert.deepEqual(await tagsIn(catalog, 'app'), [
        { tag: 'latest', digest: one },
        { tag: 'newer', digest: two },
      ]);
    });

    test('images that are kept in place of others come back in their order, until the tag has others or none', async (t) => {
      const catalog = await openNew(t);
      const [broken, one, two] = [digestOf('broken'), imageOf('one'), imageOf('two')];
      await catalog.commit(
        REGISTRY,
        [put(one), put(two), setTag('app', 'latest', { digest: broken }, two, one)],
        nobody,
      );
      assert.deepEqual(await tagsIn(catalog, 'app'), [
        { tag: 'latest', digest: broken, kept: [two.digest, one.digest] },
      ]);
      assert.equal((await catalog.known(REGISTRY)).manifests.size, 2);
      await catalog.commit(REGISTRY, [setTag('app', 'latest', { digest: broken }, one)], nobody);
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'latest', digest: broken, kept: [one.digest] }]);
      await catalog.commit(REGISTRY, [setTag('app', 'latest', { digest: broken })], nobody);
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'latest', digest: broken }]);
    });

    test('a single tag makes its repository known; a removed one does not', async (t) => {
      const catalog = await openNew(t);
      await catalog.commit(
        REGISTRY,
        [
          { kind: 'tag-gone', repository: 'nowhere', tag: 'latest' },
          { kind: 'gone', repository: 'nowhere' },
        ],
        nobody,
      );
      assert.equal((await catalog.known(REGISTRY)).repositories.size, 0);
      const tag = { tag: 'latest', digest: digestOf('1') };
      await catalog.commit(REGISTRY, [{ kind: 'tag', repository: 'app', tag }], nobody);
      assert.deepEqual(
        (await catalog.known(REGISTRY)).repositories,
        new Map([['app', { error: undefined, missedScans: 0, isPublic: false, tags: new Map([['latest', tag]]) }]]),
      );
    });

    test('registries do not see each other’s repositories', async (t) => {
      const catalog = await openNew(t);
      await catalog.commit(REGISTRY, [setTag('app', 'latest', { digest: digestOf('1') })], nobody);
      await catalog.commit(OTHER_REGISTRY, [setTag('app', 'latest', { digest: digestOf('2') })], nobody);
      await catalog.commit(REGISTRY, [{ kind: 'gone', repository: 'app' }], nobody);
      assert.equal((await catalog.known(REGISTRY)).repositories.size, 0);
      assert.deepEqual(await tagsIn(catalog, 'app', OTHER_REGISTRY), [{ tag: 'latest', digest: digestOf('2') }]);
    });

    test('single repositories can be read, with what their tags lead to', async (t) => {
      const catalog = await openNew(t);
      const [one, two, child] = [imageOf('one'), imageOf('two'), imageOf('child')];
      const index = indexOf('index', [child]);
      await catalog.commit(
        REGISTRY,
        [
          put(one),
          put(two),
          put(child),
          put(index),
          setTag('a', 'latest', one),
          setTag('b', 'latest', index),
          setTag('c', 'latest', two),
        ],
        nobody,
      );
      const { repositories, manifests } = await catalog.known(REGISTRY, ['c', 'b', 'nowhere']);
      assert.deepEqual([...repositories.keys()], ['b', 'c']);
      assert.deepEqual(new Set(manifests.keys()), new Set([index.digest, child.digest, two.digest]));
      assert.equal((await catalog.known(REGISTRY, [])).repositories.size, 0);
    });

    test('a failure keeps the tags, a missed scan is counted, and a successful read clears both', async (t) => {
      const catalog = await openNew(t);
      const tags = [{ tag: 'latest', digest: digestOf('1') }];
      const faults = async (): Promise<unknown> => {
        const known = (await catalog.known(REGISTRY)).repositories.get('app');
        return [known?.error, known?.missedScans];
      };
      await catalog.commit(REGISTRY, [{ kind: 'tags', repository: 'app', tags }], nobody);
      await catalog.commit(
        REGISTRY,
        [
          { kind: 'failure', repository: 'app', error: 'no answer within 30 s' },
          { kind: 'missed', repository: 'app' },
        ],
        nobody,
      );
      await catalog.commit(REGISTRY, [{ kind: 'missed', repository: 'app' }], nobody);
      assert.deepEqual(await faults(), ['no answer within 30 s', 2]);
      assert.deepEqual(await tagsIn(catalog, 'app'), tags);
      await catalog.commit(
        REGISTRY,
        [{ kind: 'tag', repository: 'app', tag: { tag: 'latest', digest: digestOf('1') } }],
        nobody,
      );
      assert.deepEqual(await faults(), ['no answer within 30 s', 2]);

      await catalog.commit(REGISTRY, [{ kind: 'tags', repository: 'app', tags }], nobody);
      assert.deepEqual(await faults(), [undefined, 0]);
    });

    test('whether a repository needs a login is kept, also when it cannot be read, until it is gone', async (t) => {
      const under = create(t);
      const tags: CatalogChange = { kind: 'tags', repository: 'app', tags: [{ tag: 'latest', digest: digestOf('1') }] };
      const isPublic = async (): Promise<unknown> =>
        (await (await under.open()).known(REGISTRY)).repositories.get('app')?.isPublic;
      const commit = async (...changes: readonly CatalogChange[]): Promise<void> =>
        (await under.open()).commit(REGISTRY, changes, nobody);
      await commit(tags, accessOf('app', true));
      assert.equal(await isPublic(), true);
      await commit({ kind: 'failure', repository: 'app', error: 'denied' }, { kind: 'missed', repository: 'app' });
      assert.equal(await isPublic(), true);
      await commit(tags, accessOf('app', false));
      assert.equal(await isPublic(), false);
      await commit(accessOf('app', true));
      assert.deepEqual(await marked(await under.open(), [accessOf('app', false), accessOf('app', true)]), []);
      await commit({ kind: 'gone', repository: 'app' }, tags);
      assert.equal(await isPublic(), false);
    });

    test('a repository whose first read failed is known by its failure; an unknown one is not counted as missed', async (t) => {
      const catalog = await openNew(t);
      await catalog.commit(
        REGISTRY,
        [
          { kind: 'failure', repository: 'app', error: 'denied' },
          { kind: 'missed', repository: 'nowhere' },
        ],
        nobody,
      );
      assert.deepEqual(
        (await catalog.known(REGISTRY)).repositories,
        new Map([['app', { error: 'denied', missedScans: 0, isPublic: false, tags: new Map() }]]),
      );
    });

    test('repositories are found by the Flatpak refs of what their tags lead to, in indexes and kept', async (t) => {
      const catalog = await openNew(t);
      const [one, two, lost] = [
        imageOf('one'),
        imageOf('two', { labels: {}, annotations: { [REF]: refOf('two') } }),
        imageOf('lost'),
      ];
      const index = indexOf('index', [one]);
      const outer = indexOf('outer', [index]);
      await catalog.commit(REGISTRY, [put(one), put(two), put(lost), put(index), put(outer)], nobody);
      await catalog.commit(
        REGISTRY,
        [
          setTag('a', 'latest', one),
          setTag('b', 'latest', outer),
          setTag('c', 'latest', two),
          setTag('d', 'latest', { digest: digestOf('broken') }, two),
        ],
        nobody,
      );
      await catalog.commit(OTHER_REGISTRY, [put(one), setTag('other', 'latest', one)], nobody);
      const found = await catalog.repositoriesWithRefs(REGISTRY, ['one', 'two', 'lost', 'nothing'].map(refOf));
      assert.deepEqual(
        found,
        new Map([
          [refOf('one'), ['a', 'b']],
          [refOf('two'), ['c', 'd']],
        ]),
      );
      assert.equal((await catalog.repositoriesWithRefs(REGISTRY, [])).size, 0);
    });
  });

  test('held tags are kept by registry, until they are replaced or the registry is removed', async (t) => {
    const catalog = await openNew(t);
    const held = new Map([
      ['apps/one', new Set(['beta', 'latest'])],
      ['apps/two', new Set([''])],
    ]);
    await catalog.commit(REGISTRY, [{ kind: 'held', tags: held }], nobody);
    await catalog.commit(OTHER_REGISTRY, [{ kind: 'held', tags: new Map([['app', new Set(['latest'])]]) }], nobody);
    assert.deepEqual(await catalog.heldTags(REGISTRY), held);
    await catalog.commit(REGISTRY, [{ kind: 'held', tags: new Map([['apps/one', new Set(['beta'])]]) }], nobody);
    assert.deepEqual(await catalog.heldTags(REGISTRY), new Map([['apps/one', new Set(['beta'])]]));
    await catalog.keepRegistries(new Set([REGISTRY]));
    assert.deepEqual([(await catalog.heldTags(REGISTRY)).size, (await catalog.heldTags(OTHER_REGISTRY)).size], [1, 0]);
  });

  test('scanned selections are kept by registry, until they are replaced or the registry is removed', async (t) => {
    const catalog = await openNew(t);
    assert.deepEqual(await catalog.scanned(REGISTRY), []);
    await catalog.commit(REGISTRY, [{ kind: 'scanned', taken: ['latest', 'stable', 'latest'] }], nobody);
    await catalog.commit(OTHER_REGISTRY, [{ kind: 'scanned', taken: ['all'] }], nobody);
    assert.deepEqual(await catalog.scanned(REGISTRY), ['latest', 'stable']);
    await catalog.commit(REGISTRY, [{ kind: 'scanned', taken: ['beta'] }], nobody);
    assert.deepEqual(await catalog.scanned(REGISTRY), ['beta']);
    assert.deepEqual(await catalog.scanned(OTHER_REGISTRY), ['all']);
    await catalog.keepRegistries(new Set([REGISTRY]));
    assert.deepEqual(await catalog.scanned(OTHER_REGISTRY), []);
  });

  suite('the size of what is kept of a registry', () => {
    test('includes the texts, icons and children of manifests, and the remaining tags', async (t) => {
      const catalog = await openNew(t);
      const png = Buffer.alloc(100_000);
      const image = imageOf('image', {
        labels: { long: 'x'.repeat(1_000_000) },
        icons: [{ place: 'label', key: '64', png: digestOf(png) }],
      });
      const index = indexOf(
        'index',
        Array.from({ length: 1000 }, (_, number) => imageOf(`child ${number}`)),
      );
      const tags = Array.from({ length: 1000 }, (_, number) => ({ tag: String(number), digest: index.digest }));
      await catalog.commit(
        REGISTRY,
        [{ kind: 'image', image, refs: [], bytes: imageBytes(image, new Map([[digestOf(png), png]])) }],
        nobody,
      );
      await catalog.commit(OTHER_REGISTRY, [put(index), { kind: 'tags', repository: 'app', tags }], nobody);
      const [stored, other] = [await catalog.stored(REGISTRY), await catalog.stored(OTHER_REGISTRY)];
      assert.ok(stored > 1_100_000 && stored < 1_110_000, String(stored));
      assert.ok(other > 200_000 && other < 400_000, String(other));
      await catalog.prune();
      assert.deepEqual([await catalog.stored(REGISTRY), await catalog.stored(OTHER_REGISTRY)], [0, other]);
      assert.equal(await catalog.stored('https://unknown.example'), 0);
    });

    test('does not count twice what is read, set or removed again', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('image');
      const bytes = imageBytes(image, NO_PNGS);
      for (let time = 0; time < 2; time++) {
        await catalog.commit(REGISTRY, [put(image), setTag('app', 'latest', image)], nobody);
        assert.equal(await catalog.stored(REGISTRY), bytes + TAG_BYTES);
      }
      await catalog.commit(
        REGISTRY,
        [
          {
            kind: 'tags',
            repository: 'app',
            tags: [
              { tag: 'latest', digest: image.digest },
              { tag: 'beta', digest: image.digest },
            ],
          },
        ],
        nobody,
      );
      assert.equal(await catalog.stored(REGISTRY), bytes + 2 * TAG_BYTES);
      for (let time = 0; time < 2; time++)
        await catalog.commit(REGISTRY, [{ kind: 'tag-gone', repository: 'app', tag: 'beta' }], nobody);
      assert.equal(await catalog.stored(REGISTRY), bytes + TAG_BYTES);
      await catalog.commit(REGISTRY, [{ kind: 'gone', repository: 'app' }], nobody);
      assert.equal(await catalog.stored(REGISTRY), bytes);
      await catalog.prune();
      assert.equal(await catalog.stored(REGISTRY), 0);
    });

    test('is zero for a registry that was removed', async (t) => {
      const catalog = await openNew(t);
      const image = imageOf('image');
      for (const registry of [REGISTRY, OTHER_REGISTRY])
        await catalog.commit(registry, [put(image), setTag('app', 'latest', image)], nobody);
      await catalog.keepRegistries(new Set([REGISTRY]));
      await catalog.prune();
      assert.deepEqual(
        [await catalog.stored(REGISTRY), await catalog.stored(OTHER_REGISTRY)],
        [imageBytes(image, NO_PNGS) + TAG_BYTES, 0],
      );
      assert.equal((await catalog.known(OTHER_REGISTRY)).repositories.size, 0);
      assert.equal(await imageIn(catalog, image.digest, OTHER_REGISTRY), undefined);
    });
  });

  suite('a commit', () => {
    test('is atomic, and passes errors on unchanged', async (t) => {
      const catalog = await openNew(t);
      const [before, after] = [imageOf('before'), imageOf('after')];
      await catalog.commit(REGISTRY, [put(before), setTag('app', 'latest', before)], nobody);
      const stored = await catalog.stored(REGISTRY);
      const reason = new Error('stop');
      const changes: CatalogChange[] = [
        put(after),
        { kind: 'tags', repository: 'app', tags: [{ tag: 'latest', digest: after.digest }] },
        { kind: 'gone', repository: 'other' },
      ];
      await assert.rejects(
        catalog.commit(REGISTRY, changes, () => {
          throw reason;
        }),
        reason,
      );
      assert.equal(await manifestIn(catalog, after.digest), undefined);
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'latest', digest: before.digest }]);
      assert.equal(await catalog.stored(REGISTRY), stored);
      await catalog.commit(REGISTRY, changes, nobody);
      assert.deepEqual(await imageIn(catalog, after.digest), after);
    });

    test('applies changes in order', async (t) => {
      const catalog = await openNew(t);
      const [one, two] = [imageOf('one'), imageOf('two')];
      await catalog.commit(
        REGISTRY,
        [
          setTag('app', 'a', one),
          { kind: 'gone', repository: 'app' },
          setTag('app', 'b', two),
          { kind: 'tag-gone', repository: 'app', tag: 'b' },
          setTag('app', 'c', one),
        ],
        nobody,
      );
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'c', digest: one.digest }]);
      assert.equal(await catalog.stored(REGISTRY), TAG_BYTES);
    });
  });

  suite('dirty marks', () => {
    test('nothing is dirty at first', async (t) => {
      assert.deepEqual((await (await openNew(t)).dirty('apps')).repositories, []);
    });

    test('a repository is marked when one of its tags is added, moves, is removed, or keeps other images', async (t) => {
      const catalog = await openNew(t);
      const [one, two, kept] = [imageOf('one'), imageOf('two'), imageOf('kept')];
      await catalog.commit(
        REGISTRY,
        [put(one), put(two), put(kept), setTag('other', 'latest', imageOf('other'))],
        nobody,
      );
      const marking: readonly CatalogChange[] = [
        setTag('app', 'latest', one),
        setTag('app', 'latest', two),
        setTag('app', 'latest', two, kept),
        setTag('app', 'beta', one),
        { kind: 'tags', repository: 'app', tags: [{ tag: 'latest', digest: two.digest, kept: [kept.digest] }] },
        { kind: 'tag-gone', repository: 'app', tag: 'latest' },
        setTag('app', 'latest', one),
        { kind: 'gone', repository: 'app' },
      ];
      for (const change of marking) assert.deepEqual(await marked(catalog, [change]), ['app'], JSON.stringify(change));
    });

    test('a change that does not affect what is shown marks nothing', async (t) => {
      const catalog = await openNew(t);
      const [one, kept] = [imageOf('one'), imageOf('kept')];
      await catalog.commit(REGISTRY, [put(one), put(kept), setTag('app', 'latest', one, kept)], nobody);
      const unmarking: readonly CatalogChange[] = [
        setTag('app', 'latest', one, kept),
        { kind: 'tags', repository: 'app', tags: [{ tag: 'latest', digest: one.digest, kept: [kept.digest] }] },
        { kind: 'tag-gone', repository: 'app', tag: 'beta' },
        { kind: 'tag-gone', repository: 'nowhere', tag: 'latest' },
        { kind: 'gone', repository: 'nowhere' },
        { kind: 'failure', repository: 'app', error: 'denied' },
        { kind: 'missed', repository: 'app' },
        { kind: 'scanned', taken: ['all'] },
        { kind: 'held', tags: new Map([['app', new Set(['latest'])]]) },
        put(imageOf('that no tag leads to')),
      ];
      for (const change of unmarking) assert.deepEqual(await marked(catalog, [change]), [], JSON.stringify(change));
      await catalog.prune();
      assert.deepEqual((await catalog.dirty('apps')).repositories, []);
    });

    test('repositories are marked whose tags lead to a manifest that was read: directly, through indexes, or kept', async (t) => {
      const catalog = await openNew(t);
      const [image, other] = [imageOf('image', { labels: {} }), imageOf('other')];
      const index = indexOf('index', [image]);
      const outer = indexOf('outer', [other, index]);
      await catalog.commit(
        REGISTRY,
        [
          put(index),
          put(outer),
          put(other),
          setTag('direct', 'latest', image),
          setTag('list', 'latest', index),
          setTag('nested', 'latest', outer),
          setTag('kept', 'latest', other, image),
          setTag('none', 'latest', imageOf('none')),
        ],
        nobody,
      );
      await catalog.commit(OTHER_REGISTRY, [put(index), setTag('elsewhere', 'latest', index)], nobody);
      assert.deepEqual(await marked(catalog, [put(image)]), ['direct', 'kept', 'list', 'nested']);
      assert.deepEqual(await marked(catalog, [put(index)]), ['list', 'nested']);
      assert.deepEqual(await marked(catalog, [put(image)], OTHER_REGISTRY), ['elsewhere']);
    });

    test('a repository is marked when a missing child of its index is read, also for another repository', async (t) => {
      const catalog = await openNew(t);
      const child = imageOf('child', { labels: {} });
      const index = indexOf('index', [child]);
      assert.deepEqual(await marked(catalog, [put(index), setTag('list', 'latest', index)]), ['list']);
      assert.deepEqual(await marked(catalog, [put(child), setTag('app', 'latest', child)]), ['app', 'list']);
    });

    test('repositories are marked that hold the same Flatpak refs as the images a tag leads to now, or led to before', async (t) => {
      const catalog = await openNew(t);
      const [old, now, sameOld, sameNow] = [
        imageOf('old'),
        imageOf('now'),
        imageOf('same as old', { labels: { [REF]: refOf('old') } }),
        imageOf('same as now', { labels: {}, annotations: { [REF]: refOf('now') } }),
      ];
      const list = indexOf('list', [sameNow]);
      await catalog.commit(REGISTRY, [put(old), put(now), put(sameOld), put(sameNow), put(list)], nobody);
      await catalog.commit(
        REGISTRY,
        [
          setTag('app', 'latest', old),
          setTag('old', 'latest', sameOld),
          setTag('now', 'latest', list),
          setTag('kept', 'latest', { digest: digestOf('broken') }, sameOld),
          setTag('none', 'latest', imageOf('none')),
        ],
        nobody,
      );
      await catalog.commit(OTHER_REGISTRY, [put(old), setTag('elsewhere', 'latest', old)], nobody);
      assert.deepEqual(await marked(catalog, [setTag('app', 'latest', now)]), ['app', 'kept', 'now', 'old']);
      assert.deepEqual(await marked(catalog, [setTag('app', 'latest', list)]), ['app', 'now']);
      assert.deepEqual(await marked(catalog, [{ kind: 'tag-gone', repository: 'kept', tag: 'latest' }]), [
        'kept',
        'old',
      ]);
      assert.deepEqual(await marked(catalog, [{ kind: 'gone', repository: 'app' }]), ['app', 'now']);
      // The refs of an image that is read count, too.
      assert.deepEqual(await marked(catalog, [put(imageOf('another', { labels: { [REF]: refOf('old') } }))]), ['old']);
    });

    test('each index has marks of what it takes; clearing those of one keeps the other’s', async (t) => {
      const catalog = await openNew(t);
      await catalog.commit(
        REGISTRY,
        [setTag('a', 'latest', imageOf('a')), setTag('b', 'latest', imageOf('b'))],
        (repository) => (repository === 'a' ? ['apps', 'all'] : ['all']),
      );
      const dirty = await catalog.dirty('apps');
      assert.deepEqual(dirty.repositories, ['a']);
      assert.deepEqual((await catalog.dirty('all')).repositories, ['a', 'b']);
      await catalog.clearDirty('apps', dirty.upTo);
      assert.deepEqual((await catalog.dirty('apps')).repositories, []);
      assert.deepEqual((await catalog.dirty('all')).repositories, ['a', 'b']);
    });

    test('marks that are newer than those that were read stay, also of a repository that was marked before', async (t) => {
      const catalog = await openNew(t);
      await catalog.commit(REGISTRY, [setTag('a', 'latest', imageOf('1')), setTag('b', 'latest', imageOf('2'))], apps);
      const { upTo } = await catalog.dirty('apps');
      await catalog.commit(REGISTRY, [setTag('b', 'latest', imageOf('3')), setTag('c', 'latest', imageOf('4'))], apps);
      await catalog.clearDirty('apps', upTo);
      const later = await catalog.dirty('apps');
      assert.deepEqual(later.repositories, ['b', 'c']);
      await catalog.clearDirty('apps', later.upTo);
      // Numbers of cleared marks are not used again.
      await catalog.commit(REGISTRY, [setTag('d', 'latest', imageOf('5'))], apps);
      await catalog.clearDirty('apps', later.upTo);
      assert.deepEqual((await catalog.dirty('apps')).repositories, ['d']);
    });

    test('marks survive closing and opening again', async (t) => {
      const under = create(t);
      await (await under.open()).commit(REGISTRY, [setTag('a', 'latest', imageOf('1'))], apps);
      const catalog = await under.open();
      const { repositories, upTo } = await catalog.dirty('apps');
      assert.deepEqual(repositories, ['a']);
      await catalog.clearDirty('apps', upTo);
      await (await under.open()).commit(REGISTRY, [setTag('b', 'latest', imageOf('1'))], apps);
      const after = await under.open();
      await after.clearDirty('apps', upTo);
      assert.deepEqual((await after.dirty('apps')).repositories, ['b']);
    });
  });

  suite('prune', () => {
    test('removes only what no tag leads to, through nested indexes and from every repository', async (t) => {
      const catalog = await openNew(t);
      const [tagged, inIndex, inNested, lost, lostChild] = [
        'tagged',
        'in index',
        'in nested',
        'lost',
        'lost child',
      ].map((name) => imageOf(name)) as [Image, Image, Image, Image, Image];
      const nested = indexOf('nested', [inNested]);
      const index = indexOf('index', [inIndex, nested, imageOf('not known')]);
      const lostIndex = indexOf('lost index', [lostChild, inIndex]);
      const signature = artifactOf('signature');
      await catalog.commit(
        REGISTRY,
        [
          tagged,
          inIndex,
          inNested,
          lost,
          lostChild,
          nested,
          index,
          lostIndex,
          signature,
          artifactOf('lost artifact'),
        ].map(put),
        nobody,
      );
      await catalog.commit(
        REGISTRY,
        [setTag('app', 'a', tagged), setTag('app', 'b', index), setTag('app', 'c', signature)],
        nobody,
      );
      await catalog.commit(OTHER_REGISTRY, [put(tagged), setTag('copy', 'a', tagged)], nobody);

      assert.equal(await catalog.prune(), 4);
      assert.equal(await catalog.prune(), 0);
      for (const { digest } of [tagged, inIndex, inNested, nested, index, signature])
        assert.notEqual(await manifestIn(catalog, digest), undefined);
      for (const { digest } of [lost, lostChild, lostIndex, artifactOf('lost artifact')]) {
        assert.equal(await manifestIn(catalog, digest), undefined);
        assert.equal(await imageIn(catalog, digest), undefined);
      }

      // It is known of the other registry, too.
      await catalog.commit(REGISTRY, [{ kind: 'gone', repository: 'app' }], nobody);
      assert.equal(await catalog.prune(), 6);
      assert.deepEqual(
        [await imageIn(catalog, tagged.digest), await imageIn(catalog, tagged.digest, OTHER_REGISTRY)],
        [undefined, tagged],
      );
      await catalog.commit(OTHER_REGISTRY, [{ kind: 'tag-gone', repository: 'copy', tag: 'a' }], nobody);
      assert.equal(await catalog.prune(), 1);
      assert.equal(await imageIn(catalog, tagged.digest, OTHER_REGISTRY), undefined);
    });

    test('does not remove images that are kept in place of others', async (t) => {
      const catalog = await openNew(t);
      const [kept, old] = [imageOf('kept'), imageOf('old')];
      const index = indexOf('index', [imageOf('broken')]);
      await catalog.commit(REGISTRY, [put(index), put(kept), put(old), setTag('app', 'latest', index, kept)], nobody);
      assert.equal(await catalog.prune(), 1);
      assert.deepEqual(await imageIn(catalog, kept.digest), kept);
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'latest', digest: index.digest, kept: [kept.digest] }]);
      await catalog.commit(
        REGISTRY,
        [{ kind: 'tags', repository: 'app', tags: [{ tag: 'latest', digest: index.digest }] }],
        nobody,
      );
      assert.deepEqual(await tagsIn(catalog, 'app'), [{ tag: 'latest', digest: index.digest }]);
      assert.equal(await catalog.prune(), 1);
    });
  });

  test('random commits give the same result as a simple model', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 }),
        async (commits) => {
          const catalog = await openNew(t);
          const model = new Model();
          for (const steps of commits) {
            const { upTo } = await catalog.dirty('apps');
            await catalog.clearDirty('apps', upTo);
            const expected = model.commit(steps);
            await catalog.commit(REGISTRY, steps.map(changeOf), apps);
            assert.deepEqual((await catalog.dirty('apps')).repositories, expected);
            assert.deepEqual(
              new Map(
                [...(await catalog.known(REGISTRY)).repositories].map(([name, { tags }]) => [
                  name,
                  new Map([...tags].map(([tag, { digest }]) => [tag, digest])),
                ]),
              ),
              model.repositories,
            );
            const refs = [...CONTENT.values()].flatMap((content) =>
              'kind' in content ? [] : Object.values(content.labels),
            );
            for (const ref of refs)
              assert.deepEqual(
                (await catalog.repositoriesWithRefs(REGISTRY, [ref])).get(ref) ?? [],
                model.holding(new Set([ref])),
              );
            assert.equal(await catalog.stored(REGISTRY), model.stored());
          }
          assert.equal(await catalog.prune(), model.prune());
          assert.equal(await catalog.stored(REGISTRY), model.stored());
          await catalog.close();
        },
      ),
      { numRuns: 30 },
    );
  });
}

/** Two images have each ref, and indexes have images and an index. */
const CONTENT: ReadonlyMap<Digest, Image | ImageIndexManifest> = new Map(
  (() => {
    const images = ['a', 'b', 'c', 'd'].map((name, place) =>
      imageOf(name, { labels: { [REF]: refOf(String(place % 2)) } }),
    );
    const inner = indexOf('inner', images.slice(0, 2));
    return [...images, inner, indexOf('outer', [inner, images[2] as Image])].map(
      (content) => [content.digest, content] as const,
    );
  })(),
);

/** Reads a manifest, or sets, removes or replaces tags of a repository. */
type Step =
  | { readonly read: Digest }
  | { readonly repository: string; readonly tags: ReadonlyMap<string, Digest>; readonly whole: boolean };

const digest = fc.constantFrom(...CONTENT.keys());
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ read: digest }),
  fc.record({
    repository: fc.constantFrom('one', 'two', 'three'),
    tags: fc
      .dictionary(fc.constantFrom('latest', 'beta'), digest, { minKeys: 1 })
      .map((tags) => new Map(Object.entries(tags))),
    whole: fc.constant(true),
  }),
  fc.record({
    repository: fc.constantFrom('one', 'two', 'three'),
    tags: digest.map((one) => new Map([['latest', one]])),
    whole: fc.constant(false),
  }),
  fc.record({
    repository: fc.constantFrom('one', 'two', 'three'),
    tags: fc.constant(new Map<string, Digest>()),
    whole: fc.boolean(),
  }),
);

/** Changes that remove a tag, or the whole repository. */
function changeOf(one: Step): CatalogChange {
  if ('read' in one) return put(CONTENT.get(one.read) as Image);
  const { repository, tags, whole } = one;
  if (tags.size === 0) return whole ? { kind: 'gone', repository } : { kind: 'tag-gone', repository, tag: 'latest' };
  const records = [...tags].map(([tag, its]) => ({ tag, digest: its }));
  return whole
    ? { kind: 'tags', repository, tags: records }
    : { kind: 'tag', repository, tag: records[0] as TagRecord };
}

/** A simple, slow model of {@link Catalog.commit}. */
class Model {
  readonly #read = new Set<Digest>();
  readonly repositories = new Map<string, Map<string, Digest>>();

  /** Applies changes; returns the marked repositories. */
  commit(steps: readonly Step[]): readonly string[] {
    const dirty = new Set<string>();
    const read = new Set<Digest>();
    const digests = new Set<Digest>();
    for (const one of steps) {
      if ('read' in one) {
        this.#read.add(one.read);
        read.add(one.read);
        continue;
      }
      const { repository, tags, whole } = one;
      const before = this.repositories.get(repository) ?? new Map<string, Digest>();
      const after = whole ? new Map(tags) : new Map([...before, ...tags]);
      if (!whole && tags.size === 0) after.delete('latest');
      if (whole && tags.size === 0) {
        if (this.repositories.delete(repository)) dirty.add(repository);
      } else if (this.repositories.has(repository) || tags.size > 0) this.repositories.set(repository, after);
      for (const tag of new Set([...before.keys(), ...after.keys()])) {
        if (before.get(tag) === after.get(tag)) continue;
        dirty.add(repository);
        for (const its of [before.get(tag), after.get(tag)]) if (its !== undefined) digests.add(its);
      }
    }
    for (const [name, tags] of this.repositories)
      if ([...this.#reached(tags.values())].some((its) => read.has(its))) dirty.add(name);
    const refs = new Set([...this.#reached([...digests, ...read])].flatMap((its) => this.#refs(its)));
    for (const name of this.holding(refs)) dirty.add(name);
    return [...dirty].toSorted();
  }

  /** Returns the repositories whose tags lead to one of these refs. */
  holding(refs: ReadonlySet<string>): readonly string[] {
    return [...this.repositories]
      .flatMap(([name, tags]) =>
        [...this.#reached(tags.values())].some((its) => this.#refs(its).some((ref) => refs.has(ref))) ? [name] : [],
      )
      .toSorted();
  }

  stored(): number {
    const bytes = [...this.#read].map((its) => {
      const content = CONTENT.get(its) as Image | ImageIndexManifest;
      return 'kind' in content ? manifestBytes(content) : imageBytes(content, NO_PNGS);
    });
    return (
      bytes.reduce((sum, its) => sum + its, 0) +
      TAG_BYTES * [...this.repositories.values()].reduce((sum, { size }) => sum + size, 0)
    );
  }

  prune(): number {
    const reached = this.#reached([...this.repositories.values()].flatMap((tags) => [...tags.values()]));
    const lost = [...this.#read].filter((its) => !reached.has(its));
    for (const its of lost) this.#read.delete(its);
    return lost.length;
  }

  #refs(its: Digest): readonly string[] {
    const content = CONTENT.get(its);
    return this.#read.has(its) && content !== undefined && !('kind' in content) ? Object.values(content.labels) : [];
  }

  /** Returns digests with all known manifests that they lead to. */
  #reached(from: Iterable<Digest>): ReadonlySet<Digest> {
    const reached = new Set<Digest>();
    const waiting = [...from];
    for (let its = waiting.pop(); its !== undefined; its = waiting.pop()) {
      reached.add(its);
      const content = CONTENT.get(its);
      if (this.#read.has(its) && content !== undefined && 'kind' in content)
        waiting.push(...content.manifests.map((child) => child.digest));
    }
    return reached;
  }
}
