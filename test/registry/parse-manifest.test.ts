import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { digestOf } from '../../src/registry/digest.ts';
import type { Manifest } from '../../src/registry/manifest.ts';
import { parseManifest } from '../../src/registry/parse-manifest.ts';
import { RegistryError } from '../../src/registry/registry-error.ts';

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';

const config = { mediaType: OCI_CONFIG, digest: digestOf('config'), size: 6 };

function image(changes: object = {}): object {
  return { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], ...changes };
}

function child(name: string, changes: object = {}): object {
  return {
    mediaType: OCI_MANIFEST,
    digest: digestOf(name),
    size: 3,
    platform: { os: 'linux', architecture: 'amd64' },
    ...changes,
  };
}

function index(manifests: unknown, changes: object = {}): object {
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...changes };
}

function parse(document: unknown, mediaType?: string): Manifest {
  return parseText(JSON.stringify(document), mediaType);
}

function parseText(text: string, mediaType?: string): Manifest {
  const bytes = Buffer.from(text);
  return parseManifest(bytes, { mediaType, digest: digestOf(bytes) });
}

function childrenOf(manifest: Manifest): string[] {
  assert.equal(manifest.kind, 'index');
  return manifest.kind === 'index' ? manifest.manifests.map(({ digest }) => digest) : [];
}

test('an OCI image manifest has its config and its annotations', () => {
  const document = image({ annotations: { key: 'value' } });
  const text = JSON.stringify(document);
  assert.deepEqual(parse(document, OCI_MANIFEST), {
    kind: 'image',
    mediaType: OCI_MANIFEST,
    digest: digestOf(text),
    size: text.length,
    config,
    annotations: { key: 'value' },
  });
});

test('annotations may be absent or null', () => {
  for (const changes of [{}, { annotations: null }]) {
    const manifest = parse(image(changes));
    assert.deepEqual(manifest.kind === 'image' && manifest.annotations, {});
  }
});

test('annotations survive unchanged, whatever their keys and values', () => {
  const long = 'x'.repeat(1024 * 1024);
  const text = `{"schemaVersion":2,"mediaType":"${OCI_MANIFEST}","config":${JSON.stringify(config)},"layers":[],
    "annotations":{"__proto__":"p","constructor":"c","toString":"t","🎉\\n":"line\\nline","long":"${long}"}}`;
  const manifest = parseText(text);
  assert.ok(manifest.kind === 'image');
  assert.deepEqual(Object.entries(manifest.annotations), [
    ['__proto__', 'p'],
    ['constructor', 'c'],
    ['toString', 't'],
    ['🎉\n', 'line\nline'],
    ['long', long],
  ]);
});

test('an annotation that is not a string is malformed, and named', () => {
  assert.throws(() => parse(image({ annotations: { good: 'a', bad: 1 } })), {
    code: 'malformed',
    message: /annotations\["bad"\]/,
  });
});

test('an annotation that is null is empty; one that some clients cannot read unchanged is malformed, and named', () => {
  const manifest = parse(image({ annotations: { a: null, b: 'c' } }));
  assert.deepEqual(manifest.kind === 'image' && manifest.annotations, { a: '', b: 'c' });
  assert.throws(() => parse(image({ annotations: { a: '\ud800' } })), {
    code: 'malformed',
    message: 'annotations["a"]: expected Unicode text without NUL',
  });
  assert.throws(() => parse(image({ annotations: { 'a\0b': '' } })), {
    code: 'malformed',
    message: 'the key of annotations["a\\u0000b"]: expected Unicode text without NUL',
  });
});

test('Docker schema 2 has no annotations', () => {
  const manifest = parse(
    image({ mediaType: DOCKER_MANIFEST, config: { ...config, mediaType: DOCKER_CONFIG }, annotations: { a: 'b' } }),
    DOCKER_MANIFEST,
  );
  assert.deepEqual(manifest.kind === 'image' && manifest.annotations, {});
});

test('a manifest that is not an image is an artifact', () => {
  const artifacts: [string, object, string?][] = [
    ['config of another kind', image({ config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } })],
    ['empty config', image({ config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' } })],
    ['artifactType', image({ artifactType: 'application/vnd.example.sbom' })],
    ['no config', image({ config: undefined })],
    ['index with artifactType', index([], { artifactType: 'application/vnd.example' })],
    [
      'Docker schema 1',
      { schemaVersion: 1, name: 'a', fsLayers: [] },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    ],
    ['Docker schema 1, announced as JSON', { schemaVersion: 1, name: 'a', fsLayers: [] }, 'application/json'],
    ['unknown media type', { mediaType: 'application/vnd.oci.artifact.manifest.v1+json', blobs: [] }],
    ['unknown media type in the header', { blobs: [] }, 'application/vnd.example+json'],
  ];
  for (const [name, document, mediaType] of artifacts) assert.equal(parse(document, mediaType).kind, 'artifact', name);
});

test('an artifactType that is the media type of an image config means an image', () => {
  for (const artifactType of [OCI_CONFIG, DOCKER_CONFIG, 'Application/vnd.OCI.image.config.v1+JSON']) {
    assert.equal(parse(image({ artifactType })).kind, 'image', artifactType);
    const children = [
      child('oci', { artifactType }),
      child('docker', { mediaType: DOCKER_MANIFEST, artifactType }),
      child('nested', { mediaType: OCI_INDEX, artifactType }),
    ];
    assert.deepEqual(
      childrenOf(parse(index(children, { artifactType }))),
      ['oci', 'docker', 'nested'].map((name) => digestOf(name)),
    );
    assert.equal(
      parse(image({ artifactType, config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' } })).kind,
      'artifact',
    );
  }
});

test('an image index names its images in its order, each once', () => {
  const manifest = parse(index([child('b'), child('a'), child('b', { size: 4 })]));
  assert.deepEqual(childrenOf(manifest), [digestOf('b'), digestOf('a')]);
});

test('an image index leaves out what cannot be an image', () => {
  const manifest = parse(
    index([
      child('attestation', { platform: { os: 'unknown', architecture: 'unknown' } }),
      child('chart', { mediaType: 'application/vnd.example' }),
      child('signature', { artifactType: 'application/vnd.example' }),
      child('image'),
      child('without platform', { platform: undefined }),
      child('nested', { mediaType: OCI_INDEX }),
      child('nested list', { mediaType: DOCKER_LIST }),
      child('docker', { mediaType: DOCKER_MANIFEST }),
      child('capitals', { mediaType: OCI_MANIFEST.toUpperCase() }),
    ]),
  );
  assert.deepEqual(
    childrenOf(manifest),
    ['image', 'without platform', 'nested', 'nested list', 'docker', 'capitals'].map((name) => digestOf(name)),
  );
});

test('a child that is malformed or of an unknown kind is named, and does not hide others', () => {
  const broken = [
    'x',
    {},
    child('b', { digest: 'x' }),
    child('c', { digest: `sha384:${'0'.repeat(96)}` }),
    child('d', { platform: 'linux' }),
    child('e', { size: -1 }),
  ];
  const manifest = parse(index([child('a'), ...broken, child('z')]));
  assert.deepEqual(childrenOf(manifest), [digestOf('a'), digestOf('z')]);
  assert.deepEqual(manifest.kind === 'index' && manifest.faults, [
    'manifests[1]: expected a descriptor',
    'manifests[2].mediaType: expected a media type',
    'manifests[3].digest: expected a sha256 or sha512 digest',
    'manifests[4].digest: expected a sha256 or sha512 digest',
    'manifests[5].platform: expected an object',
    'manifests[6].size: expected a number of bytes',
  ]);
});

test('an index of more than 1000 images is refused; what cannot be an image does not count', () => {
  const children = Array.from({ length: 1000 }, (_, number) => child(`image ${number}`));
  const others = Array.from({ length: 5000 }, (_, number) =>
    child(`chart ${number}`, { mediaType: 'application/vnd.example' }),
  );
  assert.equal(childrenOf(parse(index([...others, ...children, ...children]))).length, 1000);
  for (const more of [child('one more'), 'broken'])
    assert.throws(() => parse(index([...children, more])), {
      code: 'too-large',
      message: /^manifests: more than 1000 images/,
    });
});

test('a manifest list is an index, and manifests may be null', () => {
  assert.deepEqual(
    childrenOf(parse(index([child('a', { mediaType: DOCKER_MANIFEST })], { mediaType: DOCKER_LIST }), DOCKER_LIST)),
    [digestOf('a')],
  );
  assert.deepEqual(childrenOf(parse(index(null))), []);
});

test('header and body agree on the media type, or the header says nothing', () => {
  assert.throws(() => parse(image(), DOCKER_MANIFEST), { code: 'malformed', message: /mediaType/ });
  for (const generic of [undefined, 'application/json', 'application/octet-stream', 'text/plain']) {
    assert.equal(parse(image(), generic).mediaType, OCI_MANIFEST);
  }
  assert.equal(parse(image({ mediaType: undefined }), OCI_MANIFEST).kind, 'image');
});

test('without a media type the shape decides', () => {
  assert.equal(parse(image({ mediaType: undefined }), 'application/json').mediaType, OCI_MANIFEST);
  assert.equal(parse(index([], { mediaType: undefined })).mediaType, OCI_INDEX);
  assert.throws(() => parse({ message: 'slow down' }, 'application/json'), { code: 'malformed' });
});

test('another shape is malformed and says where', () => {
  const cases: [RegExp, unknown][] = [
    [/JSON object/, []],
    [/schemaVersion/, image({ schemaVersion: 3 })],
    [/^config: /, image({ config: 'x' })],
    [/config\.mediaType/, image({ config: { ...config, mediaType: undefined } })],
    [/config\.digest/, image({ config: { ...config, digest: 'sha256:short' } })],
    [/config\.size/, image({ config: { ...config, size: -1 } })],
    [/^annotations: /, image({ annotations: ['a'] })],
    [/^manifests: /, index({})],
    [/^manifests: expected none/, image({ manifests: [] })],
    [/^layers: expected none/, index([], { layers: [] })],
    [/^config: expected none/, index([], { config })],
  ];
  for (const [message, document] of cases)
    assert.throws(() => parse(document), { code: 'malformed', message }, String(message));
  for (const text of ['', '{', '<html></html>', 'null'])
    assert.throws(() => parseText(text, OCI_MANIFEST), { code: 'malformed' });
  assert.throws(
    () => parseManifest(Buffer.from([0x7b, 0xff, 0x7d]), { mediaType: OCI_MANIFEST, digest: digestOf('') }),
    { code: 'malformed' },
  );
});

test('any bytes give a manifest or a RegistryError', () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, 1, 2, -1, '', OCI_MANIFEST, OCI_INDEX, OCI_CONFIG, digestOf('x'), 'unknown'),
      fc.jsonValue({ maxDepth: 1 }),
      tie('object'),
      fc.array(tie('any'), { maxLength: 3 }),
    ),
    object: fc.dictionary(
      fc.constantFrom(
        'schemaVersion',
        'mediaType',
        'config',
        'layers',
        'manifests',
        'annotations',
        'artifactType',
        'digest',
        'size',
        'platform',
        'os',
        '__proto__',
      ),
      tie('any'),
    ),
  })).object;
  const text = fc.oneof(
    value.map((document) => JSON.stringify(document)),
    fc.string({ unit: 'binary' }),
  );
  const mediaType = fc.option(
    fc.oneof(fc.constantFrom(OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, 'application/json'), fc.string()),
    { nil: undefined },
  );
  fc.assert(
    fc.property(text, mediaType, (document, type) => {
      try {
        assert.ok(['image', 'index', 'artifact'].includes(parseText(document, type).kind));
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error));
        assert.equal(error.code, 'malformed');
      }
    }),
    { numRuns: 1000 },
  );
});
