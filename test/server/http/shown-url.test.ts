import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownUrl } from '../../../src/server/http/shown-url.ts';

test('the token in the path of a notification is not shown', () => {
  for (const [url, shown] of [
    ['/events/token', '/events/[secret]'],
    ['/events/a/b%2Fc?tag=x', '/events/[secret]?tag=x'],
    ['//base/events//token', '//base/events//[secret]'],
    ['http://apps.example.org/events/token', 'http://apps.example.org/events/[secret]'],
    ['/%65ven%74s%2ftoken', '/events/[secret]'],
    ['/events/%zz%ff', '/events/[secret]'],
    ['/events', '/events'],
    ['/events/', '/events/'],
    ['/events?tag=%61', '/events?tag=%61'],
    ['/api/events', '/api/events'],
    ['/index/static?label:a%62c=1', '/index/static?label:a%62c=1'],
  ] as const)
    assert.equal(shownUrl(url), shown);
});
