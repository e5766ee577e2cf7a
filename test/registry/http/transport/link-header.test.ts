import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { nextLink } from '../../../../src/registry/http/transport/link-header.ts';

test('the target of the link to the next page is found', () => {
  const headers = [
    '</v2/_catalog?last=b&n=2>; rel="next"',
    '</v2/_catalog?last=b&n=2>; rel=next',
    '</v2/_catalog?last=b&n=2>;rel="NEXT"',
    '</v2/_catalog?last=b&n=2> ; title="a, b; rel=prev" ; rel = "prev next"',
    '</first>; rel="first", </v2/_catalog?last=b&n=2>; rel="next"',
    ' ,, </v2/_catalog?last=b&n=2>; crossorigin; rel="next"',
    '</v2/_catalog?last=b&n=2>; rel=next; rel=prev',
    '</v2/_catalog?last=b&n=2>',
    '</v2/_catalog?last=b&n=2>; title="next page"',
    '</first>; rel=first, </v2/_catalog?last=b&n=2>, </other>',
    '</without>, </v2/_catalog?last=b&n=2>; rel=next',
  ];
  for (const header of headers) assert.equal(nextLink(header), '/v2/_catalog?last=b&n=2', header);
});

test('a header without a next page has none', () => {
  for (const header of [undefined, '', 'nonsense', '</a>; rel=prev', '</a>; rel="nextish"', '</a; rel=next', '</a>; rel=""']) {
    assert.equal(nextLink(header), undefined, header);
  }
});

test('whatever comes, a string or undefined is returned, and soon', () => {
  const text = fc.oneof(fc.string(), fc.array(fc.constantFrom('<', '>', ';', ',', '"', '\\', 'rel', '=', 'next', ' ', '/v2')).map((parts) => parts.join('')));
  fc.assert(fc.property(text, (header) => ['string', 'undefined'].includes(typeof nextLink(header))));
  for (const header of ['<a>; '.repeat(10_000), '<'.repeat(16_000), `<a>${';'.repeat(16_000)}`, `<a>; a="${'\\'.repeat(16_000)}`, ' '.repeat(16_000)]) {
    const started = performance.now();
    nextLink(header);
    assert.ok(performance.now() - started < 500);
  }
});
