/** What a question is answered with. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import type { Answer } from '../../../src/indexing/query/answer-query.ts';
import { answerQuery } from '../../../src/indexing/query/answer-query.ts';
import { parseQuery } from '../../../src/indexing/query/parse-query.ts';
import type { Encoding } from '../../../src/indexing/snapshot/encodings.ts';
import { ENCODINGS } from '../../../src/indexing/snapshot/encodings.ts';
import { Snapshot } from '../../../src/indexing/snapshot/snapshot.ts';
import type { Digest } from '../../../src/registry/digest.ts';
import type { MemoryRegistry, PushedImage } from '../../sources/memory-registry.ts';
import type { ImageJson, IndexJson } from '../test-state.ts';
import { named, TestState } from '../test-state.ts';

const LONG = 'a value so long that a table would not keep it; '.repeat(10);
const DECODE: Readonly<Record<Encoding, (bytes: Buffer) => Buffer>> = { identity: (bytes) => bytes, gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };

function app(name: string, more: PushedImage = {}): PushedImage {
  return { ...more, ...named(name, { 'org.flatpak.ref': `app/${name}`, ...more.labels }) };
}

/** Two apps, one in lists and one alone. */
function fill(registry: MemoryRegistry): void {
  const push = (name: string, more?: PushedImage): Digest => registry.pushImage('apps/list', undefined, app(name, more));
  const [amd, arm] = [push('amd', { labels: { 'a:b': '1' } }), push('arm', { architecture: 'arm64', labels: { long: LONG } })];
  registry.tag('apps/list', 'stable', registry.pushIndex('apps/list', 'latest', [amd, arm]));
  registry.pushIndex('apps/list', 'v1', [push('old', { labels: { long: `${LONG}!` } }), arm]);
  registry.pushImage('apps/one', 'latest', app('one', { annotations: { note: 'a b+c' }, labels: { empty: '' } }));
  registry.pushImage('apps/one', 'v2-beta', app('two', { os: 'windows', labels: { long: LONG, 'a:b': '2' } }));
  registry.pushImage('other', 'latest', { ...named('container'), annotations: { 'org.flatpak.ref': 'annotated' } });
}

const ALL = ['amd', 'arm', 'old', 'arm', 'one', 'two', 'container'];

/** The names of the images in an answer, in its order. */
function namesIn(json: string): readonly (string | undefined)[] {
  const { Results } = JSON.parse(json) as IndexJson;
  return Results.flatMap(({ Images, Lists }) => [...Images, ...Lists.flatMap((list) => list.Images)]).map(({ Labels }) => Labels['name']);
}

async function answerText(snapshot: Snapshot, text: string): Promise<string> {
  const answer = await answerQuery(snapshot, parseQuery(text), 'identity');
  return (answer === 'whole' ? await snapshot.read(wholeOf(snapshot)) : answer.body).toString();
}

function wholeOf(snapshot: Snapshot): { readonly offset: number; readonly length: number } {
  const whole = snapshot.document('');
  assert.ok(whole);
  return whole.representations.identity;
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
    ['label:long:matches=*table*&architecture=arm64', ['arm', 'arm']],
    ['label:long:matches=nothing*', []],
  ];
  for (const [where, memoryLimit] of [['memory', undefined], ['the file', 0]] as const) {
    test(`over a snapshot in ${where}`, async (t) => {
      const state = await TestState.open(t);
      fill(state.registry);
      await state.rebuild();
      const snapshot = await Snapshot.open(state.snapshotFile(), memoryLimit);
      t.after(() => snapshot.close());
      for (const [query, names] of cases) assert.deepEqual(namesIn(await answerText(snapshot, query)), names, query);
    });
  }
});

test('a value that is the hash of a long one is not taken for it', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', { labels: { long: LONG } });
  await state.rebuild();
  await state.withSnapshot(async (snapshot) => {
    const table = (await snapshot.table()).serialize();
    const [hash] = /[\w-]{43}/.exec(table.slice(table.indexOf('pairValues'))) ?? [];
    assert.ok(hash);
    assert.deepEqual(await answerText(snapshot, `label:long=${hash}`), '{"Registry":"http://registry.example.org","Results":[]}');
    assert.notEqual(await answerText(snapshot, `label:long=${encodeURIComponent(LONG)}`), '{"Registry":"http://registry.example.org","Results":[]}');
  });
});

test('labels that flatpak_annotations moves are asked for as annotations', async (t) => {
  const state = await TestState.open(t, { definitions: [{ flatpakAnnotations: true }] });
  fill(state.registry);
  await state.rebuild();
  await state.withSnapshot(async (snapshot) => {
    assert.deepEqual(namesIn(await answerText(snapshot, 'annotation:org.flatpak.ref:exists=1')), ALL);
    assert.deepEqual(namesIn(await answerText(snapshot, 'label:org.flatpak.ref:exists=1')), []);
    assert.deepEqual(namesIn(await answerText(snapshot, 'annotation:org.flatpak.ref:matches=app/t*')), ['two']);
  });
});

suite('the document', () => {
  test('is that of the index with the matching images alone, whatever lists and repositories they are in', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    const { Registry, Results } = await state.json();
    await state.withSnapshot(async (snapshot) => {
      const [list, one] = Results;
      assert.ok(list && one);
      const [latest, v1] = list.Lists;
      assert.ok(latest && v1);
      const arm = (lists: typeof latest): typeof latest => ({ ...lists, Images: lists.Images.filter(({ Architecture }) => Architecture === 'arm64') });
      assert.deepEqual(JSON.parse(await answerText(snapshot, 'architecture=arm64')), { Registry, Results: [{ ...list, Lists: [arm(latest), arm(v1)] }] });
      assert.deepEqual(JSON.parse(await answerText(snapshot, 'tag=v1&tag=v2-beta')), { Registry, Results: [{ ...list, Lists: [v1] }, { ...one, Images: one.Images.slice(1) }] });
      assert.equal(await answerText(snapshot, 'tag=nothing'), JSON.stringify({ Registry, Results: [] }));
    });
  });

  test('leaves out what stands between matching images', async (t) => {
    const state = await TestState.open(t);
    const push = (number: number, tag?: string): Digest => state.registry.pushImage('app', tag, named(String(number), { even: String(number % 2 === 0) }));
    for (let number = 0; number < 5; number++) push(number, `tag-${number}`);
    state.registry.pushIndex('app', 'list', [5, 6, 7, 8].map((number) => push(number)));
    await state.rebuild();
    await state.withSnapshot(async (snapshot) => {
      assert.deepEqual(namesIn(await answerText(snapshot, 'label:even=true')), ['0', '2', '4', '6', '8']);
      assert.deepEqual(namesIn(await answerText(snapshot, 'label:even=false')), ['1', '3', '5', '7']);
      assert.deepEqual(namesIn(await answerText(snapshot, 'label:name=1&label:name=2&label:name=4&label:name=5&label:name=8')), ['1', '2', '4', '5', '8']);
    });
  });

  test('is copied from the whole one in few parts where images stand beside each other', async (t) => {
    const state = await TestState.open(t);
    for (let number = 10; number < 60; number++) state.registry.pushImage('app', `tag-${number}`, named(String(number), { half: String(Math.floor(number / 30)) }));
    state.registry.pushIndex('other', 'latest', Array.from({ length: 20 }, (_, number) => state.registry.pushImage('other', undefined, named(`list ${number}`, { half: '1' }))));
    await state.rebuild();
    await state.withSnapshot(async (snapshot) => {
      const table = await snapshot.table();
      const images = await table.select(parseQuery('label:half=1'), snapshot.readRange);
      assert.equal(images.length, 30 + 20);
      // The head, the first repository's images, what is between, the list's images, and the end.
      assert.equal(table.compose(snapshot.footer.registry, images).length, 5);
      assert.equal(namesIn(await answerText(snapshot, 'label:half=1')).length, 50);
    });
  });

  test('is given up inside a long value once nobody waits, and takes turns there', async (t) => {
    const state = await TestState.open(t);
    state.registry.pushImage('app', 'latest', named('long', { text: 'a'.repeat(8 * 1024 * 1024) }));
    await state.rebuild();
    await state.withSnapshot(async (snapshot) => {
      const text = Array.from({ length: 20 }, (_, i) => `label:text:matches=*${'a'.repeat(i + 1)}b*`).join('&');
      const gone = new AbortController();
      let turns = 0;
      const turn = setInterval(() => {
        if (++turns === 3) gone.abort(new Error('nobody waits'));
      }, 5);
      t.after(() => clearInterval(turn));
      await assert.rejects(answerQuery(snapshot, parseQuery(text), 'identity', gone.signal), /nobody waits/);
      assert.equal(turns, 3);
      await assert.rejects(answerQuery(snapshot, parseQuery(`tag=latest&${text}`), 'identity', undefined, 20 * 1024 * 1024), { statusCode: 400, message: /^The query parameter "label:text:matches" takes more than 20971520 steps/ });
    });
  });

  test('is the whole one if all images match, which is not made a second time', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    await state.withSnapshot(async (snapshot) => {
      for (const text of ['', 'tag:matches=*', 'label:name:exists=1']) assert.equal(await answerQuery(snapshot, parseQuery(text), 'gzip'), 'whole');
    });
    const empty = await TestState.open(t);
    await empty.rebuild();
    await empty.withSnapshot(async (snapshot) => assert.equal(await answerQuery(snapshot, parseQuery('tag=latest'), 'gzip'), 'whole'));
  });

  test('comes in the encoding that is asked for, unless that is no smaller, under a tag of its own', async (t) => {
    const state = await TestState.open(t);
    fill(state.registry);
    await state.rebuild();
    await state.withSnapshot(async (snapshot) => {
      const answers = new Map<Encoding, Answer>();
      for (const encoding of ENCODINGS) {
        const answer = await answerQuery(snapshot, parseQuery('label:long:exists=1'), encoding);
        assert.ok(answer !== 'whole' && answer.encoding === encoding);
        answers.set(encoding, answer);
      }
      const identity = answers.get('identity')?.body;
      for (const [encoding, { body }] of answers) assert.deepEqual(DECODE[encoding](body), identity);
      assert.equal(new Set([...answers.values()].map(({ etag }) => etag)).size, 4);
      assert.match(answers.get('br')?.etag ?? '', /^"[\w-]{43}"$/);
      const none = await answerQuery(snapshot, parseQuery('tag=nothing'), 'br');
      assert.ok(none !== 'whole');
      assert.equal(none.encoding, none.body.length < 55 ? 'br' : 'identity');
    });
  });
});

suite('over random catalogs, random questions', () => {
  const KEYS = ['key', 'a:b', 'org.flatpak.ref', '__proto__', '🎉'];
  const VALUES = ['', '1', 'a b', 'a+b', 'ab', '🎉', LONG, `${LONG}x`];
  const TAGS = ['latest', '1', '1.0', 'v2', 'beta'];
  const GLOBS = ['*', '?', 'a*', '*b', 'a?b', '*value*x', '1*', '🎉', '??'];

  const pairs = fc.dictionary(fc.constantFrom(...KEYS), fc.constantFrom(...VALUES), { maxKeys: 3 });
  const image = fc.record({ os: fc.constantFrom('linux', 'windows'), architecture: fc.constantFrom('amd64', 'arm64', 's390x'), labels: pairs, annotations: pairs });
  const pushed = fc.record({ tags: fc.subarray(TAGS, { minLength: 1 }), list: fc.boolean(), images: fc.array(image, { minLength: 1, maxLength: 5 }) });
  const catalog = fc.dictionary(fc.constantFrom('a', 'a/b', 'c-d', 'e'), fc.array(pushed, { maxLength: 4 }));

  const name = fc.oneof(
    fc.constantFrom('repository', 'tag', 'tag:matches', 'os', 'architecture'),
    fc.tuple(fc.constantFrom('label', 'annotation'), fc.constantFrom(...KEYS), fc.constantFrom('', ':exists', ':matches')).map(([field, key, operator]) => `${field}:${key}${operator}`),
  );
  const parameter = name.chain((known) => {
    if (known.endsWith(':exists')) return fc.constant([known, '1'] as const);
    if (known.endsWith(':matches')) return fc.constantFrom(...GLOBS).map((glob) => [known, glob] as const);
    return fc.constantFrom('a', 'a/b', 'linux', 'amd64', 'arm64', ...TAGS, ...VALUES).map((value) => [known, value] as const);
  });
  const question = fc.array(parameter, { maxLength: 4 }).chain((parameters) => fc.tuple(fc.constant(parameters), fc.shuffledSubarray(parameters, { minLength: parameters.length })));

  test('are answered as a plain filter answers them, in the same order, however they are spelled', async (t) => {
    await fc.assert(
      fc.asyncProperty(catalog, fc.array(question, { minLength: 10, maxLength: 10 }), async (repositories, questions) => {
        const state = await TestState.open(t);
        for (const [repository, pushes] of Object.entries(repositories)) {
          for (const { tags, list, images } of pushes) {
            const digests = images.map((one) => state.registry.pushImage(repository, undefined, one));
            const digest = list ? state.registry.pushIndex(repository, undefined, digests) : digests[0];
            for (const tag of tags) if (digest !== undefined) state.registry.tag(repository, tag, digest);
          }
        }
        await state.rebuild();
        await state.withSnapshot(async (snapshot) => {
          const index = JSON.parse((await snapshot.read(wholeOf(snapshot))).toString()) as IndexJson;
          for (const [parameters, shuffled] of questions) {
            const answer = await answerText(snapshot, spell(parameters));
            assert.deepEqual(JSON.parse(answer), filtered(index, parameters), spell(parameters));
            assert.equal(parseQuery(spell(shuffled)).canonical, parseQuery(spell(parameters)).canonical);
            assert.equal(await answerText(snapshot, spell(shuffled)), answer);
          }
        });
        state.close();
      }),
      { numRuns: 40 },
    );
  });
});

type Parameter = readonly [name: string, value: string];

function spell(parameters: readonly Parameter[]): string {
  return parameters.map((parameter) => parameter.map((part) => encodeURIComponent(part).replaceAll('%20', '+')).join('=')).join('&');
}

/** The reference: the index without what does not match. */
function filtered(index: IndexJson, parameters: readonly Parameter[]): IndexJson {
  const conditions = [...Map.groupBy(parameters, ([name]) => name).values()];
  const matches = (repository: string, tags: readonly string[], image: ImageJson): boolean => conditions.every((alternatives) => alternatives.some((parameter) => fits(parameter, repository, tags, image)));
  const Results = index.Results.map(({ Name, Images, Lists }) => ({
    Name,
    Images: Images.filter((image) => matches(Name, image.Tags ?? [], image)),
    Lists: Lists.map((list) => ({ ...list, Images: list.Images.filter((image) => matches(Name, list.Tags, image)) })).filter((list) => list.Images.length > 0),
  }));
  return { Registry: index.Registry, Results: Results.filter(({ Images, Lists }) => Images.length > 0 || Lists.length > 0) };
}

function fits([name, value]: Parameter, repository: string, tags: readonly string[], { OS, Architecture, Labels, Annotations }: ImageJson): boolean {
  const glob = (text: string): boolean => new RegExp(`^${value.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'su').test(text);
  switch (name) {
    case 'repository': return repository === value;
    case 'tag': return tags.includes(value);
    case 'tag:matches': return tags.some(glob);
    case 'os': return OS === value;
    case 'architecture': return Architecture === value;
  }
  const [, field, key = '', operator] = /^(label|annotation):(.+?)(?::(exists|matches))?$/s.exec(name) ?? [];
  const pairs = field === 'label' ? Labels : Annotations;
  if (!Object.hasOwn(pairs, key)) return false;
  return operator === 'exists' || (operator === 'matches' ? glob(pairs[key] ?? '') : pairs[key] === value);
}
