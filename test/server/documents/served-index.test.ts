import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { parseQuery } from '../../../src/indexing/query/parse-query.ts';
import { PublicationLoader } from '../../../src/server/documents/publication-loader.ts';
import { JoinedBodies, type StoredBody } from '../../../src/server/documents/body.ts';
import { ServedIndex } from '../../../src/server/documents/served-index.ts';
import { Questions } from '../../../src/server/documents/questions.ts';
import type { PublicationReader } from '../../../src/store/publications.ts';
import { named, TestState } from '../../indexing/test-state.ts';

test('each question has one document, however it is spelled, until the next publication', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', named('app', { 'org.flatpak.ref': 'app/org.example.App/x86_64/stable' }));
  await state.rebuild();
  const index = await state.index();
  const question = 'tag=latest&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1';
  const { document } = index.question(question);
  assert.ok(document);
  for (const spelling of [
    question.replaceAll(':', '%3A'),
    question.split('&').toReversed().join('&'),
    question.replaceAll('&', '&&'),
    `${question}&os=linux`,
  ])
    assert.equal(index.question(spelling).document, document, spelling);
  for (const all of ['', '&', '&&']) assert.equal(index.question(all).document, index.whole());
  assert.equal(index.question('tag=latest').document, undefined, 'that has to be worked out');

  state.registry.pushImage('app', 'latest', named('new', { 'org.flatpak.ref': 'app/org.example.App/x86_64/stable' }));
  await state.rebuild();
  assert.notEqual((await state.index()).question(question).document, document);
});

test('a cached answer is read from the file that replaced the previous one', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', named('app'));
  await state.rebuild();
  const index = new ServedIndex({ name: 'apps', fileName: 'apps', maxAge: 60, repositoryPriority: [] });
  const questions = new Questions({ counts: { hits: 0, misses: 0 } });
  const { publications } = state.store;
  const readBy: string[] = [];
  const use = async (file: string): Promise<void> => {
    const reader: PublicationReader = {
      publication: (name) => publications.publication(name),
      chunkHeads: (names) => publications.chunkHeads(names),
      chunkSegment: (name, segment) => {
        readBy.push(file);
        return publications.chunkSegment(name, segment);
      },
      png: (digest) => publications.png(digest),
      apps: (name) => publications.apps(name),
    };
    assert.equal(await new PublicationLoader(reader, { maxBodyBytes: 1 }).load(index), true);
  };
  const ask = async (): Promise<string> => {
    const document = await questions.answer(index, parseQuery('os=linux'), {
      keep: true,
      from: '',
      signal: new AbortController().signal,
    });
    return String(await document.get('identity')?.body.read());
  };
  await use('first');
  const answer = await ask();
  assert.deepEqual(readBy.splice(0), ['first']);
  await use('second');
  assert.equal(await ask(), answer);
  assert.deepEqual(readBy, ['second']);
});

test('the cache of joined bodies is limited; the least recently used are removed', async () => {
  const bodies = ['a', 'b', 'c'].map((text): StoredBody & { readonly text: string } => ({
    text,
    length: 1000,
    read: async () => Buffer.from(text),
    stream: () => Readable.from([]),
  }));
  const joined = new JoinedBodies(2500);
  let made = 0;
  const get = async (place: number): Promise<string> => {
    const body = bodies[place] as (typeof bodies)[number];
    const buffer = await joined.get(body, async () => {
      made++;
      return body.read();
    });
    return buffer.toString();
  };
  for (const place of [0, 1, 0, 1, 0, 2, 0, 2]) assert.equal(await get(place), bodies[place]?.text);
  assert.equal(made, 3);
  assert.equal(await get(1), 'b');
  assert.equal(made, 4, 'that had gone');
  await assert.rejects(
    joined.get({ ...(bodies[0] as StoredBody) }, () => Promise.reject(new Error('no'))),
    /no/,
  );
});
