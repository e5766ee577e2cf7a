import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { describeRequest, headerValue, mediaTypeOf } from '../../../../src/registry/http/transport/http-message.ts';

test('a media type is told in lower case and without parameters', () => {
  const types: [string | string[] | undefined, string | undefined][] = [
    ['application/json', 'application/json'],
    ['Application/JSON; charset=utf-8', 'application/json'],
    [' application/json ;q=1', 'application/json'],
    ['application/json, text/html', 'application/json'],
    [['application/json', 'text/html'], 'application/json'],
    ['', undefined],
    [';', undefined],
    [undefined, undefined],
  ];
  for (const [header, type] of types) assert.equal(mediaTypeOf({ 'content-type': header }), type, String(header));
});

test('a header that was sent several times is one list', () => {
  assert.equal(headerValue({ link: ['<a>', '<b>'] }, 'link'), '<a>, <b>');
  assert.equal(headerValue({}, 'link'), undefined);
});

test('a request is told without its query, which may hold a signature', () => {
  assert.equal(
    describeRequest({ method: 'GET', origin: 'http://a', path: '/b?signature=secret', limit: 1 }),
    'GET http://a/b',
  );
});

test('whatever comes, a media type is a text without parameters, or undefined', () => {
  const part = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom('application', '/', 'JSON', ';', ',', ' ', '=', '"', '\t')).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.oneof(part, fc.array(part)), (header) => {
      const type = mediaTypeOf({ 'content-type': header });
      return type === undefined || (type !== '' && !/[;,]/.test(type) && type === type.toLowerCase().trim());
    }),
  );
});
