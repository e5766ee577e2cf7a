import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { JoinedBodies, type StoredBody } from '../../src/server/published-index.ts';
import { named, TestState } from '../indexing/test-state.ts';

test('there is one document of a question, however it is spelled, until another publication', async (t) => {
  const state = await TestState.open(t);
  state.registry.pushImage('app', 'latest', named('app', { 'org.flatpak.ref': 'app/org.example.App/x86_64/stable' }));
  await state.rebuild();
  const index = await state.index();
  const question = 'tag=latest&os=linux&architecture=amd64&label:org.flatpak.ref:exists=1';
  const { document } = index.question(question);
  assert.ok(document);
  for (const spelling of [question.replaceAll(':', '%3A'), question.split('&').toReversed().join('&'), question.replaceAll('&', '&&'), `${question}&os=linux`]) assert.equal(index.question(spelling).document, document, spelling);
  for (const all of ['', '&', '&&']) assert.equal(index.question(all).document, index.whole());
  assert.equal(index.question('tag=latest').document, undefined, 'that has to be worked out');

  state.registry.pushImage('app', 'latest', named('new', { 'org.flatpak.ref': 'app/org.example.App/x86_64/stable' }));
  await state.rebuild();
  assert.notEqual((await state.index()).question(question).document, document);
});

test('bodies that were joined are kept within the limit, those that were asked for the longest ago go', async () => {
  const bodies = ['a', 'b', 'c'].map((text): StoredBody & { readonly text: string } => ({ text, length: 1000, read: async () => Buffer.from(text), stream: () => Readable.from([]) }));
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
  await assert.rejects(joined.get({ ...(bodies[0] as StoredBody) }, () => Promise.reject(new Error('no'))), /no/);
});
