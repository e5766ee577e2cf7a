import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { basicLogin, identityLogin } from '../../../../src/registry/http/access/login.ts';
import { parseAuthFile, type AuthFileEntry } from '../../../../src/registry/http/access/parse-auth-file.ts';
import { registryName } from '../../../../src/registry/http/access/registry-names.ts';
import { RegistryError } from '../../../../src/registry/registry-error.ts';
import { entry } from './access-folder.ts';

function parse(content: unknown, host = 'registry.example.org', defaultPort = '443'): AuthFileEntry {
  return parseAuthFile(Buffer.from(JSON.stringify(content)), registryName(host, defaultPort), defaultPort);
}

function login(username: string) {
  return basicLogin({ username, password: 'password' });
}

test('logins are those of the registry, by host, host and port, and repositories below', () => {
  const auths = {
    'registry.example.org': entry('host'),
    'registry.example.org:5000': entry('port'),
    'registry.example.org/apps': entry('folder'),
    'registry.example.org/apps/hello': entry('repository'),
    'other.example.org/apps': entry('other'),
  };
  assert.deepEqual(
    parse({ auths }).logins,
    new Map([
      ['', login('host')],
      ['apps', login('folder')],
      ['apps/hello', login('repository')],
    ]),
  );
  assert.deepEqual(parse({ auths }, 'registry.example.org:5000').logins, new Map([['', login('port')]]));
});

test('a host may be in capitals, with its default port, and a URL, over which the plain name takes precedence', () => {
  for (const key of [
    'Registry.Example.org',
    'registry.example.org:443',
    'https://registry.example.org',
    'https://registry.example.org/v1/',
    'http://registry.example.org/v2',
  ]) {
    assert.deepEqual(parse({ auths: { [key]: entry('user') } }).logins, new Map([['', login('user')]]), key);
  }
  for (const keys of [
    ['https://registry.example.org/v1/', 'registry.example.org'],
    ['registry.example.org', 'https://registry.example.org/v1/'],
  ]) {
    const auths = Object.fromEntries(keys.map((key) => [key, entry(key.startsWith('http') ? 'old' : 'new')]));
    assert.deepEqual(parse({ auths }).logins.get(''), login('new'));
  }
  assert.deepEqual(parse({ auths: { 'registry.example.org:80': entry('user') } }).logins, new Map());
});

test('all names of Docker Hub are one', () => {
  for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io']) {
    for (const key of [
      'docker.io',
      'index.docker.io',
      'registry-1.docker.io',
      'https://index.docker.io/v1/',
      'https://registry-1.docker.io',
    ]) {
      assert.deepEqual(
        parse({ auths: { [key]: entry('user') } }, host).logins,
        new Map([['', login('user')]]),
        `${key} for ${host}`,
      );
    }
    assert.deepEqual(
      parse({ auths: { 'docker.io/library/hello': entry('user') } }, host).logins,
      new Map([['library/hello', login('user')]]),
    );
    assert.deepEqual(parse({ credHelpers: { 'index.docker.io': 'secrets' } }, host).helper, {
      name: 'secrets',
      server: 'index.docker.io',
    });
  }
});

test('an identity token comes before the login beside it', () => {
  const { logins } = parse({ auths: { 'registry.example.org': { ...entry('<token>'), identitytoken: 'abc' } } });
  assert.deepEqual(logins.get(''), identityLogin('abc'));
});

test('a password may hold colons and any characters; NULs at the end are removed', () => {
  const { logins } = parse({
    auths: { 'registry.example.org': { auth: Buffer.from('user:p:ä\n\0\0').toString('base64') } },
  });
  assert.deepEqual(logins.get(''), basicLogin({ username: 'user', password: 'p:ä\n' }));
});

test('a login may be in username and password, and its user without a name', () => {
  const named = { username: 'user', password: 'p:ä' };
  for (const [written, meant] of [
    [named, named],
    [{ ...named, auth: '' }, named],
    [
      { ...named, ...entry('other') },
      { username: 'other', password: 'password' },
    ],
    [{ auth: btoa(':token') }, { username: '', password: 'token' }],
    [
      { username: '', password: 'token' },
      { username: '', password: 'token' },
    ],
  ] as const)
    assert.deepEqual(
      parse({ auths: { 'registry.example.org': written } }).logins.get(''),
      basicLogin(meant),
      JSON.stringify(written),
    );
});

test('entries without a login are ignored', () => {
  for (const empty of [
    {},
    { auth: '' },
    { auth: btoa('user') },
    { auth: btoa('user:') },
    { auth: btoa(':') },
    { auth: 7 },
    { username: 'user' },
    { username: 'user', password: '' },
    { username: 7, password: 'x' },
    { identitytoken: '' },
  ]) {
    assert.deepEqual(parse({ auths: { 'registry.example.org': empty } }).logins, new Map(), JSON.stringify(empty));
  }
  for (const nothing of [{}, { auths: null, credHelpers: null, credsStore: null }, { credsStore: '' }]) {
    assert.deepEqual(parse(nothing), { logins: new Map(), helper: undefined, store: undefined });
  }
});

test('credential helpers are found', () => {
  assert.deepEqual(
    parse({ credsStore: 'pass', credHelpers: { 'registry.example.org': 'ecr-login', 'other.example.org': 'other' } }),
    {
      logins: new Map(),
      helper: { name: 'ecr-login', server: 'registry.example.org' },
      store: 'pass',
    },
  );
});

test('any other file is malformed, and is not quoted', () => {
  const wrong = [
    '',
    'hunter2',
    '["hunter2"]',
    '{"auths": ["hunter2"]}',
    '{"auths": {"registry.example.org": "hunter2"}}',
    '{"credsStore": "../hunter2"}',
    '{"credsStore": ["hunter2"]}',
    '{"credHelpers": {"registry.example.org": "hunter2 --x"}}',
    '{"auths": {"registry.example.org": hunter2',
  ];
  for (const text of wrong) {
    assert.throws(
      () => parseAuthFile(Buffer.from(text), 'registry.example.org', '443'),
      (error) => error instanceof RegistryError && error.code === 'malformed' && !error.message.includes('hunter2'),
      text,
    );
  }
});

test('any bytes give an entry or a RegistryError', () => {
  const key = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom('docker.io', 'registry.example.org', ':', '443', '/', 'https://', 'apps', '[', ']'))
      .map((parts) => parts.join('')),
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record(
      {
        auth: fc.oneof(fc.base64String(), fc.string(), fc.jsonValue()),
        identitytoken: fc.oneof(fc.string(), fc.jsonValue()),
      },
      { requiredKeys: [] },
    ),
  );
  const file = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    fc
      .record(
        {
          auths: fc.oneof(fc.dictionary(key, value), fc.jsonValue()),
          credHelpers: fc.oneof(fc.dictionary(key, value), fc.jsonValue()),
          credsStore: fc.jsonValue(),
        },
        { requiredKeys: [] },
      )
      .map((content) => Buffer.from(JSON.stringify(content))),
  );
  fc.assert(
    fc.property(file, fc.constantFrom('registry.example.org', 'docker.io', 'localhost:5000'), (bytes, registry) => {
      try {
        const { logins } = parseAuthFile(bytes, registry, '443');
        return logins instanceof Map;
      } catch (error) {
        return error instanceof RegistryError && error.code === 'malformed';
      }
    }),
  );
});
