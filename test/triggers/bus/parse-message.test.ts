import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseMessage } from '../../../src/triggers/bus/parse-message.ts';

const isAnswer = (answer: object): boolean =>
  Object.values(answer).length === 1 && Object.values(answer).every((value) => typeof value === 'string');
const WITHOUT = 'without ctype and update.content_type';
const parse = (body: unknown) => parseMessage(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

test('the envelope and the bare message are read', () => {
  assert.deepEqual(
    parse({ topic: 'org.example.prod.bodhi.compose.complete', msg: { ctype: 'flatpak', repo: 'f40' } }),
    { ctype: 'flatpak' },
  );
  assert.deepEqual(parse({ ctype: 'container' }), { ctype: 'container' });
  assert.deepEqual(parse({ ctype: 'container', msg: 'a bare message may have a msg of its own' }), {
    ctype: 'container',
  });
  assert.deepEqual(parse('\uFEFF{"ctype":"rpm"}'), { ctype: 'rpm' });
});

test('messages about updates are read', () => {
  const update = { alias: 'FEDORA-FLATPAK-2026-1', content_type: 'flatpak', release: { name: 'F44F' } };
  assert.deepEqual(parse({ update, agent: 'bodhi' }), { ctype: 'flatpak' });
  assert.deepEqual(parse({ topic: 'org.example.prod.bodhi.update.request.stable', msg: { update } }), {
    ctype: 'flatpak',
  });
  assert.deepEqual(parse({ ctype: 'container', update }), { ctype: 'container' });
  assert.deepEqual(parse({ ctype: null, update }), { ctype: 'flatpak' });
});

test('invalid messages give a short reason', () => {
  for (const body of ['', 'rebuild!', '{"ctype":"flatpak"', '\0\x01\x02', '<xml/>'])
    assert.deepEqual(parse(body), { malformed: 'not JSON' }, body);
  for (const body of ['null', '1', '"flatpak"', '[{"ctype":"flatpak"}]'])
    assert.deepEqual(parse(body), { malformed: 'not a JSON object' }, body);
  for (const body of [
    {},
    { ctype: 1 },
    { msg: {} },
    { msg: [{ ctype: 'flatpak' }] },
    { msg: { msg: { ctype: 'flatpak' } } },
    { update: 'flatpak' },
    { update: { content_type: null } },
    { update: [{ content_type: 'flatpak' }] },
  ]) {
    assert.deepEqual(parse(body), { malformed: WITHOUT });
  }
  assert.deepEqual(parse('{"__proto__":{"ctype":"flatpak"}}'), { malformed: WITHOUT });
  assert.deepEqual(parse('['.repeat(1_000_000)), { malformed: 'not JSON' });
});

test('characters that ActiveMQ writes as two surrogates do not matter', () => {
  const body = Buffer.concat([
    Buffer.from('{"title":"'),
    Buffer.from([0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
    Buffer.from('","ctype":"flatpak"}'),
  ]);
  assert.deepEqual(parseMessage(body), { ctype: 'flatpak' });
});

test('any bytes and any JSON give an answer', () => {
  fc.assert(fc.property(fc.uint8Array(), (body) => isAnswer(parseMessage(body))));
  const key = fc.oneof(fc.constantFrom('msg', 'ctype', 'update', 'content_type', '__proto__', 'toString'), fc.string());
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof({ maxDepth: 4 }, fc.jsonValue(), fc.array(tie('json')), fc.dictionary(key, tie('json'))),
  }));
  fc.assert(fc.property(json, (body) => isAnswer(parse(JSON.stringify(body)))));
});

test('a content type is found in all forms, whatever else is there', () => {
  const others = fc.dictionary(fc.string(), fc.jsonValue());
  fc.assert(
    fc.property(fc.string(), others, others, (ctype, outer, inner) => {
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: { ...inner, ctype } })), { ctype });
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: undefined, ctype })), { ctype });
      const update = { ...inner, content_type: ctype };
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: { update } })), { ctype });
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: undefined, ctype: undefined, update })), { ctype });
    }),
  );
});
