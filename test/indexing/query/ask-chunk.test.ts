/** Answers to questions. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import type { Chunk, ReadyQuestion } from '../../../src/indexing/chunk/chunk.ts';
import { hashOf } from '../../../src/indexing/chunk/columns.ts';
import { EMPTY_PART, joinParts } from '../../../src/indexing/chunk/part.ts';
import type { PlacedImage, ShownRepository } from '../../../src/indexing/render/document.ts';
import { prepareQuery } from '../../../src/indexing/query/ask-chunk.ts';
import { Effort } from '../../../src/indexing/query/effort.ts';
import { parseQuery } from '../../../src/indexing/query/parse-query.ts';
import { asksForRefs, flatpakQuery, type Query } from '../../../src/indexing/query/query.ts';
import { type Digest, digestOf } from '../../../src/registry/digest.ts';
import type { MemoryRegistry, PushedImage } from '../../sources/memory-registry.ts';
import { chunksOf, textOf } from '../chunk/chunks-of.ts';
import { documentOf } from '../chunk/shown-repositories.ts';
import type { ImageJson, IndexJson } from '../test-state.ts';
import { answerText, named, namesIn, TestState } from '../test-state.ts';

const LONG = 'a value so long that columns would not keep it; '.repeat(10);
const EMPTY = '{"Registry":"http://registry.example.org","Results":[]}';

function app(name: string, more: PushedImage = {}): PushedImage {
  return { ...more, ...named(name, { 'org.flatpak.ref': `app/${name}`, ...more.labels }) };
}

/** Pushes two apps, one in lists and one as images. */
function fill(registry: MemoryRegistry): void {
  const push = (name: string, more?: PushedImage): Digest =>
    registry.pushImage('apps/list', undefined, app(name, more));
  const [amd, arm] = [
    push('amd', { labels: { 'a:b': '1' } }),
    push('arm', { architecture: 'arm64', labels: { long: LONG } }),
  ];
  registry.tag('apps/list', 'stable', registry.pushIndex('apps/list', 'latest', [amd, arm]));
  registry.pushIndex('apps/list', 'v1', [push('old', { labels: { long: `${LONG}!` } }), arm]);
  registry.pushImage('apps/one', 'latest', app('one', { annotations: { note: 'a b+c' }, labels: { empty: '' } }));
  registry.pushImage('apps/one', 'v2-beta', app('two', { os: 'windows', labels: { long: LONG, 'a:b': '2' } }));
  registry.pushImage('other', 'latest', { ...named('container'), annotations: { 'org.flatpak.ref': 'annotated' } });
}

const ALL = ['amd', 'arm', 'old', 'arm', 'one', 'two', 'container'];

function ask(chunks: readonly Chunk[], query: Query): Promise<string> {
  return answerFrom(chunks, (chunk) => prepareQuery(query, new Effort())(chunk));
}

/** Computes an answer chunk by chunk. */
async function answerFrom(
  chunks: readonly Chunk[],
  partOf: (chunk: Chunk) => ReturnType<ReturnType<typeof prepareQuery>>,
): Promise<string> {
  const parts = await Promise.all(chunks.map(async (chunk) => ({ part: await partOf(chunk), slice: chunk.slice })));
  return textOf(joinParts('http://registry.example.org', parts));
}

suite('the language', () => {
  const cases: readonly (readonly [query: string, names: readonly string[]])[] = [
    ['', ALL],
    ['repository=apps/one', ['one', 'two']],
    ['repository=apps', []],
    ['repository=apps%2Fone&repository=other', ['one', 'two', 'container']],
    ['tag=latest', ['amd', 'arm', 'one', 'container']],
    ['tag=stable', ['amd', 'arm']],
    ['tag=stable&tag=v2-beta', ['amd', 'arm', 'two']],
    ['tag=', []],
    ['tag:matches=v*', ['old', 'arm', 'two']],
    ['tag:matches=v?', ['old', 'arm']],
    ['tag:matches=s*&tag:matches=*beta', ['amd', 'arm', 'two']],
    ['tag:matches=*t*&tag=v1', []],
    ['os=windows', ['two']],
    ['architecture=arm64', ['arm', 'arm']],
    ['architecture=arm64&tag=latest', ['arm']],
    ['architecture=s390x', []],
    ['label:org.flatpak.ref:exists=1', ['amd', 'arm', 'old', 'arm', 'one', 'two']],
    ['label:org.flatpak.ref=app/one&label:org.flatpak.ref=app/two', ['one', 'two']],
    ['label:org.flatpak.ref:matches=app/*o', ['two']],
    ['label:org.flatpak.ref:matches=app/*&label:org.flatpak.ref=app/one', ['one']],
    ['label:a:b=1', ['amd']],
    ['label:a%3Ab:exists=1', ['amd', 'two']],
    ['label:a:b:matches=%3F', ['amd', 'two']],
    ['label:empty=', ['one']],
    ['label:empty:matches=*', ['one']],
    ['label:empty:matches=?', []],
    ['label:missing:exists=1', []],
    ['label:toString:exists=1', []],
    ['annotation:note=a+b%2Bc', ['one']],
    ['annotation:note=a%20b+c', []],
    ['annotation:org.flatpak.ref:exists=1', ['container']],
    [`label:long=${encodeURIComponent(LONG)}`, ['arm', 'arm', 'two']],
    [`label:long=${encodeURIComponent(`${LONG}!`)}&label:long=short`, ['old']],
    ['label:long:exists=1&tag=latest', ['arm']],
    ['label:long:matches=a value*!', ['old']],
    ['label:long:matches=*columns*&architecture=arm64', ['arm', 'arm']],
    ['label:long:matches=nothing*', []],
  ];
  test('each kind of condition', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const index = await state.index();
    for (const [query, names] of cases) assert.deepEqual(namesIn(await answerText(index, query)), names, query);
  });
});

test('a value that is the hash of a long one is not taken for it', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', { labels: { long: LONG } });
  await state.rebuild();
  const hash = hashOf(LONG);
  for (const value of [hash, hash.slice(1)])
    assert.equal(await state.answer(`label:long=${encodeURIComponent(value)}`), EMPTY);
  assert.notEqual(await state.answer(`label:long=${encodeURIComponent(LONG)}`), EMPTY);
});

test('labels that flatpak_annotations moves are asked for as annotations', async (t) => {
  const state = await TestState.open(t, { definitions: [{ flatpakAnnotations: true }] });
  fill(state.registry);
  await state.rebuild();
  assert.deepEqual(namesIn(await state.answer('annotation:org.flatpak.ref:exists=1')), ALL);
  assert.deepEqual(namesIn(await state.answer('label:org.flatpak.ref:exists=1')), []);
  assert.deepEqual(namesIn(await state.answer('annotation:org.flatpak.ref:matches=app/t*')), ['two']);
});

suite('the document', () => {
  test('is that of the index with only the matching images, in their lists and repositories', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const { Registry, Results } = await state.json();
    const [list, one] = Results;
    assert.ok(list && one);
    const [latest, v1] = list.Lists;
    assert.ok(latest && v1);
    const arm = (lists: typeof latest): typeof latest => ({
      ...lists,
      Images: lists.Images.filter(({ Architecture }) => Architecture === 'arm64'),
    });
    assert.deepEqual(JSON.parse(await state.answer('architecture=arm64')), {
      Registry,
      Results: [{ ...list, Lists: [arm(latest), arm(v1)] }],
    });
    assert.deepEqual(JSON.parse(await state.answer('tag=v1&tag=v2-beta')), {
      Registry,
      Results: [
        { ...list, Lists: [v1] },
        { ...one, Images: one.Images.slice(1) },
      ],
    });
    assert.equal(await state.answer('tag=nothing'), JSON.stringify({ Registry, Results: [] }));
  });

  test('leaves out what stands between matching images', async (t) => {
    const state = await TestState.open(t);
    const push = (number: number, tag?: string): Digest =>
      state.registry.pushImage('app', tag, named(String(number), { even: String(number % 2 === 0) }));
    for (let number = 0; number < 5; number++) push(number, `tag-${number}`);
    state.registry.pushIndex(
      'app',
      'list',
      [5, 6, 7, 8].map((number) => push(number)),
    );
    await state.rebuild();
    assert.deepEqual(namesIn(await state.answer('label:even=true')), ['0', '2', '4', '6', '8']);
    assert.deepEqual(namesIn(await state.answer('label:even=false')), ['1', '3', '5', '7']);
    assert.deepEqual(namesIn(await state.answer('label:name=1&label:name=2&label:name=4&label:name=5&label:name=8')), [
      '1',
      '2',
      '4',
      '5',
      '8',
    ]);
  });

  test('is one repository out of all slices of a large one', async (t) => {
    const state = await TestState.open(t);
    const push = (number: number, tag?: string): Digest =>
      state.registry.pushImage(
        'app',
        tag,
        named(String(number), { third: String(number % 3), long: `${number % 7} ${LONG}` }),
      );
    for (let number = 0; number < 250; number++) push(number, `tag-${String(number).padStart(3, '0')}`);
    for (let number = 250; number < 350; number += 10)
      state.registry.pushIndex(
        'app',
        `list-${number}`,
        Array.from({ length: 10 }, (_, place) => push(number + place)),
      );
    await state.rebuild();
    const { chunks } = await state.shown();
    assert.ok(chunks.length > 5 && chunks.every(({ slice }) => slice === 'app'), `${chunks.length} slices`);
    for (const [query, matching] of [
      ['label:third=1', (number) => number % 3 === 1],
      ['tag:matches=list-*&label:third=0', (number) => number >= 250 && number % 3 === 0],
      [
        'tag=tag-007&tag=tag-249&tag=list-300',
        (number) => [7, 249].includes(number) || (number >= 300 && number < 310),
      ],
      ['label:long:matches=3 *&label:third:exists=1', (number) => number % 7 === 3],
    ] as const satisfies readonly (readonly [string, (number: number) => boolean])[]) {
      const answer = await state.answer(query);
      assert.deepEqual(
        namesIn(answer),
        Array.from({ length: 350 }, (_, number) => number)
          .filter(matching)
          .map(String),
        query,
      );
      assert.equal((JSON.parse(answer) as IndexJson).Results.length, 1);
    }
    assert.equal(await state.answer('repository=other'), EMPTY);
  });

  test('reuses a chunk’s whole part if all its images match', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const [chunk] = (await state.shown()).chunks;
    assert.ok(chunk);
    for (const text of ['', 'tag:matches=*', 'label:name:exists=1'])
      assert.equal(await prepareQuery(parseQuery(text), new Effort())(chunk), chunk.whole);
    assert.equal(await prepareQuery(parseQuery('tag=nothing'), new Effort())(chunk), EMPTY_PART);
    const empty = await TestState.open(t);
    await empty.rebuild();
    assert.equal(await empty.answer('tag=latest'), EMPTY);
  });
});

test('inside a long value a question can be aborted, gives way to other work, and is limited in its steps', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', named('long', { text: 'a'.repeat(8 * 1024 * 1024) }));
  await state.rebuild();
  const [chunk] = (await state.shown()).chunks;
  assert.ok(chunk);
  const text = Array.from({ length: 20 }, (_, i) => `label:text:matches=*${'a'.repeat(i + 1)}b*`).join('&');
  const gone = new AbortController();
  let turns = 0;
  const turn = setInterval(() => {
    if (++turns === 3) gone.abort(new Error('nobody waits'));
  }, 5);
  t.after(() => clearInterval(turn));
  await assert.rejects(prepareQuery(parseQuery(text), new Effort({ signal: gone.signal }))(chunk), /nobody waits/);
  assert.ok(turns >= 3);
  await assert.rejects(
    prepareQuery(parseQuery(`tag=latest&${text}`), new Effort({ maxSteps: 20 * 1024 * 1024 }))(chunk),
    { statusCode: 400, message: /^The query parameter "label:text:matches" takes more than 20971520 steps/ },
  );
});

type Parameter = readonly [name: string, value: string];

const KEYS = ['key', 'a:b', 'org.flatpak.ref', '__proto__', '🎉'];
const VALUES = ['', '1', 'a b', 'a+b', 'ab', '🎉', LONG, `${LONG}x`];
const TAGS = ['1', '1.0', 'beta', 'latest', 'v2'];
const REPOSITORIES = ['a', 'a/b', 'c-d', 'e'];
const ARCHITECTURES = ['amd64', 'arm64', 's390x'];
const GLOBS = ['*', '?', 'a*', '*b', 'a?b', '*value*x', '1*', '🎉', '??'];

const randomPairs = fc.dictionary(fc.constantFrom(...KEYS), fc.constantFrom(...VALUES), { maxKeys: 3 });
const randomImage = fc.record({
  os: fc.constantFrom('linux', 'windows'),
  architecture: fc.constantFrom(...ARCHITECTURES),
  labels: randomPairs,
  annotations: randomPairs,
});
const parameterName = fc.oneof(
  fc.constantFrom('repository', 'tag', 'tag:matches', 'os', 'architecture'),
  fc
    .tuple(fc.constantFrom('label', 'annotation'), fc.constantFrom(...KEYS), fc.constantFrom('', ':exists', ':matches'))
    .map(([field, key, operator]) => `${field}:${key}${operator}`),
);
const randomParameter: fc.Arbitrary<Parameter> = parameterName.chain((known) => {
  if (known.endsWith(':exists')) return fc.constant([known, '1'] as const);
  if (known.endsWith(':matches')) return fc.constantFrom(...GLOBS).map((glob) => [known, glob] as const);
  return fc
    .constantFrom(...REPOSITORIES, 'linux', ...ARCHITECTURES, ...TAGS, ...VALUES)
    .map((value) => [known, value] as const);
});
const question = fc
  .array(randomParameter, { maxLength: 4 })
  .chain((parameters) =>
    fc.tuple(fc.constant(parameters), fc.shuffledSubarray(parameters, { minLength: parameters.length })),
  );
const questions = fc.array(question, { minLength: 10, maxLength: 10 });

test('random questions over random catalogs are answered like a simple filter, in the same order and any spelling', async (t) => {
  const pushed = fc.record({
    tags: fc.subarray(TAGS, { minLength: 1 }),
    list: fc.boolean(),
    images: fc.array(randomImage, { minLength: 1, maxLength: 5 }),
  });
  const catalog = fc.dictionary(fc.constantFrom(...REPOSITORIES), fc.array(pushed, { maxLength: 4 }));
  await fc.assert(
    fc.asyncProperty(catalog, questions, async (repositories, asked) => {
      const state = await TestState.open(t);
      for (const [repository, pushes] of Object.entries(repositories)) {
        for (const { tags, list, images } of pushes) {
          const digests = images.map((one) => state.registry.pushImage(repository, undefined, one));
          const digest = list ? state.registry.pushIndex(repository, undefined, digests) : digests[0];
          for (const tag of tags) if (digest !== undefined) state.registry.tag(repository, tag, digest);
        }
      }
      await state.rebuild();
      const [whole, index] = [await state.json(), await state.index()];
      for (const [parameters, shuffled] of asked) {
        const answer = await answerText(index, spell(parameters));
        assert.deepEqual(JSON.parse(answer), filtered(whole, parameters), spell(parameters));
        assert.equal(parseQuery(spell(shuffled)).canonical, parseQuery(spell(parameters)).canonical);
        assert.equal(await answerText(index, spell(shuffled)), answer);
      }
      await state.close();
    }),
    { numRuns: 15 },
  );
});

suite('chunk by chunk, also of large repositories', () => {
  const tags = fc.subarray(TAGS, { minLength: 1 });
  const shown = randomImage.map(({ os, architecture, labels, annotations }): PlacedImage['image'] => {
    const texts = { labels: sorted(labels), annotations: sorted(annotations) };
    return { digest: digestOf(JSON.stringify([os, architecture, texts])), mediaType: 'm', os, architecture, ...texts };
  });
  const placedWith = (its: readonly string[]) =>
    fc.record({
      image: shown,
      hidden: fc.record({ label: fc.subarray([...its]), annotation: fc.subarray([...its]), either: fc.constant([]) }),
    });
  const shownTag = tags
    .chain((its) => fc.record({ tags: fc.constant(its), placed: placedWith(its) }))
    .map((one) => ({ tags: one.tags, ...one.placed }));
  const shownList = tags.chain((its) =>
    fc
      .array(placedWith(its), { minLength: 1, maxLength: 4 })
      .map((images) => ({ tags: its, digest: digestOf(JSON.stringify([its, images])), mediaType: 'l', images })),
  );
  const repositories = fc
    .uniqueArray(
      fc.record({
        name: fc.oneof(
          fc.constantFrom(...REPOSITORIES),
          fc.nat({ max: 99 }).map((number) => `app-${number}`),
        ),
        images: fc.oneof(
          { weight: 12, arbitrary: fc.array(shownTag, { maxLength: 4 }) },
          { weight: 1, arbitrary: fc.array(shownTag, { minLength: 201, maxLength: 240 }) },
        ),
        lists: fc.array(shownList, { maxLength: 3 }),
      }),
      { selector: (one) => one.name, maxLength: 40 },
    )
    .map((all): ShownRepository[] =>
      all
        .filter(({ images, lists }) => images.length + lists.length > 0)
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    );

  test('the answer equals the selection from the whole document', async () => {
    await fc.assert(
      fc.asyncProperty(repositories, questions, async (all, asked) => {
        const chunks = await chunksOf(all);
        for (const [parameters] of asked)
          assert.deepEqual(
            JSON.parse(await ask(chunks, parseQuery(spell(parameters)))),
            selected(all, parameters),
            spell(parameters),
          );
      }),
      { numRuns: 20 },
    );
  });

  test('ready parts equal computed ones', async () => {
    await fc.assert(
      fc.asyncProperty(
        repositories,
        fc.constantFrom('label', 'annotation'),
        fc.constantFrom(...TAGS),
        fc.constantFrom(...ARCHITECTURES),
        async (all, field, tag, architecture) => {
          const ready: ReadyQuestion = { field, tag, architecture };
          for (const chunk of await chunksOf(all, { refFields: ['label', 'annotation'] })) {
            const part = chunk.readyPart(ready);
            assert.ok(part, 'there are few combinations');
            assert.equal(
              await answerFrom([chunk], async () => part),
              await ask([chunk], flatpakQuery(tag, architecture, field)),
            );
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

function spell(parameters: readonly Parameter[]): string {
  return parameters
    .map((one) => one.map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join('='))
    .join('&');
}

/** Reference: selects from the whole document. */
function selected(all: readonly ShownRepository[], parameters: readonly Parameter[]): unknown {
  const fields = asksForRefs(parseQuery(spell(parameters)));
  const conditions = [...Map.groupBy(parameters, ([known]) => known)];
  const shows = (repository: string, its: readonly string[], { image: one, hidden }: PlacedImage): boolean => {
    const json = {
      Digest: one.digest,
      MediaType: one.mediaType,
      OS: one.os,
      Architecture: one.architecture,
      Labels: Object.fromEntries(one.labels),
      Annotations: Object.fromEntries(one.annotations),
    };
    return conditions.every(([known, alternatives]) => {
      const fitting = (some: readonly string[]): boolean =>
        alternatives.some((alternative) => fits(alternative, repository, some, json));
      // Flatpak's questions only match tags for which clients get the image.
      return /^tag(?=:|$)/.test(known)
        ? fitting(its) && fields.every((field) => fitting(its.filter((tag) => !hidden[field].includes(tag))))
        : fitting(its);
    });
  };
  const left = all.map(({ name: repository, images, lists }) => ({
    name: repository,
    images: images.filter((one) => shows(repository, one.tags, one)),
    lists: lists
      .map((list) => ({ ...list, images: list.images.filter((one) => shows(repository, list.tags, one)) }))
      .filter((list) => list.images.length > 0),
  }));
  return documentOf(
    'http://registry.example.org',
    left.filter(({ images, lists }) => images.length + lists.length > 0),
  );
}

function sorted(texts: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(texts).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Reference: the index without images that do not match. */
function filtered(index: IndexJson, parameters: readonly Parameter[]): IndexJson {
  const conditions = [...Map.groupBy(parameters, ([name]) => name).values()];
  const matches = (repository: string, tags: readonly string[], image: ImageJson): boolean =>
    conditions.every((alternatives) => alternatives.some((parameter) => fits(parameter, repository, tags, image)));
  const Results = index.Results.map(({ Name, Images, Lists }) => ({
    Name,
    Images: Images.filter((image) => matches(Name, image.Tags ?? [], image)),
    Lists: Lists.map((list) => ({
      ...list,
      Images: list.Images.filter((image) => matches(Name, list.Tags, image)),
    })).filter((list) => list.Images.length > 0),
  }));
  return {
    Registry: index.Registry,
    Results: Results.filter(({ Images, Lists }) => Images.length > 0 || Lists.length > 0),
  };
}

function fits(
  [name, value]: Parameter,
  repository: string,
  tags: readonly string[],
  { OS, Architecture, Labels, Annotations }: ImageJson,
): boolean {
  const glob = (text: string): boolean =>
    new RegExp(`^${value.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'su').test(text);
  switch (name) {
    case 'repository':
      return repository === value;
    case 'tag':
      return tags.includes(value);
    case 'tag:matches':
      return tags.some(glob);
    case 'os':
      return OS === value;
    case 'architecture':
      return Architecture === value;
  }
  const [, field, key = '', operator] = /^(label|annotation):(.+?)(?::(exists|matches))?$/s.exec(name) ?? [];
  const pairs = field === 'label' ? Labels : Annotations;
  if (!Object.hasOwn(pairs, key)) return false;
  return operator === 'exists' || (operator === 'matches' ? glob(pairs[key] ?? '') : pairs[key] === value);
}
