import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { AuthFile } from '../../../../src/registry/http/access/access-options.ts';
import { askCredentialHelper } from '../../../../src/registry/http/access/credential-helper.ts';
import { basicLogin, identityLogin } from '../../../../src/registry/http/access/login.ts';
import { Keychain } from '../../../../src/registry/http/access/keychain.ts';
import { playRegistry, readRegistry, sendJson, type Played } from '../play-registry.ts';
import { entry, installHelper, replaceFile, temporaryFolder, writeAuthFile } from './access-folder.ts';

/** Answers with the user as the only tag, and with 401 to unknown users. */
async function playWhoAmI(t: TestContext, isKnown: (user: string) => boolean = () => true): Promise<Played> {
  return playRegistry(t, (request, response) => {
    const user = userOf(request.headers.authorization);
    if (isKnown(user)) sendJson(response, { tags: [user], repositories: [user] });
    else sendJson(response, {}, { 'www-authenticate': 'Basic realm="x"' }, 401);
  });
}

function userOf(authorization: string | undefined): string {
  return authorization === undefined ? 'nobody' : (atob(authorization.replace('Basic ', '')).split(':')[0] ?? '');
}

function hostOf({ url }: Played): string {
  return new URL(url).host;
}

test('a repository has its most specific login, and the catalog that of the host', async (t) => {
  const registry = await playWhoAmI(t);
  const host = hostOf(registry);
  const file = writeAuthFile(t, {
    auths: { [host]: entry('host'), [`${host}/apps`]: entry('apps'), [`${host}/apps/hello`]: entry('hello') },
  });
  const source = readRegistry(t, registry.url, { authFiles: [file] });
  const users = await Promise.all(
    ['apps/hello', 'apps/hello/deep', 'apps/clock', 'apps2', 'other/apps'].map((repository) => source.tags(repository)),
  );
  assert.deepEqual(users.flat(), ['hello', 'hello', 'apps', 'host', 'host']);
  assert.deepEqual(await Array.fromAsync(source.repositories()), [['host']]);
});

test('the configuration comes first, then files in their order, each with all that it has', async (t) => {
  const registry = await playWhoAmI(t);
  const host = hostOf(registry);
  const missing = { path: join(temporaryFolder(t), 'missing.json'), required: false };
  const first = writeAuthFile(t, { auths: { [`${host}/apps`]: entry('first') } });
  const second = writeAuthFile(t, { auths: { [`${host}/apps/hello`]: entry('second'), [host]: entry('second') } });
  const authFiles = [missing, first, second];
  const source = readRegistry(t, registry.url, { authFiles });
  assert.deepEqual([await source.tags('apps/hello'), await source.tags('other')], [['first'], ['second']]);

  const configured = readRegistry(t, registry.url, {
    authFiles,
    credentials: { username: 'configured', password: 'x' },
  });
  assert.deepEqual(await configured.tags('apps/hello'), ['configured']);
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [missing] }).tags('apps/hello'), ['nobody']);
});

test('a login that is refused, and is still the one in its file, is not tried again', async (t) => {
  const asked: string[] = [];
  const registry = await playWhoAmI(t, (user) => asked.push(user) === 0);
  const file = writeAuthFile(t, { auths: { [hostOf(registry)]: entry('user') } });
  await assert.rejects(readRegistry(t, registry.url, { authFiles: [file] }).tags('a'), {
    code: 'denied',
    message: /the login is refused/,
  });
  assert.deepEqual(asked, ['user', 'nobody']);
});

test('many requests that are refused at once use the file’s new login', async (t) => {
  const registry = await playWhoAmI(t, (user) => user === known);
  let known = 'old';
  const file = writeAuthFile(t, { auths: { [hostOf(registry)]: entry('old') } });
  const source = readRegistry(t, registry.url, { authFiles: [file] });
  assert.deepEqual(await source.tags('a'), ['old']);
  known = 'new';
  replaceFile(file.path, { auths: { [hostOf(registry)]: entry('new') } });
  assert.deepEqual(
    await Promise.all(Array.from({ length: 20 }, () => source.tags('a'))),
    Array.from({ length: 20 }, () => ['new']),
  );
});

test('a file that changes is read again without a refusal too', async (t) => {
  const file = writeAuthFile(t, { auths: { 'registry.example.org': entry('old') } });
  const logins = new Keychain({ url: 'https://registry.example.org', authFiles: [file], checkedFor: 0 });
  assert.deepEqual(await logins.of('a'), basicLogin({ username: 'old', password: 'password' }));
  const before = logins.generation;
  await logins.of('a');
  assert.equal(logins.generation, before);
  replaceFile(file.path, { auths: { 'registry.example.org': entry('new') } });
  assert.deepEqual(await logins.of('a'), basicLogin({ username: 'new', password: 'password' }));
  assert.notEqual(logins.generation, before);
  // A file that is being written: the logins that were read before stay in use.
  writeFileSync(file.path, '{"auths": {"regis');
  assert.deepEqual(await logins.of('a'), basicLogin({ username: 'new', password: 'password' }));
  rmSync(file.path);
  assert.deepEqual(await logins.of('a'), basicLogin({ username: 'new', password: 'password' }));
});

const unreadable: [string, (t: TestContext) => AuthFile, RegExp][] = [
  ['that is not JSON', (t) => writeAuthFile(t, 'hunter2'), /that is not JSON/],
  ['of another shape', (t) => writeAuthFile(t, { auths: ['hunter2'] }), /auths: expected an object/],
  [
    'that was named and is not there',
    (t) => ({ path: join(temporaryFolder(t), 'auth.json'), required: true }),
    /it does not exist/,
  ],
  ['that is a folder', (t) => ({ path: temporaryFolder(t), required: false }), /it is not a file/],
  ['that is too large', (t) => writeAuthFile(t, ' '.repeat(1024 * 1024 + 1)), /larger than 1048576 bytes/],
  [
    'that names a program that is not there',
    (t) => writeAuthFile(t, { credsStore: 'nowhere' }),
    /docker-credential-nowhere get cannot be run: there is no such program in PATH/,
  ],
];
for (const [what, make, reason] of unreadable) {
  test(`with a file ${what} no request is sent anonymously`, async (t) => {
    const registry = await playWhoAmI(t);
    const file = make(t);
    await assert.rejects(
      readRegistry(t, registry.url, { authFiles: [file] }).tags('a'),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'unavailable');
        assert.match(error.message, reason);
        assert.ok(
          error.message.includes(file.path) && error.message.includes(`registries."${registry.url}".auth_file`),
          error.message,
        );
        for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
          assert.ok(!cause.message.includes('hunter2'));
        return true;
      },
    );
    assert.deepEqual(registry.seen, []);
  });
}

test('a file that cannot be read does not matter where another one has the login', async (t) => {
  const registry = await playWhoAmI(t);
  const files = [writeAuthFile(t, 'nonsense'), writeAuthFile(t, { auths: { [hostOf(registry)]: entry('user') } })];
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: files }).tags('a'), ['user']);
});

test('the login of a registry’s helper replaces that of the file', async (t) => {
  const registry = await playWhoAmI(t);
  const host = hostOf(registry);
  installHelper(
    t,
    'mine',
    `echo "{\\"ServerURL\\":\\"$SERVER\\",\\"Username\\":\\"kept-for-$SERVER\\",\\"Secret\\":\\"x\\"}"`,
  );
  const file = writeAuthFile(t, { auths: { [`${host}/a`]: entry('file') }, credHelpers: { [host]: 'mine' } });
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('a'), [
    `kept-for-${host}`.split(':')[0],
  ]);
});

test('a helper for all registries is asked, too; repositories in the file are more specific', async (t) => {
  const registry = await playWhoAmI(t);
  const host = hostOf(registry);
  installHelper(t, 'all', `echo '{"Username":"kept","Secret":"x"}'`);
  const file = writeAuthFile(t, { auths: { [host]: {}, [`${host}/a`]: entry('file') }, credsStore: 'all' });
  const source = readRegistry(t, registry.url, { authFiles: [file] });
  assert.deepEqual([await source.tags('a'), await source.tags('b')], [['file'], ['kept']]);
});

test('if the helper has no login, that of the file is used', async (t) => {
  const registry = await playWhoAmI(t);
  installHelper(t, 'none', 'echo "credentials not found in native keychain"; exit 1');
  const file = writeAuthFile(t, { auths: { [hostOf(registry)]: entry('file') }, credsStore: 'none' });
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('a'), ['file']);
});

test('if the helper is not installed, the login of the file is used until it is', async (t) => {
  const registry = await playWhoAmI(t);
  const host = hostOf(registry);
  for (const program of [{ credsStore: 'copied' }, { credHelpers: { [host]: 'copied' } }]) {
    const file = writeAuthFile(t, { auths: { [host]: entry('file') }, ...program });
    assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('a'), ['file']);
  }
  const logins = new Keychain({
    url: registry.url,
    authFiles: [writeAuthFile(t, { auths: { [host]: entry('file') }, credsStore: 'copied' })],
  });
  const before = await logins.of('a');
  installHelper(t, 'copied', `echo '{"Username":"kept","Secret":"x"}'`);
  assert.deepEqual(await logins.renew('a', before), basicLogin({ username: 'kept', password: 'x' }));
});

test(
  'a folder without permission has no logins',
  { skip: process.getuid?.() === 0 && 'root may read all folders' },
  async (t) => {
    const folder = temporaryFolder(t);
    chmodSync(folder, 0);
    assert.equal(
      await new Keychain({
        url: 'https://registry.example.org',
        authFiles: [{ path: join(folder, 'auth.json'), required: false }],
      }).of('a'),
      undefined,
    );
  },
);

test('a helper is asked for every name of Docker Hub', async (t) => {
  const folder = installHelper(
    t,
    'hub',
    'echo "$SERVER" >> "$(dirname "$0")/asked"; echo "credentials not found in native keychain"; exit 1',
  );
  const logins = new Keychain({
    url: 'https://registry-1.docker.io',
    authFiles: [writeAuthFile(t, { credsStore: 'hub' })],
  });
  assert.equal(await logins.of('library/hello'), undefined);
  assert.deepEqual(readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n'), [
    'https://index.docker.io/v1/',
    'index.docker.io',
    'docker.io',
    'registry-1.docker.io',
  ]);
});

test('a helper whose login was refused is asked again, once for many requests', async (t) => {
  const folder = installHelper(
    t,
    'rotating',
    'cd "$(dirname "$0")"; echo asked >> asked; echo "{\\"Username\\":\\"user$(wc -l < asked)\\",\\"Secret\\":\\"x\\"}"',
  );
  const registry = await playWhoAmI(t, (user) => user === 'user2');
  const file = writeAuthFile(t, { credHelpers: { [hostOf(registry)]: 'rotating' } });
  const source = readRegistry(t, registry.url, { authFiles: [file] });
  assert.deepEqual(
    await Promise.all(Array.from({ length: 20 }, () => source.tags('a'))),
    Array.from({ length: 20 }, () => ['user2']),
  );
  assert.equal(readFileSync(join(folder, 'asked'), 'utf8'), 'asked\nasked\n');
});

test('an identity token is given to the realm alone, for tokens', async (t) => {
  const forms: [string | undefined, string | undefined, Record<string, string>][] = [];
  const realm = await playRegistry(t, (request, response) => {
    let form = '';
    request.setEncoding('utf8').on('data', (text: string) => (form += text));
    request.on('end', () => {
      forms.push([request.method, request.headers['content-type'], Object.fromEntries(new URLSearchParams(form))]);
      sendJson(response, { access_token: 'abc' });
    });
  });
  const seen: (string | undefined)[] = [];
  const registry = await playRegistry(t, (request, response) => {
    seen.push(request.headers.authorization);
    if (request.headers.authorization === 'Bearer abc') sendJson(response, { tags: ['a'] });
    else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token",service="registry"` }, 401);
  });
  const file = writeAuthFile(t, { auths: { [hostOf(registry)]: { identitytoken: 'identity' } } });
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('one'), ['a']);
  assert.deepEqual(forms, [
    [
      'POST',
      'application/x-www-form-urlencoded',
      {
        service: 'registry',
        grant_type: 'refresh_token',
        refresh_token: 'identity',
        client_id: 'regindexer',
        scope: 'repository:one:pull',
      },
    ],
  ]);
  assert.deepEqual(realm.seen, ['POST /token']);
  assert.deepEqual(seen, [undefined, 'Bearer abc']);
});

test('a login that the realm refuses is looked for again, and tokens are asked for with the new one', async (t) => {
  const realm = await playRegistry(t, (request, response) => {
    const user = userOf(request.headers.authorization);
    replaceFile(file.path, { auths: { [hostOf(registry)]: entry('new') } });
    sendJson(response, { token: user }, {}, user === 'new' ? 200 : 401);
  });
  const registry = await playRegistry(t, (request, response) => {
    if (request.headers.authorization === 'Bearer new') sendJson(response, { tags: ['a'] });
    else sendJson(response, {}, { 'www-authenticate': `Bearer realm="${realm.url}/token"` }, 401);
  });
  const file = writeAuthFile(t, { auths: { [hostOf(registry)]: entry('old') } });
  assert.deepEqual(await readRegistry(t, registry.url, { authFiles: [file] }).tags('a'), ['a']);
  assert.equal(realm.seen.length, 2);
});

test('the output of a helper is a login, none, or an error that does not quote it', async (t) => {
  installHelper(
    t,
    'many',
    `case $SERVER in
token) echo '{"Username":"<token>","Secret":"hunter2"}';;
none) echo 'credentials not found in native keychain'; exit 1;;
fails) echo hunter2; echo hunter2 >&2; exit 3;;
garbage) echo hunter2;;
nameless) echo '{"Username":"","Secret":"hunter2"}';;
empty) echo '{"Username":"hunter2","Secret":""}';;
hangs) exec sleep 60;;
esac`,
  );
  assert.deepEqual(await askCredentialHelper('many', 'token'), identityLogin('hunter2'));
  assert.deepEqual(await askCredentialHelper('many', 'nameless'), basicLogin({ username: '', password: 'hunter2' }));
  assert.equal(await askCredentialHelper('many', 'none'), undefined);
  const faults: [string, RegExp][] = [
    ['fails', /failed \(3\)/],
    ['garbage', /did not print a login/],
    ['empty', /did not print a login/],
    ['hangs', /did not end within 0.5 s/],
  ];
  for (const [server, reason] of faults) {
    await assert.rejects(askCredentialHelper('many', server, 500), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'unavailable');
      assert.match(error.message, reason);
      assert.match(error.message, new RegExp(`echo ${server} \\| docker-credential-many get`));
      assert.ok(!error.message.includes('hunter2'), error.message);
      return true;
    });
  }
});

test('a helper that cannot be run is named', async (t) => {
  const folder = installHelper(t, 'locked', 'true');
  chmodSync(join(folder, 'docker-credential-locked'), 0o644);
  appendFileSync(join(folder, 'docker-credential-locked'), '\n');
  await assert.rejects(askCredentialHelper('locked', 'x'), {
    code: 'unavailable',
    message: /^docker-credential-locked get failed \(EACCES\)/,
  });
});
