/** How the API is reached: with the certificates of the registry, and through a forward proxy. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { UpstreamRegistry } from '../../../src/registry/http/upstream-registry.ts';
import { makeCertificates } from '../../peers/certificates.ts';
import { needs } from '../../peers/installed.ts';
import { clientOf, playSecurely } from '../http/access/play-securely.ts';
import { named, startForwardProxy } from '../http/forward-proxy.ts';
import { allPages, readRegistry } from '../http/play-registry.ts';
import { MADE_UP_APIS, playApi, readList } from './made-up/made-up-apis.ts';

test(
  'the registry’s authority is trusted; its client certificate is shown at its own origin alone',
  needs('openssl'),
  async (t) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-listing-'));
    const certificates = await makeCertificates(folder.path);
    const clients: string[] = [];
    const { url } = await playSecurely(t, certificates, (request, response) => {
      clients.push(clientOf(request.socket));
      MADE_UP_APIS.quay.answer(request, response, { names: ['app'] });
    });
    for (const registry of ['https://127.0.0.1:1', url]) {
      const source = readRegistry(t, registry, {
        listing: { ...MADE_UP_APIS.quay.listing, url },
        caFile: certificates.authority,
        clientCert: certificates.clientCertificate,
        clientKey: certificates.clientKey,
      });
      assert.deepEqual((await allPages(source.repositories())).flat(), ['acme/app']);
    }
    assert.deepEqual(clients, ['nobody', 'regindexer-test-client']);
  },
);

test('the API is asked through the proxy of the environment', async (t) => {
  const proxy = await startForwardProxy(t);
  const { url } = await playApi(t, 'quay', { names: ['app'] });
  const source = readList(t, 'quay', named(url), {}, { proxies: { http: proxy.url } });
  assert.deepEqual((await allPages(source.repositories())).flat(), ['acme/app']);
  assert.equal(proxy.seen.length, 1);
});

test('the registry proxy shows only what the owner has', async (t) => {
  const upstream = new UpstreamRegistry({
    url: 'https://registry.example.org',
    listing: { ...MADE_UP_APIS.quay.listing, url: 'https://registry.example.org' },
    concurrency: 1,
    timeout: 5000,
    passRedirects: false,
  });
  t.after(() => upstream.close());
  assert.deepEqual(
    ['acme/app', 'evil/app'].map((name) => upstream.covers(name)),
    [true, false],
  );
});
