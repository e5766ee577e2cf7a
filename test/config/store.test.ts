import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { configWarnings } from '../../src/config/config-warnings.ts';
import type { StoreConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/replace-variables.ts';
import { INDEX, configOf, problemsOf, writeConfig } from './config-file.ts';

const BESIDE = { 'a.pem': '', 'a.key': '', password: 'p@ss word \n' };
const USER = { USER: 'daemon' };

/** The database that `text` gives; `/etc` stands for the folder of the file. */
function storeOf(t: TestContext, text: string, environment: Environment = {}): StoreConfig | undefined {
  const { file, store } = configOf(t, `${INDEX}${text}`, { environment, beside: BESIDE });
  return store && { ...store, url: store.url.replaceAll(encodeURIComponent(dirname(file)), '/etc') };
}

test('the store is in files unless a database is named', (t) => {
  for (const text of ['', 'store: state_dir', 'store: ${STORE}', 'store: ${STORE:state_dir}'])
    assert.equal(storeOf(t, text, { STORE: '', PGHOST: 'db.example.org' }), undefined, text);
});

const URLS: readonly (readonly [written: string, url: string, password?: string])[] = [
  ['postgres://', 'postgres://daemon@localhost:5432/daemon'],
  ['postgresql:///', 'postgres://daemon@localhost:5432/daemon'],
  ['postgres:///apps', 'postgres://daemon@localhost:5432/apps'],
  ['postgres://:6432', 'postgres://daemon@localhost:6432/daemon'],
  ['postgres://db.example.org', 'postgres://daemon@db.example.org:5432/daemon'],
  ['postgres://me@', 'postgres://me@localhost:5432/me'],
  ['postgres://me@:6432/apps', 'postgres://me@localhost:6432/apps'],
  ['postgres://me:a%40b%2Fc%25@db.example.org/apps', 'postgres://me@db.example.org:5432/apps', 'a@b/c%'],
  ['postgres://me:a@b@db.example.org', 'postgres://me@db.example.org:5432/me', 'a@b'],
  ['postgres://:secret@db.example.org', 'postgres://daemon@db.example.org:5432/daemon', 'secret'],
  ['postgres://me:secret@/apps', 'postgres://me@localhost:5432/apps', 'secret'],
  ['postgres://[::1]:6432/a%20b', 'postgres://daemon@[::1]:6432/a%20b'],
  ['postgres://me%40home@10.0.0.1/apps', 'postgres://me%40home@10.0.0.1:5432/apps'],
  ['postgres:///apps?host=/run/postgresql&port=6432', 'postgres://daemon@%2Frun%2Fpostgresql:6432/apps'],
  ['postgres://me@%2Frun%2Fpostgresql/apps', 'postgres://me@%2Frun%2Fpostgresql:5432/apps'],
  ['postgres://db.example.org?sslmode=', 'postgres://daemon@db.example.org:5432/daemon'],
  [
    'postgres://db.example.org/apps?sslmode=verify-full&sslrootcert=system',
    'postgres://daemon@db.example.org:5432/apps?sslmode=verify-full&sslrootcert=system',
  ],
  [
    'postgres://db.example.org/apps?sslkey=a.key&sslcert=./a.pem&sslmode=verify-ca&sslrootcert=a.pem',
    'postgres://daemon@db.example.org:5432/apps?sslmode=verify-ca&sslrootcert=/etc%2Fa.pem&sslcert=/etc%2Fa.pem&sslkey=/etc%2Fa.key',
  ],
];

for (const [written, url, password] of URLS) {
  test(`${written} is complete afterwards`, (t) => {
    const store = storeOf(t, `store: "${written}"`, USER);
    assert.deepEqual(store, { url, password });
    assert.ok(URL.canParse(store?.url ?? ''));
  });
}

test('what the URL leaves out comes from the variables of libpq', (t) => {
  const environment = {
    ...USER,
    PGUSER: 'me',
    PGPASSWORD: 'secret',
    PGHOST: '/run/postgresql',
    PGPORT: '6432',
    PGDATABASE: 'apps',
    PGSSLMODE: 'require',
    PGSSLROOTCERT: '/dev/../etc/passwd',
  };
  assert.deepEqual(storeOf(t, 'store: "postgres://"', environment), {
    url: 'postgres://me@%2Frun%2Fpostgresql:6432/apps?sslmode=require&sslrootcert=%2Fetc%2Fpasswd',
    password: 'secret',
  });
  assert.deepEqual(
    storeOf(
      t,
      'store: postgres://you:other@db.example.org:5432/all?sslmode=verify-full&sslrootcert=system',
      environment,
    ),
    { url: 'postgres://you@db.example.org:5432/all?sslmode=verify-full&sslrootcert=system', password: 'other' },
  );
  assert.equal(
    storeOf(t, 'store: "postgres://"', { ...USER, PGHOST: '' })?.url,
    'postgres://daemon@localhost:5432/daemon',
  );
});

test('variables of the file are replaced', (t) => {
  assert.deepEqual(
    storeOf(t, 'store: postgres://me:${PASSWORD}@${HOST}/apps', { PASSWORD: 'a', HOST: 'db.example.org' }),
    {
      url: 'postgres://me@db.example.org:5432/apps',
      password: 'a',
    },
  );
});

test('a password may be in a file, which may end with a line break', (t) => {
  const text = 'store: postgres://me@db.example.org\nstore_password_file: password';
  assert.equal(storeOf(t, text, { PGPASSWORD: 'other' })?.password, 'p@ss word ');
});

test('it can be sent to a thread', (t) => {
  const store = storeOf(t, 'store: postgres://me:a@db.example.org');
  assert.deepEqual(structuredClone(store), store);
});

const FAULTS: readonly (readonly [text: string, path: string, message: RegExp])[] = [
  ['store: sqlite', 'store', /^is not a URL with postgres or postgresql, expected state_dir or postgres:\/\/\[USER/],
  ['store: mysql://db.example.org', 'store', /^is not a URL with postgres or postgresql, expected state_dir or/],
  ['store: postgres:db.example.org', 'store', /^has no \/\/ after postgres:, expected/],
  ['store: postgres://db.example.org:99999', 'store', /^has a port over 65535, expected/],
  ['store: postgres://me:a/b@db.example.org', 'store', /^has an @ after its host \(in a password, \/ is written %2F/],
  ['store: postgres://me:1?b@db.example.org', 'store', /^has an @ after its host/],
  ['store: "postgres://me:1#b@db.example.org"', 'store', /^has an @ after its host/],
  ['store: "postgres://db.example.org/apps#main"', 'store', /^has a fragment/],
  ['store: postgres://me:100%@db.example.org', 'store', /^has an invalid percent-encoding \(in a password, % is/],
  [
    'store: postgres://db.example.org?ssl_mode=require',
    'store',
    /^has a parameter that is not known here \(the nearest is sslmode of host, port, sslmode,/,
  ],
  [
    'store: postgres://db.example.org?sslmode=prefer',
    'store',
    /^has sslmode prefer, which may end in a connection that is not encrypted, expected disable, require, verify-ca or verify-full$/,
  ],
  ['store: postgres://db.example.org?sslmode=allow', 'store', /^has sslmode allow, which may/],
  [
    'store: postgres://db.example.org?sslmode=full',
    'store',
    /^has an sslmode that is not known, expected disable, require/,
  ],
  [
    'store: postgres://db.example.org?sslrootcert=a.pem',
    'store',
    /^has sslrootcert without sslmode, expected sslmode=verify-full/,
  ],
  [
    'store: postgres://db.example.org?sslmode=verify-ca',
    'store',
    /^has sslmode verify-ca without sslrootcert, expected sslrootcert=FILE/,
  ],
  [
    'store: postgres://db.example.org?sslmode=require&sslrootcert=system',
    'store',
    /^has sslrootcert system with sslmode require, expected sslmode=verify-full/,
  ],
  [
    'store: postgres://db.example.org?sslmode=require&sslcert=a.pem',
    'store',
    /^has sslcert without sslkey, expected both or neither$/,
  ],
  [
    'store: postgres://db.example.org?sslmode=require&sslkey=a.key',
    'store',
    /^has sslkey without sslcert, expected both or neither$/,
  ],
  [
    'store: postgres://db.example.org?sslmode=require&sslrootcert=nowhere.pem',
    'store',
    /^has an sslrootcert that names a file that does not exist, expected a file that can be read$/,
  ],
  [
    'store: postgres://db.example.org?sslmode=require&sslrootcert=.',
    'store',
    /^has an sslrootcert that names a file that is a folder/,
  ],
  ['store: postgres://a.example.org,b.example.org', 'store', /^names several hosts, expected one/],
  [
    'store: postgres:///apps?host=/run/postgresql&port=http',
    'store',
    /^has a port that is not valid, expected a whole number from 1 to 65535$/,
  ],
  ['store: postgres:///apps?host=a:b', 'store', /^has a host that is not valid, expected a name/],
  ['store: [postgres://]', 'store', /^is a list, expected state_dir or/],
  ['store_password_file: password', 'store_password_file', /^is given while store is state_dir, expected/],
  ['store: state_dir\nstore_password_file: password', 'store_password_file', /^is given while store is state_dir/],
  [
    'store: postgres://me:a@db.example.org\nstore_password_file: password',
    'store_password_file',
    /^is given beside a password in store, expected only one/,
  ],
  [
    'store: postgres://\nstore_password_file: nowhere',
    'store_password_file',
    /^names a file that does not exist, expected a password alone$/,
  ],
  ['store: postgres://\nstore_password_file: a.pem', 'store_password_file', /^names a file that is empty/],
  [
    'store: postgres://\nstore_password_file: config.yaml',
    'store_password_file',
    /^names a file that has several lines/,
  ],
];

for (const [text, path, message] of FAULTS) {
  test(`${JSON.stringify(text)} is refused`, (t) => {
    const problems = problemsOf(writeConfig(t, `${INDEX}${text}`, BESIDE), USER);
    assert.deepEqual(
      problems.map((problem) => problem.path),
      [path],
    );
    assert.match(problems[0]?.message ?? '', message);
  });
}

test('what a variable says wrongly is told with its name', (t) => {
  const faults = (environment: Environment): readonly string[] =>
    problemsOf(writeConfig(t, `${INDEX}store: "postgres://"`), environment).map(({ message }) => message);
  assert.match(faults({}).join(), /^names no user, expected postgres:\/\/USER@…, or the variable PGUSER$/);
  assert.match(faults({ ...USER, PGSSLMODE: 'prefer' }).join(), /^has sslmode \(from PGSSLMODE\) prefer, which/);
  assert.match(faults({ ...USER, PGSSLMODE: 'x' }).join(), /^has an sslmode \(from PGSSLMODE\) that is not known/);
  assert.match(faults({ ...USER, PGPORT: 'x' }).join(), /^has a port \(from PGPORT\) that is not valid/);
  assert.match(faults({ ...USER, PGHOST: 'a,b' }).join(), /^names several hosts \(from PGHOST\), expected one/);
  assert.match(
    faults({ ...USER, PGSSLROOTCERT: '/a' }).join(),
    /^has sslrootcert \(from PGSSLROOTCERT\) without sslmode/,
  );
});

test('pipes and devices in its place are told, at once', (t) => {
  const file = writeConfig(
    t,
    `${INDEX}store: postgres://?sslmode=verify-ca&sslrootcert=pipe&sslcert=pipe&sslkey=/dev/zero\nstore_password_file: pipe`,
  );
  execFileSync('mkfifo', [join(dirname(file), 'pipe')]);
  const problems = problemsOf(file, USER);
  assert.equal(problems.length, 4);
  for (const { message } of problems) assert.match(message, /is a pipe or a device, not a regular file, expected/);
});

test('a database on another machine without TLS is warned of', (t) => {
  const warnings = (url: string): readonly string[] =>
    configWarnings(configOf(t, `${INDEX}store: "${url}"`, { environment: USER }));
  assert.deepEqual(warnings('postgres://db.example.org'), [
    'store: reaches a database on another machine without TLS; add ?sslmode=verify-full, or ?sslmode=disable if the network is safe',
  ]);
  for (const url of [
    'postgres://',
    'postgres://127.0.0.1',
    'postgres://[::1]',
    'postgres:///?host=/run/postgresql',
    'postgres://db.example.org?sslmode=disable',
    'postgres://db.example.org?sslmode=require',
  ])
    assert.deepEqual(warnings(url), [], url);
});
