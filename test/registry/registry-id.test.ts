import assert from 'node:assert/strict';
import test from 'node:test';
import { createRegistrySource } from '../../src/registry/create-registry-source.ts';
import { registryId } from '../../src/registry/registry-id.ts';

test('the same registry has one id, however it is written', () => {
  for (const text of ['https://registry.example', 'HTTPS://Registry.example:443/', 'https://registry.example//']) {
    assert.equal(registryId(text, '/'), 'https://registry.example');
  }
  assert.equal(registryId('http://registry.example:80/some/path/', '/'), 'http://registry.example/some/path');
  for (const text of ['oci:images', 'oci:./images/', 'oci:/srv/images'])
    assert.equal(registryId(text, '/srv'), 'oci:/srv/images');
});

test('an invalid registry is refused, and the message does not quote it', () => {
  const refused = [
    '',
    'registry.example',
    'ftp://registry.example',
    'oci:',
    'https://user:secret@registry.example',
    'https://registry.example/?a=secret',
    'https://registry.example/#secret',
  ];
  for (const text of refused) {
    assert.throws(
      () => registryId(text, '/'),
      (error) => error instanceof TypeError && !error.message.includes('secret'),
      text,
    );
  }
});

test('a source has the id that it was made for', async () => {
  for (const id of ['http://registry.example:5000/prefix', 'https://registry.example', 'oci:/srv/images']) {
    const source = createRegistrySource({ id, concurrency: 1, timeout: 1000 });
    assert.equal(source.id, id);
    assert.equal(source.requests, 0);
    await source.close();
  }
});
