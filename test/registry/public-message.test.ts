import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publicMessage } from '../../src/registry/public-message.ts';
import { RegistryError, withLocation } from '../../src/registry/registry-error.ts';

const REGISTRY = 'https://registry.example.org/mirror';

test('answers of the registry itself are kept', () => {
  for (const message of [
    'GET https://registry.example.org/mirror/v2/a/tags/list: answered 401 (UNAUTHORIZED: log in)',
    'tag a: HEAD https://registry.example.org/v2/a/manifests/a: no complete answer within 30 s',
    'image indexes nested more than 4 deep',
  ]) {
    assert.equal(publicMessage(new RegistryError('denied', message), REGISTRY), message);
  }
  assert.equal(
    publicMessage(new Error('GET https://store.example.org/x: is text'), 'oci:/srv/images'),
    'GET https://store.example.org/x: is text',
  );
});

test('so are those of the API that lists its repositories', () => {
  const message = 'GET https://api.example.org/orgs/acme/packages: answered 401 (Bad credentials)';
  const error = new RegistryError('denied', message);
  assert.equal(publicMessage(error, REGISTRY, 'https://api.example.org'), message);
  assert.match(publicMessage(error, REGISTRY, 'https://other.example.org'), /^a host that the registry refers to/);
});

test('paths of files of this machine are left out', () => {
  const local = ": ENOENT: no such file or directory, open '/etc/regindexer/$&.pem'";
  const cause = new RegistryError(
    'unavailable',
    `cannot load the certificates for https://registry.example.org${local}`,
    {
      local,
    },
  );
  const where = withLocation('GET https://registry.example.org/mirror/v2/a/tags/list', cause) as Error;
  assert.equal(
    publicMessage(new Error(`tag a: ${where.message} (and 2 more tags)`, { cause: where }), REGISTRY),
    'tag a: GET https://registry.example.org/mirror/v2/a/tags/list: cannot load the certificates for https://registry.example.org; see the log for details (and 2 more tags)',
  );
});

test('answers of other hosts are replaced by the kind of error', () => {
  const cause = new RegistryError('denied', 'GET https://10.0.0.1:8443/x: answered 403 (no entry)');
  const failed = new Error(`tag a: ${cause.message} (and 2 more tags)`, { cause });
  assert.equal(
    publicMessage(failed, REGISTRY),
    'tag a: a host that the registry refers to refuses access; a login may be missing or wrong; see the log for details',
  );
  for (const host of [
    'http://registry.example.org',
    'https://registry.example.org:8443',
    'https://registry.example.org.evil',
    'http://[::1]:5000',
  ]) {
    assert.equal(
      publicMessage(new RegistryError('unavailable', `GET ${host}/x: connect ECONNREFUSED 10.0.0.1:22`), REGISTRY),
      'a host that the registry refers to cannot be reached, or fails; see the log for details',
    );
  }
});
