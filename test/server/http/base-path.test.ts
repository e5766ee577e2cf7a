import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutBasePath } from '../../../src/server/http/base-path.ts';

test('doubled slashes of a path count as one, also within the path of base_url; a query stays as it is', () => {
  for (const asked of ['/a/b/index/static', '//a//b///index/static', '/index/static', '//index//static']) assert.equal(withoutBasePath(`${asked}?repository=x//y`, '/a/b'), '/index/static?repository=x//y', asked);
  assert.equal(withoutBasePath('//index//static?a=//', ''), '/index/static?a=//');
});
