import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseMessage } from '../../../src/triggers/bus/parse-message.ts';

const isAnswer = (answer: object): boolean =>
  Object.values(answer).length === 1 && Object.values(answer).every((value) => typeof value === 'string');
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
  ]) {
    assert.deepEqual(parse(body), { malformed: 'without a ctype' });
  }
  assert.deepEqual(parse('{"__proto__":{"ctype":"flatpak"}}'), { malformed: 'without a ctype' });
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
  const key = fc.oneof(fc.constantFrom('msg', 'ctype', '__proto__', 'toString'), fc.string());
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof({ maxDepth: 4 }, fc.jsonValue(), fc.array(tie('json')), fc.dictionary(key, tie('json'))),
  }));
  fc.assert(fc.property(json, (body) => isAnswer(parse(JSON.stringify(body)))));
});

test('a ctype is found in both forms, whatever else is there', () => {
  const others = fc.dictionary(fc.string(), fc.jsonValue());
  fc.assert(
    fc.property(fc.string(), others, others, (ctype, outer, inner) => {
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: { ...inner, ctype } })), { ctype });
      assert.deepEqual(parse(JSON.stringify({ ...outer, msg: undefined, ctype })), { ctype });
    }),
  );
});
