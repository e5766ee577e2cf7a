/** What the catalog remembers, and that it forgets nothing else. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Image, KnownManifest } from '../../src/catalog/catalog.ts';
import { SqliteCatalog } from '../../src/catalog/sqlite-catalog.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import type { ArtifactManifest, ImageIndexManifest } from '../../src/registry/manifest.ts';
import { temporaryFolder } from './temporary-folder.ts';

const REGISTRY = 'https://registry.example';
const NO_PNGS = new Map<Digest, Buffer>();
const OTHER_REGISTRY = 'https://other.example';

function openIn(t: TestContext, folder: string): SqliteCatalog {
  const catalog = SqliteCatalog.open(join(folder, 'catalog.sqlite'), { onWarning: (warning) => assert.fail(warning) });
  t.after(() => {
    catalog.close();
  });
  return catalog;
}

function openNew(t: TestContext): SqliteCatalog {
  return openIn(t, temporaryFolder(t));
}

function imageOf(name: string, more: Partial<Image> = {}): Image {
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(name),
    size: name.length,
    os: 'linux',
    architecture: 'amd64',
    annotations: {},
    icons: [],
    labels: { 'org.flatpak.ref': `app/${name}/x86_64/stable` },
    ...more,
  };
}

function indexOf(name: string, children: readonly (Image | ImageIndexManifest)[]): ImageIndexManifest {
  return {
    kind: 'index',
    mediaType: 'application/vnd.oci.image.index.v1+json',
    digest: digestOf(name),
    size: name.length,
    manifests: children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
}

function artifactOf(name: string): ArtifactManifest {
  return { kind: 'artifact', mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(name), size: name.length };
}

function descriptorOf({ mediaType, digest, size }: Image | ImageIndexManifest | ArtifactManifest): KnownManifest['descriptor'] {
  return { mediaType, digest, size };
}

test('a catalog keeps its id when it is opened again; one that is begun anew has another', (t) => {
  const file = join(temporaryFolder(t), 'catalog.sqlite');
  const idOf = (): string => {
    const catalog = SqliteCatalog.open(file, { onWarning: (warning) => assert.fail(warning) });
    catalog.close();
    return catalog.id;
  };
  const id = idOf();
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.equal(idOf(), id);
  SqliteCatalog.setAside(file);
  assert.notEqual(idOf(), id);
});

suite('manifests', () => {
  test('an image is found by its digest, with and without its labels, also after closing and opening again', (t) => {
    const folder = temporaryFolder(t);
    const image = imageOf('one', { annotations: { created: 'today' } });
    const writer = SqliteCatalog.open(join(folder, 'catalog.sqlite'), { onWarning: (warning) => assert.fail(warning) });
    writer.putImage(REGISTRY, image, NO_PNGS);
    writer.close();

    const catalog = openIn(t, folder);
    assert.deepEqual(catalog.image(REGISTRY, image.digest), image);
    assert.deepEqual(catalog.manifest(REGISTRY, image.digest), { kind: 'image', descriptor: descriptorOf(image), os: 'linux', architecture: 'amd64' });
  });

  test('an image has its icons, and of equal ones the PNG is kept as long as one of them is', (t) => {
    const catalog = openNew(t);
    const [png, other] = [Buffer.from('a PNG'), Buffer.from('another PNG')];
    const icons: Image['icons'] = [
      { place: 'label', key: '64', png: digestOf(png) },
      { place: 'annotation', key: '64', png: digestOf(other) },
    ];
    const [both, one] = [imageOf('both', { icons }), imageOf('one', { icons: icons.slice(0, 1) })];
    catalog.putImage(REGISTRY, both, new Map([[digestOf(png), png], [digestOf(other), other]]));
    catalog.putImage(REGISTRY, one, new Map([[digestOf(png), png]]));
    const [written, stored] = [catalog.image(REGISTRY, both.digest), catalog.image(REGISTRY, both.digest)];
    assert.notEqual(stored, written);
    for (const read of [written, stored]) assert.deepEqual(new Set(read?.icons), new Set(icons));
    assert.deepEqual(catalog.image(REGISTRY, one.digest), one);
    assert.deepEqual([catalog.png(digestOf(png)), catalog.png(digestOf(other))], [png, other]);
    catalog.setTag(REGISTRY, 'a', { tag: 'latest', digest: one.digest });
    assert.equal(catalog.prune(), 1);
    assert.deepEqual(catalog.png(digestOf(png)), png);
    assert.throws(() => catalog.png(digestOf(other)), { name: 'CatalogError', code: 'corrupt' });
  });

  test('an index names its children in its order and what is known of them, and is no image', (t) => {
    const catalog = openNew(t);
    const [zebra, ant, mole] = [imageOf('zebra', { architecture: 'arm64' }), indexOf('ant', []), artifactOf('mole')];
    const index = indexOf('index', [zebra, ant, imageOf('fox'), zebra]);
    catalog.putManifest(REGISTRY, { ...index, manifests: [...index.manifests, mole] });
    const manifests = (): unknown => {
      const known = catalog.manifest(REGISTRY, index.digest);
      return known?.kind === 'index' ? known.manifests.map(({ digest, kind, architecture }) => [digest, kind, architecture]) : known;
    };
    assert.deepEqual(catalog.manifest(REGISTRY, index.digest)?.descriptor, descriptorOf(index));
    const unknown = [zebra, ant, imageOf('fox'), zebra, mole].map(({ digest }) => [digest, undefined, undefined]);
    assert.deepEqual(manifests(), unknown);
    catalog.putImage(REGISTRY, zebra, NO_PNGS);
    for (const manifest of [ant, mole]) catalog.putManifest(REGISTRY, manifest);
    assert.deepEqual(manifests(), [
      [zebra.digest, 'image', 'arm64'],
      [ant.digest, 'index', undefined],
      [digestOf('fox'), undefined, undefined],
      [zebra.digest, 'image', 'arm64'],
      [mole.digest, 'artifact', undefined],
    ]);
    assert.equal(catalog.image(REGISTRY, index.digest), undefined);
  });

  test('an artifact is known and is no image', (t) => {
    const catalog = openNew(t);
    const artifact = artifactOf('signature');
    catalog.putManifest(REGISTRY, artifact);
    assert.deepEqual(catalog.manifest(REGISTRY, artifact.digest), { kind: 'artifact', descriptor: descriptorOf(artifact) });
    assert.equal(catalog.image(REGISTRY, artifact.digest), undefined);
  });

  test('a digest is whole once all is known that it leads to, however deep', (t) => {
    const catalog = openNew(t);
    const [first, second] = [imageOf('first'), imageOf('second')];
    const inner = indexOf('inner', [first, second]);
    const outer = indexOf('outer', [first, inner]);
    for (const put of [() => catalog.putManifest(REGISTRY, outer), () => catalog.putImage(REGISTRY, first, NO_PNGS), () => catalog.putManifest(REGISTRY, inner), () => catalog.putImage(REGISTRY, second, NO_PNGS)]) {
      assert.equal(catalog.isWhole(REGISTRY, outer.digest), false);
      put();
    }
    assert.deepEqual([outer, inner, first].map(({ digest }) => catalog.isWhole(REGISTRY, digest)), [true, true, true]);
  });

  test('an index has its faults and is never whole, nor is what leads to it', (t) => {
    const catalog = openNew(t);
    const image = imageOf('image');
    const inner = { ...indexOf('inner', [image]), faults: ['manifests[1].digest: bad', 'manifests[2]: bad'] };
    const outer = indexOf('outer', [inner]);
    catalog.putImage(REGISTRY, image, NO_PNGS);
    for (const manifest of [inner, outer]) catalog.putManifest(REGISTRY, manifest);
    const known = catalog.manifest(REGISTRY, inner.digest);
    assert.deepEqual(known?.kind === 'index' && [known.manifests.map(({ digest }) => digest), known.faults], [[image.digest], inner.faults]);
    for (const { digest } of [inner, outer]) assert.equal(catalog.isWhole(REGISTRY, digest), false);
    catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: outer.digest });
    assert.equal(catalog.prune(), 0);
  });

  test('what one registry has given is not known of another', (t) => {
    const catalog = openNew(t);
    const image = imageOf('image');
    const index = indexOf('index', [image]);
    catalog.putImage(REGISTRY, image, NO_PNGS);
    catalog.putManifest(OTHER_REGISTRY, index);
    assert.equal(catalog.manifest(OTHER_REGISTRY, image.digest), undefined);
    assert.equal(catalog.image(OTHER_REGISTRY, image.digest), undefined);
    assert.equal(catalog.isWhole(OTHER_REGISTRY, index.digest), false);
    const known = catalog.manifest(OTHER_REGISTRY, index.digest);
    assert.deepEqual(known?.kind === 'index' && known.manifests, [{ digest: image.digest, kind: undefined, architecture: undefined }]);
    catalog.putImage(OTHER_REGISTRY, image, NO_PNGS);
    assert.equal(catalog.isWhole(OTHER_REGISTRY, index.digest), true);
    for (const registry of [REGISTRY, OTHER_REGISTRY]) assert.deepEqual(catalog.image(registry, image.digest), image);
  });

  test('a digest that was never put is not known', (t) => {
    const catalog = openNew(t);
    assert.equal(catalog.isWhole(REGISTRY, digestOf('nothing')), false);
    assert.equal(catalog.manifest(REGISTRY, digestOf('nothing')), undefined);
    assert.equal(catalog.image(REGISTRY, digestOf('nothing')), undefined);
  });

  test('putting again is safe, and the last word holds when a digest turns out to be of another kind', (t) => {
    const catalog = openNew(t);
    const image = imageOf('same');
    const index = indexOf('same', [imageOf('child')]);
    catalog.putImage(REGISTRY, image, NO_PNGS);
    catalog.putImage(REGISTRY, image, NO_PNGS);
    // Not read in between: an image that was just written is kept in memory until it is.
    catalog.putManifest(REGISTRY, index);
    catalog.putManifest(REGISTRY, index);
    assert.equal(catalog.image(REGISTRY, image.digest), undefined);
    assert.deepEqual(catalog.manifest(REGISTRY, image.digest), { kind: 'index', descriptor: descriptorOf(index), manifests: [{ digest: digestOf('child'), kind: undefined, architecture: undefined }] });
    catalog.putImage(REGISTRY, image, NO_PNGS);
    assert.deepEqual(catalog.image(REGISTRY, image.digest), image);
  });

  test('sha512 digests are kept beside sha256 ones', (t) => {
    const catalog = openNew(t);
    const image = imageOf('long', { digest: digestOf('long', 'sha512') });
    catalog.putImage(REGISTRY, image, NO_PNGS);
    assert.deepEqual(catalog.image(REGISTRY, image.digest), image);
  });

  test('keys and values of every kind come back unchanged', (t) => {
    const catalog = openNew(t);
    const labels: Record<string, string> = Object.fromEntries([
      ['__proto__', 'a key like others'],
      ['constructor', ''],
      ['', 'empty key'],
      ['emoji \u{1F600}', '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}'],
      ['new\nline\r\n\t', 'a\nb\u2028c\u2029'],
      ['nul\0key', 'a\0b\0'],
      ['lone \ud800', '\udfff lone \ud83d'],
      ["quote'\"\\", "'; DROP TABLE image; --"],
      ['1 MiB', 'é'.repeat(512 * 1024)],
      ['7', 'a key that looks like a number'],
    ]);
    const image = imageOf('strange', { labels, annotations: labels });
    catalog.putImage(REGISTRY, image, NO_PNGS);
    const written = catalog.image(REGISTRY, image.digest);
    const stored = catalog.image(REGISTRY, image.digest);
    assert.notEqual(stored, written);
    for (const read of [written, stored]) {
      assert.deepEqual(read, image);
      assert.deepEqual(Object.keys(read?.labels ?? {}), Object.keys(labels));
      assert.equal(Object.getPrototypeOf(read?.labels), Object.prototype);
    }
  });
});

/** Once it is read, it is not. */
function inMemory(catalog: SqliteCatalog, image: Image): boolean {
  return catalog.image(REGISTRY, image.digest) === image;
}

function large(name: string): Image {
  return imageOf(name, { labels: { text: name.padEnd(1_000_000, '-') } });
}

suite('images that were just written are in memory until they are read', () => {
  test('as far as there is room, for large ones and for many', (t) => {
    for (const images of [Array.from({ length: 15 }, (_, number) => large(`image ${number}`)), Array.from({ length: 13_000 }, (_, number) => imageOf(`image ${number}`))]) {
      const catalog = openNew(t);
      catalog.transaction(() => {
        for (const image of images) catalog.putImage(REGISTRY, image, NO_PNGS);
      });
      assert.equal(inMemory(catalog, images.at(0) as Image), false);
      assert.equal(inMemory(catalog, images.at(-1) as Image), true);
      assert.equal(inMemory(catalog, images.at(-1) as Image), false);
    }
  });

  test('what was read makes room', (t) => {
    const catalog = openNew(t);
    const first = large('first');
    catalog.putImage(REGISTRY, first, NO_PNGS);
    for (let number = 0; number < 30; number++) {
      const image = large(`image ${number}`);
      catalog.putImage(REGISTRY, image, NO_PNGS);
      assert.equal(inMemory(catalog, image), true);
    }
    assert.equal(inMemory(catalog, first), true);
  });

  test('whatever else is pruned', (t) => {
    const catalog = openNew(t);
    const [kept, lost] = [imageOf('kept'), imageOf('lost')];
    for (const image of [kept, lost]) catalog.putImage(REGISTRY, image, NO_PNGS);
    catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: kept.digest });
    assert.equal(catalog.prune(), 1);
    assert.equal(inMemory(catalog, kept), true);
    assert.equal(catalog.image(REGISTRY, lost.digest), undefined);
  });
});

suite('tags and repositories', () => {
  test('tags and repositories come in code point order', (t) => {
    const catalog = openNew(t);
    // In UTF-16 order U+1F600 would come before U+FF5E.
    const names = ['10', '9', 'A', 'Z', 'a', 'a-b', 'a/b', 'z', '\uff5e', '\u{1f600}'];
    const digest = digestOf('any');
    for (const name of names.toReversed()) catalog.replaceTags(REGISTRY, name, names.toReversed().map((tag) => ({ tag, digest })));
    const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(catalog.repositories(REGISTRY).map(({ name }) => name), sorted);
    assert.deepEqual(catalog.tags(REGISTRY, 'a').map(({ tag }) => tag), sorted);
  });

  test('a tag moves, another is added and a third goes', (t) => {
    const catalog = openNew(t);
    const [one, two] = [digestOf('1'), digestOf('2')];
    catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: one }, { tag: 'old', digest: one }]);
    catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: two }, { tag: 'new', digest: one }]);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), [{ tag: 'latest', digest: two }, { tag: 'new', digest: one }]);

    catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: one });
    catalog.removeTag(REGISTRY, 'app', 'new');
    catalog.setTag(REGISTRY, 'app', { tag: 'newer', digest: two });
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), [{ tag: 'latest', digest: one }, { tag: 'newer', digest: two }]);
  });

  test('a single tag makes its repository known; removing one does not', (t) => {
    const catalog = openNew(t);
    catalog.removeTag(REGISTRY, 'nowhere', 'latest');
    assert.deepEqual(catalog.repositories(REGISTRY), []);
    catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: digestOf('1') });
    assert.deepEqual(catalog.repositories(REGISTRY), [{ name: 'app', error: undefined, missedScans: 0 }]);
  });

  test('registries do not see each other’s repositories', (t) => {
    const catalog = openNew(t);
    catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: digestOf('1') }]);
    catalog.replaceTags(OTHER_REGISTRY, 'app', [{ tag: 'latest', digest: digestOf('2') }]);
    catalog.removeRepository(REGISTRY, 'app');
    assert.deepEqual(catalog.repositories(REGISTRY), []);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), []);
    assert.deepEqual(catalog.tags(OTHER_REGISTRY, 'app'), [{ tag: 'latest', digest: digestOf('2') }]);
  });

  test('a failure keeps the tags, a missed scan is counted, and a good read clears both', (t) => {
    const catalog = openNew(t);
    const tags = [{ tag: 'latest', digest: digestOf('1') }];
    catalog.replaceTags(REGISTRY, 'app', tags);
    catalog.recordFailure(REGISTRY, 'app', 'no answer within 30 s');
    assert.equal(catalog.recordMissed(REGISTRY, 'app'), 1);
    assert.equal(catalog.recordMissed(REGISTRY, 'app'), 2);
    assert.deepEqual(catalog.repositories(REGISTRY), [{ name: 'app', error: 'no answer within 30 s', missedScans: 2 }]);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), tags);

    catalog.replaceTags(REGISTRY, 'app', tags);
    assert.deepEqual(catalog.repositories(REGISTRY), [{ name: 'app', error: undefined, missedScans: 0 }]);
  });

  test('reading the same tags again writes nothing', (t) => {
    const folder = temporaryFolder(t);
    const catalog = openIn(t, folder);
    const tags = ['a', 'b', 'c'].map((tag) => ({ tag, digest: digestOf(tag) }));
    catalog.replaceTags(REGISTRY, 'app', tags);
    catalog.recordScanned(REGISTRY, ['one', 'two']);
    const log = readFileSync(join(folder, 'catalog.sqlite-wal'));
    catalog.replaceTags(REGISTRY, 'app', tags.toReversed());
    catalog.recordScanned(REGISTRY, ['two', 'one']);
    assert.deepEqual(readFileSync(join(folder, 'catalog.sqlite-wal')), log);
  });

  test('a repository that failed at its first read is known by its failure; one that was never known is not missed', (t) => {
    const catalog = openNew(t);
    catalog.recordFailure(REGISTRY, 'app', 'denied');
    assert.equal(catalog.recordMissed(REGISTRY, 'nowhere'), 0);
    assert.deepEqual(catalog.repositories(REGISTRY), [{ name: 'app', error: 'denied', missedScans: 0 }]);
  });
});

test('tags that are held are known for each registry, until others are or the registry is forgotten', (t) => {
  const folder = temporaryFolder(t);
  const catalog = openIn(t, folder);
  const held = new Map([['apps/one', new Set(['beta', 'latest'])], ['apps/two', new Set([''])]]);
  catalog.recordHeldTags(REGISTRY, held);
  catalog.recordHeldTags(OTHER_REGISTRY, new Map([['app', new Set(['latest'])]]));
  assert.deepEqual(catalog.heldTags(REGISTRY), held);
  catalog.recordHeldTags(REGISTRY, new Map([['apps/one', new Set(['beta'])]]));
  assert.deepEqual(catalog.heldTags(REGISTRY), new Map([['apps/one', new Set(['beta'])]]));
  catalog.keepRegistries(new Set([REGISTRY]));
  assert.deepEqual([catalog.heldTags(REGISTRY).size, catalog.heldTags(OTHER_REGISTRY).size], [1, 0]);
});

test('what full scans took is known for each registry, until the next one', (t) => {
  const catalog = openNew(t);
  assert.deepEqual(catalog.scanned(REGISTRY), []);
  catalog.recordScanned(REGISTRY, ['latest', 'stable', 'latest']);
  catalog.recordScanned(OTHER_REGISTRY, ['all']);
  assert.deepEqual(catalog.scanned(REGISTRY), ['latest', 'stable']);
  catalog.recordScanned(REGISTRY, ['beta']);
  assert.deepEqual(catalog.scanned(REGISTRY), ['beta']);
  assert.deepEqual(catalog.scanned(OTHER_REGISTRY), ['all']);
});

test('what is kept of a registry is counted, until it is forgotten', (t) => {
  const catalog = openNew(t);
  const png = Buffer.alloc(100_000);
  const image = imageOf('image', { labels: { long: 'x'.repeat(1_000_000) }, icons: [{ place: 'label', key: '64', png: digestOf(png) }] });
  const index = indexOf('index', Array.from({ length: 1000 }, (_, number) => imageOf(`child ${number}`)));
  catalog.putImage(REGISTRY, image, new Map([[digestOf(png), png]]));
  catalog.putManifest(OTHER_REGISTRY, index);
  catalog.replaceTags(OTHER_REGISTRY, 'app', Array.from({ length: 1000 }, (_, number) => ({ tag: String(number), digest: index.digest })));
  const [stored, other] = [REGISTRY, OTHER_REGISTRY].map((registry) => catalog.stored(registry)) as [number, number];
  assert.ok(stored > 1_100_000 && stored < 1_110_000, String(stored));
  assert.ok(other > 200_000 && other < 400_000, String(other));
  catalog.prune();
  assert.deepEqual([catalog.stored(REGISTRY), catalog.stored(OTHER_REGISTRY)], [0, other]);
});

suite('transactions', () => {
  test('a transaction gives what its function gives, and its writes stay', (t) => {
    const catalog = openNew(t);
    const image = imageOf('one');
    const known = catalog.transaction(() => {
      catalog.putImage(REGISTRY, image, NO_PNGS);
      return catalog.manifest(REGISTRY, image.digest)?.kind;
    });
    assert.equal(known, 'image');
    assert.deepEqual(catalog.image(REGISTRY, image.digest), image);
  });

  test('an error undoes all of a transaction and comes out as it is', (t) => {
    const catalog = openNew(t);
    const [before, after] = [imageOf('before'), imageOf('after')];
    catalog.putImage(REGISTRY, before, NO_PNGS);
    catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: before.digest }]);
    const reason = new Error('stop');
    assert.throws(
      () =>
        catalog.transaction(() => {
          catalog.putImage(REGISTRY, after, NO_PNGS);
          catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: after.digest }]);
          catalog.removeRepository(REGISTRY, 'other');
          throw reason;
        }),
      reason,
    );
    assert.equal(catalog.manifest(REGISTRY, after.digest), undefined);
    assert.equal(catalog.image(REGISTRY, after.digest), undefined);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), [{ tag: 'latest', digest: before.digest }]);
    catalog.putImage(REGISTRY, after, NO_PNGS);
    assert.deepEqual(catalog.image(REGISTRY, after.digest), after);
  });

  test('a write that fails within a transaction undoes all of it, whoever catches the error', (t) => {
    const catalog = openNew(t);
    const image = imageOf('one');
    assert.throws(() => {
      catalog.transaction(() => {
        catalog.putImage(REGISTRY, image, NO_PNGS);
        assert.throws(() => {
          catalog.transaction(() => {
            catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: image.digest });
            throw new Error('stop');
          });
        }, /stop/);
        assert.throws(() => catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: image.digest }), /already rolled back/);
      });
    }, /already rolled back/);
    assert.equal(catalog.image(REGISTRY, image.digest), undefined);
    assert.deepEqual(catalog.repositories(REGISTRY), []);
    catalog.putImage(REGISTRY, image, NO_PNGS);
    assert.deepEqual(catalog.image(REGISTRY, image.digest), image);
  });
});

suite('prune', () => {
  test('only what no tag leads to is forgotten, through indexes in indexes and from every repository', (t) => {
    const catalog = openNew(t);
    const [tagged, inIndex, inNested, lost, lostChild] = ['tagged', 'in index', 'in nested', 'lost', 'lost child'].map((name) => imageOf(name)) as [Image, Image, Image, Image, Image];
    const nested = indexOf('nested', [inNested]);
    const index = indexOf('index', [inIndex, nested, imageOf('not known')]);
    const lostIndex = indexOf('lost index', [lostChild, inIndex]);
    const signature = artifactOf('signature');
    catalog.transaction(() => {
      for (const image of [tagged, inIndex, inNested, lost, lostChild]) catalog.putImage(REGISTRY, image, NO_PNGS);
      for (const manifest of [nested, index, lostIndex, signature, artifactOf('lost artifact')]) catalog.putManifest(REGISTRY, manifest);
      catalog.replaceTags(REGISTRY, 'app', [{ tag: 'a', digest: tagged.digest }, { tag: 'b', digest: index.digest }, { tag: 'c', digest: signature.digest }]);
      catalog.putImage(OTHER_REGISTRY, tagged, NO_PNGS);
      catalog.replaceTags(OTHER_REGISTRY, 'copy', [{ tag: 'a', digest: tagged.digest }]);
    });

    assert.equal(catalog.prune(), 4);
    assert.equal(catalog.prune(), 0);
    for (const { digest } of [tagged, inIndex, inNested, nested, index, signature]) assert.notEqual(catalog.manifest(REGISTRY, digest), undefined);
    for (const { digest } of [lost, lostChild, lostIndex, artifactOf('lost artifact')]) {
      assert.equal(catalog.manifest(REGISTRY, digest), undefined);
      assert.equal(catalog.image(REGISTRY, digest), undefined);
    }

    // The other registry has given it, too.
    catalog.removeRepository(REGISTRY, 'app');
    assert.equal(catalog.prune(), 6);
    assert.deepEqual([catalog.image(REGISTRY, tagged.digest), catalog.image(OTHER_REGISTRY, tagged.digest)], [undefined, tagged]);
    catalog.removeTag(OTHER_REGISTRY, 'copy', 'a');
    assert.equal(catalog.prune(), 1);
    assert.equal(catalog.image(OTHER_REGISTRY, tagged.digest), undefined);
  });

  test('images that are kept in place of others are not forgotten', (t) => {
    const catalog = openNew(t);
    const [kept, old] = [imageOf('kept'), imageOf('old')];
    const index = indexOf('index', [imageOf('broken')]);
    catalog.putManifest(REGISTRY, index);
    for (const image of [kept, old]) catalog.putImage(REGISTRY, image, NO_PNGS);
    const record = { tag: 'latest', digest: index.digest, kept: [kept.digest] };
    catalog.setTag(REGISTRY, 'app', record);
    assert.equal(catalog.prune(), 1);
    assert.deepEqual(catalog.image(REGISTRY, kept.digest), kept);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), [record]);
    catalog.replaceTags(REGISTRY, 'app', [{ tag: 'latest', digest: index.digest }]);
    assert.deepEqual(catalog.tags(REGISTRY, 'app'), [{ tag: 'latest', digest: index.digest }]);
    assert.equal(catalog.prune(), 1);
  });

  test('what was not pruned before the file was opened is not looked for until something changes', (t) => {
    const folder = temporaryFolder(t);
    const [kept, lost] = [imageOf('kept'), imageOf('lost')];
    const before = SqliteCatalog.open(join(folder, 'catalog.sqlite'), { onWarning: (warning) => assert.fail(warning) });
    for (const image of [kept, lost]) before.putImage(REGISTRY, image, NO_PNGS);
    before.close();
    const catalog = openIn(t, folder);
    assert.equal(catalog.prune(), 0);
    catalog.setTag(REGISTRY, 'app', { tag: 'latest', digest: kept.digest });
    assert.equal(catalog.prune(), 1);
    assert.deepEqual([catalog.image(REGISTRY, kept.digest), catalog.image(REGISTRY, lost.digest)], [kept, undefined]);
  });
});
