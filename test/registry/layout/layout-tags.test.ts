import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { digestOf } from '../../../src/registry/digest.ts';
import { parseLayoutTags } from '../../../src/registry/layout/layout-tags.ts';
import { RegistryError } from '../../../src/registry/registry-error.ts';

test('whatever comes, tags are returned or a RegistryError thrown', () => {
  const keys = fc.constantFrom('mediaType', 'digest', 'size', 'annotations', '__proto__');
  const value = fc.oneof(fc.constantFrom('application/x', digestOf('x'), 1, null), fc.dictionary(fc.constant('org.opencontainers.image.ref.name'), fc.jsonValue()), fc.jsonValue());
  const document = fc.record({ manifests: fc.oneof(fc.array(fc.oneof(fc.dictionary(keys, value), fc.jsonValue())), fc.jsonValue()) });
  const bytes = fc.oneof(document.map((index) => Buffer.from(JSON.stringify(index))), fc.uint8Array());
  fc.assert(
    fc.property(bytes, (input) => {
      try {
        for (const named of parseLayoutTags(input).values()) assert.ok(named.length > 0);
      } catch (error) {
        assert.ok(error instanceof RegistryError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
