import assert from 'node:assert/strict';
import { mkdtempDisposable, type DisposableTempDir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { makeCertificates, type Certificates } from '../../../peers/certificates.ts';
import { needs } from '../../../peers/installed.ts';
import type { HttpRegistrySource } from '../../../../src/registry/http/http-registry-source.ts';
import { playSecurely } from '../access/play-securely.ts';
import { entry, writeAuthFile } from '../access/access-folder.ts';
import { playRegistry, readRegistry, sendJson, type Answer } from '../play-registry.ts';

const BASIC = `Basic ${btoa('user:secret')}`;
const CREDENTIALS = { username: 'user', password: 'secret' };

/** A realm that records its requests and logins in `shown`. */
function giving(shown: string[]): Answer {
  return (request, response) => {
    shown.push(`${request.method} ${request.url} ${request.headers.authorization ?? 'nobody'}`);
    sendJson(response, { token: request.headers.authorization === BASIC ? 'for-user' : 'for-nobody' });
  };
}

/** A registry that needs a token of the realm, and answers with it as the only tag. */
function wanting(realm: () => string): Answer {
  return ({ headers: { authorization } }, response) => {
    if (authorization?.startsWith('Bearer ') === true) sendJson(response, { tags: [authorization.slice(7)] });
    else
      sendJson(
        response,
        {},
        { 'www-authenticate': `Bearer realm="${realm()}",service="s",scope="repository:other:pull,push"` },
        401,
      );
  };
}

const SCOPE = `service=s&scope=${encodeURIComponent('repository:one:pull')}`;

for (const status of [301, 302, 303, 307, 308]) {
  test(`a realm that redirects with ${status} is followed, with the login on its own host alone`, async (t) => {
    const shown: string[] = [];
    const elsewhere = await playRegistry(t, giving(shown));
    for (const own of [true, false]) {
      const realm = await playRegistry(t, (request, response) => {
        if (request.url.startsWith('/moved')) giving(shown)(request, response);
        else response.writeHead(status, { location: `${own ? '' : elsewhere.url}/moved?kept=1` }).end();
      });
      const registry = await playRegistry(
        t,
        wanting(() => `${realm.url}/token`),
      );
      assert.deepEqual(await readRegistry(t, registry.url, { credentials: CREDENTIALS }).tags('one'), [
        own ? 'for-user' : 'for-nobody',
      ]);
    }
    assert.deepEqual(shown, [`GET /moved?kept=1&${SCOPE} ${BASIC}`, `GET /moved?kept=1&${SCOPE} nobody`]);
  });
}

test('an identity token follows its realm to its own host alone, too', async (t) => {
  const methods: string[] = [];
  const give: Answer = (request, response) => {
    methods.push(String(request.method));
    request.resume();
    sendJson(response, { access_token: 'abc' });
  };
  const elsewhere = await playRegistry(t, give);
  for (const own of [true, false]) {
    const realm = await playRegistry(t, (request, response) => {
      if (request.url === '/moved') give(request, response);
      else response.writeHead(301, { location: `${own ? '' : elsewhere.url}/moved` }).end();
    });
    const registry = await playRegistry(
      t,
      wanting(() => `${realm.url}/token`),
    );
    const file = writeAuthFile(t, {
      auths: { [new URL(registry.url).host]: { ...entry('<token>'), identitytoken: 'identity' } },
    });
    assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('one'), ['abc']);
  }
  assert.deepEqual(methods, ['POST', 'GET']);
});

test('an endless redirect of a realm is an error', async (t) => {
  const realm = await playRegistry(t, (_request, response) => response.writeHead(302, { location: '/token' }).end());
  const registry = await playRegistry(
    t,
    wanting(() => `${realm.url}/token`),
  );
  await assert.rejects(readRegistry(t, registry.url).tags('one'), {
    code: 'malformed',
    message: `GET ${realm.url}/token: redirects more than 5 times`,
  });
});

test('a token is requested for the repository that is read, whatever scope challenge and realm name', async (t) => {
  const shown: string[] = [];
  const realm = await playRegistry(t, giving(shown));
  const registry = await playRegistry(
    t,
    wanting(() => `${realm.url}/token?scope=repository:secret:pull,push&scope=registry:catalog:*`),
  );
  await readRegistry(t, registry.url, { credentials: CREDENTIALS }).tags('one');
  assert.deepEqual(shown, [`GET /token?scope=repository%3Aone%3Apull&service=s ${BASIC}`]);
});

test('a token beside an empty one is taken', async (t) => {
  for (const empty of ['', null]) {
    const realm = await playRegistry(t, (_request, response) =>
      sendJson(response, { token: empty, access_token: 'abc' }),
    );
    const registry = await playRegistry(
      t,
      wanting(() => `${realm.url}/token`),
    );
    assert.deepEqual(await readRegistry(t, registry.url).tags('one'), ['abc']);
  }
});

suite('a registry with https', needs('openssl'), () => {
  let folder: DisposableTempDir;
  let certificates: Certificates;
  before(async () => {
    folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-certificates-'));
    certificates = await makeCertificates(folder.path);
  });
  after(() => folder.remove());

  const read = (t: TestContext, url: string): HttpRegistrySource =>
    readRegistry(t, url, { caFile: certificates.authority, credentials: CREDENTIALS });

  test('that says http of its own host as the realm, means https', async (t) => {
    for (const port of [true, false]) {
      const shown: string[] = [];
      const registry = await playSecurely(t, certificates, (request, response) => {
        if (request.url.startsWith('/token')) giving(shown)(request, response);
        else wanting(() => `http://127.0.0.1${port ? `:${new URL(registry.url).port}` : ''}/token`)(request, response);
      });
      assert.deepEqual(await read(t, registry.url).tags('one'), ['for-user']);
      assert.deepEqual(shown, [`GET /token?${SCOPE} ${BASIC}`]);
    }
  });

  test('whose realm, and whose API, redirects to http at its own host, means https', async (t) => {
    const shown: string[] = [];
    const registry = await playSecurely(t, certificates, (request, response) => {
      const http = registry.url.replace('https:', 'http:');
      if (request.url.startsWith('/token?')) response.writeHead(301, { location: `${http}/token/` }).end();
      else if (request.url.startsWith('/token/')) giving(shown)(request, response);
      else if (request.url.startsWith('/v2/one/')) response.writeHead(307, { location: `${http}/v2/moved/` }).end();
      else wanting(() => `${registry.url}/token`)(request, response);
    });
    assert.deepEqual(await read(t, registry.url).tags('one'), ['for-user']);
    assert.deepEqual(shown, [`GET /token/?${SCOPE} ${BASIC}`]);
  });

  test('shows the login to no realm without https at another host', async (t) => {
    const shown: string[] = [];
    const realm = await playRegistry(t, giving(shown));
    const registry = await playSecurely(t, certificates, (request, response) => {
      if (request.headers.authorization === 'Bearer for-nobody') sendJson(response, {}, {}, 403);
      else wanting(() => `${realm.url}/token`)(request, response);
    });
    await assert.rejects(read(t, registry.url).tags('one'), {
      code: 'denied',
      message: `${registry.url}: names the token realm ${realm.url}/token; credentials are not sent there without https`,
    });
    assert.deepEqual(new Set(shown), new Set([`GET /token?${SCOPE} nobody`]));
  });
});
