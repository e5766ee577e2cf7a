import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { digestOf } from '../../../../src/registry/digest.ts';
import { makeCertificates, type Certificates } from '../../../peers/certificates.ts';
import { needs } from '../../../peers/installed.ts';
import { playRegistry, readRegistry, sendJson } from '../play-registry.ts';
import { temporaryFolder, writeAuthFile } from './access-folder.ts';
import { clientOf, playSecurely } from './play-securely.ts';

const CONFIG = JSON.stringify({ os: 'linux', architecture: 'amd64' });
const DESCRIPTOR = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(CONFIG),
  size: CONFIG.length,
};

suite('registries with certificates of their own', needs('openssl'), () => {
  let folder: DisposableTempDir;
  let certificates: Certificates;
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
    certificates = await makeCertificates(folder.path);
  });
  after(() => folder.remove());

  test('an unknown authority is not trusted, and the error says what to do', async (t) => {
    const { url, host, seen } = await playSecurely(t, certificates);
    await assert.rejects(readRegistry(t, url, { pauses: [] }).tags('a'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'unavailable');
      assert.match(
        error.message,
        new RegExp(
          `GET ${url}/v2/a/tags/list: .*: the certificate of ${host} is not signed by a trusted authority; set the registry's ca_file, or put .*/etc/containers/certs.d/${host}/NAME.crt`,
        ),
      );
      return true;
    });
    assert.deepEqual(seen, []);
  });

  test('the configured authority is trusted, and the configured certificate shown', async (t) => {
    const { url, connections } = await playSecurely(t, certificates);
    assert.deepEqual(await readRegistry(t, url, { caFile: certificates.authority }).tags('a'), ['nobody']);
    const source = readRegistry(t, url, {
      caFile: certificates.authority,
      clientCert: certificates.clientCertificate,
      clientKey: certificates.clientKey,
      concurrency: 2,
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => source.tags('a')));
    assert.deepEqual(
      answers,
      Array.from({ length: 20 }, () => ['regindexer-test-client']),
    );
    assert.equal(connections(), 1 + 2);
  });

  test('what is in the folder of the host is used, from all folders together', async (t) => {
    const { url, host } = await playSecurely(t, certificates);
    const certsDirs = [
      certsDir(t, host, { 'ca.crt': certificates.authority }),
      certsDir(t, host, { 'client.cert': certificates.clientCertificate, 'client.key': certificates.clientKey }),
      certsDir(t, '127.0.0.1', { 'broken.crt': certificates.key }),
    ];
    assert.deepEqual(await readRegistry(t, url, { certsDirs }).tags('a'), ['regindexer-test-client']);
  });

  test('files that come later count for connections that are made later', async (t) => {
    const { url, host } = await playSecurely(t, certificates, (request, response) => {
      response.setHeader('connection', 'close');
      sendJson(response, { tags: [clientOf(request.socket)] });
    });
    const base = certsDir(t, host, {});
    const source = readRegistry(t, url, { certsDirs: [base], pauses: [] });
    await assert.rejects(source.tags('a'), { code: 'unavailable' });
    copyFileSync(certificates.authority, join(base, host, 'ca.crt'));
    assert.deepEqual(await source.tags('a'), ['nobody']);
    copyFileSync(certificates.clientKey, join(base, host, 'client.key'));
    copyFileSync(certificates.clientCertificate, join(base, host, 'client.cert'));
    assert.deepEqual(await source.tags('a'), ['regindexer-test-client']);
  });

  test('another host is not shown the registry’s client certificate, but may have the same authority', async (t) => {
    const clients: string[] = [];
    const storage = await playSecurely(t, certificates, (request, response) => {
      clients.push(clientOf(request.socket));
      response.end(CONFIG);
    });
    const registry = await playSecurely(t, certificates, (request, response) => {
      clients.push(clientOf(request.socket));
      response.writeHead(307, { location: `${storage.url}/blob` }).end();
    });
    const files = {
      'ca.crt': certificates.authority,
      'client.cert': certificates.clientCertificate,
      'client.key': certificates.clientKey,
    };
    const inFolder = readRegistry(t, registry.url, { certsDirs: [certsDir(t, registry.host, files)] });
    assert.equal((await inFolder.config('a', DESCRIPTOR))?.os, 'linux');
    const configured = readRegistry(t, registry.url, {
      caFile: certificates.authority,
      clientCert: certificates.clientCertificate,
      clientKey: certificates.clientKey,
    });
    assert.equal((await configured.config('a', DESCRIPTOR))?.os, 'linux');
    const ownOfStorage = readRegistry(t, registry.url, {
      caFile: certificates.authority,
      certsDirs: [certsDir(t, storage.host, files)],
    });
    assert.equal((await ownOfStorage.config('a', DESCRIPTOR))?.os, 'linux');
    const [client, nobody] = ['regindexer-test-client', 'nobody'];
    assert.deepEqual(clients, [client, nobody, client, nobody, nobody, client]);
  });

  test('a realm without https is asked for tokens without a login', async (t) => {
    const authorizations: (string | undefined)[] = [];
    const realm = await playRegistry(t, (request, response) => {
      authorizations.push(request.headers.authorization);
      sendJson(response, { token: 'abc' });
    });
    const { url } = await playSecurely(t, certificates, (request, response) => {
      if (request.headers.authorization === 'Bearer abc' && request.url.startsWith('/v2/public/'))
        sendJson(response, { tags: ['a'] });
      else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token?secret"` }, 401);
    });
    const caFile = certificates.authority;
    const identity = writeAuthFile(t, { auths: { [new URL(url).host]: { identitytoken: 'hunter2' } } });
    for (const login of [{ credentials: { username: 'user', password: 'hunter2' } }, { authFiles: [identity] }]) {
      const source = readRegistry(t, url, { caFile, ...login });
      await assert.rejects(source.tags('private'), {
        code: 'denied',
        message: `${url}: names the token realm ${realm.url}/token; credentials are not sent there without https`,
      });
      assert.deepEqual(await source.tags('public'), ['a']);
    }
    assert.deepEqual(new Set(authorizations), new Set([undefined]));
  });

  test('a file that cannot be used is named', async (t) => {
    const { url, host } = await playSecurely(t, certificates);
    const { authority, clientCertificate, clientKey, key } = certificates;
    const empty = join(temporaryFolder(t), 'empty.pem');
    writeFileSync(empty, '');
    const missing = join(temporaryFolder(t), 'missing.pem');
    const faults: [object, RegExp][] = [
      [{ caFile: empty }, /empty\.pem: it holds no certificate/],
      [{ caFile: missing }, /missing\.pem: ENOENT/],
      [
        { caFile: authority, clientCert: clientCertificate, clientKey: key },
        /client\.crt and .*server\.key: .*key values mismatch/,
      ],
      [{ caFile: authority, clientCert: empty, clientKey }, /empty\.pem and .*client\.key: /],
      [{ certsDirs: [certsDir(t, host, { 'client.cert': clientCertificate })] }, /client\.cert has no key beside it/],
    ];
    for (const [options, reason] of faults) {
      await assert.rejects(
        readRegistry(t, url, { ...options, pauses: [] }).tags('a'),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'unavailable');
          assert.match(error.message, reason);
          assert.ok(
            error.message.startsWith(`GET ${url}/v2/a/tags/list: cannot load the certificates for ${url}: `),
            error.message,
          );
          assert.ok(!/PRIVATE|BEGIN EC/.test(error.message));
          return true;
        },
      );
    }
  });
});

/** A folder with a folder for `host` that has these files. */
function certsDir(t: TestContext, host: string, files: Readonly<Record<string, string>>): string {
  const base = temporaryFolder(t);
  mkdirSync(join(base, host));
  for (const [name, path] of Object.entries(files)) copyFileSync(path, join(base, host, name));
  return base;
}
