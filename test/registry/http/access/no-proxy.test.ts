import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { parseNoProxy } from '../../../../src/registry/http/access/no-proxy.ts';

function isDirect(text: string, url: string): boolean {
  const { hostname, port, protocol } = new URL(url);
  return parseNoProxy(text)(hostname, Number(port || (protocol === 'https:' ? 443 : 80)));
}

const cases: [string, string[], string[]][] = [
  ['', [], ['http://example.org', 'http://127.0.0.1']],
  ['*', ['http://example.org', 'https://127.0.0.1', 'https://[::1]:5000'], []],
  [
    'example.org',
    ['http://example.org', 'https://EXAMPLE.org:5000', 'http://a.b.example.org', 'http://example.org.'],
    ['http://example.com', 'http://badexample.org'],
  ],
  ['.example.org', ['http://a.example.org'], ['http://example.org']],
  ['*.example.org', ['http://a.example.org'], ['http://example.org']],
  [
    'Example.ORG:5000',
    ['http://example.org:5000', 'http://a.example.org:5000'],
    ['http://example.org', 'http://example.org:50'],
  ],
  ['example.org:443', ['https://example.org'], ['http://example.org']],
  [
    'localhost, 127.0.0.1 ::1',
    ['http://localhost:5000', 'http://127.0.0.1:5000', 'http://[::1]:5000'],
    ['http://127.0.0.2'],
  ],
  ['127.0.0.1:5000,[::1]:5000', ['http://127.0.0.1:5000', 'http://[::1]:5000'], ['http://127.0.0.1', 'http://[::1]']],
  ['[0:0::1]', ['http://[::1]:5000'], ['http://[::2]']],
  [
    '10.0.0.0/8,fd00::/8',
    ['http://10.1.2.3:5000', 'http://[fd12::1]'],
    ['http://11.1.2.3', 'http://[fe80::1]', 'http://10.example.org'],
  ],
  ['10.0.0.0/33,10.0.0.0/x,/8,:80,,', [], ['http://10.0.0.0', 'http://example.org']],
  ['0.0.1', [], ['http://127.0.0.1']],
];
for (const [text, direct, proxied] of cases) {
  test(`NO_PROXY=${text}`, () => {
    for (const url of direct) assert.equal(isDirect(text, url), true, url);
    for (const url of proxied) assert.equal(isDirect(text, url), false, url);
  });
}

test('any text gives yes or no, and soon', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('*', '.', 'org', ':', '80', '/', '8', '[', ']', '::1', '10.0.0.0', ',', ' ', '-'))
      .map((parts) => parts.join('')),
  );
  const host = fc.oneof(fc.string(), fc.constantFrom('example.org', '10.0.0.1', '[::1]', ''));
  fc.assert(
    fc.property(
      text,
      host,
      fc.nat(65_535),
      (rules, hostname, port) => typeof parseNoProxy(rules)(hostname, port) === 'boolean',
    ),
  );
  for (const long of [
    '.'.repeat(16_000),
    ':'.repeat(16_000),
    '['.repeat(16_000),
    'a:1'.repeat(5000),
    '1/'.repeat(8000),
  ]) {
    const started = performance.now();
    parseNoProxy(long)('example.org', 80);
    assert.ok(performance.now() - started < 500);
  }
});
