/** Connections to PostgreSQL: TLS as libpq means it, and where the password comes from. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { escapeLiteral } from 'pg';
import { connectionOf, databaseName } from '../../../src/store/postgres/connection.ts';
import { PostgresDatabase } from '../../../src/store/postgres/postgres-database.ts';
import { type Certificates, makeCertificates } from '../../peers/certificates.ts';
import { isInstalled, needs } from '../../peers/installed.ts';
import { type Postgresql, startPostgresql } from '../../peers/postgresql.ts';
import { run } from './database.ts';

/** In the certificate, and an address of the server that is not. */
const NAMED = '127.0.0.1';
const OTHER = '127.0.0.2';
const PASSWORD = 'pass:wo\\rd "1';
/** Name in the client's certificate. */
const CERTIFIED = 'regindexer test client';

const RULES = [
  `hostssl all "${CERTIFIED}" all cert`,
  'hostssl all secure all trust',
  'host all protected all scram-sha-256',
  'local all all trust',
];

const UNTRUSTED = refused(
  /^the database test_1 at 127\.0\.0\.[12]:\d+ has a certificate that no trusted authority has signed \(.+\): set sslrootcert in store to a file with the certificate of its authority$/,
);
const MISNAMED = refused(/ has a certificate for another host \(.+\): name the host in store as its certificate does$/);

suite('connections to PostgreSQL', needs('postgres', 'openssl'), () => {
  const folder = mkdtempSync(join(tmpdir(), 'regindexer-connection-'));
  const resources = new AsyncDisposableStack();
  resources.defer(() => rmSync(folder, { recursive: true }));
  let certificates: Certificates;
  let strangers: Certificates;
  let server: Postgresql;
  let port: number;
  before(async () => {
    if (!isInstalled('postgres')) return;
    [certificates, strangers] = [
      await certificatesIn(join(folder, 'own')),
      await certificatesIn(join(folder, 'strangers')),
    ];
    server = resources.use(
      await startPostgresql({ listen_addresses: `${NAMED},${OTHER}` }, { certificates, rules: RULES }),
    );
    const connection = await server.createDatabase();
    port = connection.port ?? 0;
    await run(
      connection,
      `CREATE ROLE secure LOGIN; CREATE ROLE "${CERTIFIED}" LOGIN;
       CREATE ROLE protected LOGIN PASSWORD ${escapeLiteral(PASSWORD)}`,
    );
  });
  after(() => resources.disposeAsync());

  type Parameters = Readonly<Record<string, string>>;
  const urlOf = (host: string, parameters: Parameters, user = 'secure'): string =>
    `postgres://${encodeURIComponent(user)}@${encodeURIComponent(host)}:${port}/test_1?${new URLSearchParams(parameters).toString()}`;

  test('require encrypts, and believes any server', async (t) => {
    assert.deepEqual(await connect(t, urlOf(OTHER, { sslmode: 'require' })), { ssl: true });
  });

  test('require with an authority is verify-ca', async (t) => {
    const { authority } = certificates;
    assert.deepEqual(await connect(t, urlOf(OTHER, { sslmode: 'require', sslrootcert: authority })), { ssl: true });
    await assert.rejects(connect(t, urlOf(NAMED, { sslmode: 'require', sslrootcert: strangers.authority })), UNTRUSTED);
  });

  test('verify-ca looks at the authority, and not at the name', async (t) => {
    const { authority } = certificates;
    for (const host of [NAMED, OTHER, 'localhost'])
      assert.deepEqual(await connect(t, urlOf(host, { sslmode: 'verify-ca', sslrootcert: authority })), { ssl: true });
    await assert.rejects(
      connect(t, urlOf(NAMED, { sslmode: 'verify-ca', sslrootcert: strangers.authority })),
      UNTRUSTED,
    );
  });

  test('verify-full looks at both', async (t) => {
    const { authority } = certificates;
    for (const host of [NAMED, 'localhost'])
      assert.deepEqual(await connect(t, urlOf(host, { sslmode: 'verify-full', sslrootcert: authority })), {
        ssl: true,
      });
    await assert.rejects(connect(t, urlOf(OTHER, { sslmode: 'verify-full', sslrootcert: authority })), MISNAMED);
    await assert.rejects(
      connect(t, urlOf(NAMED, { sslmode: 'verify-full', sslrootcert: strangers.authority })),
      UNTRUSTED,
    );
  });

  test('verify-full without an authority trusts those of the system', async (t) => {
    await assert.rejects(connect(t, urlOf(NAMED, { sslmode: 'verify-full' })), UNTRUSTED);
    await assert.rejects(connect(t, urlOf(NAMED, { sslmode: 'verify-full', sslrootcert: 'system' })), UNTRUSTED);
  });

  test('no mode, and disable, are not encrypted, and a server that wants TLS says so', async (t) => {
    assert.deepEqual(await connect(t, urlOf(NAMED, { sslmode: 'disable' }, 'protected'), PASSWORD), { ssl: false });
    for (const parameters of [{}, { sslmode: 'disable' }])
      await assert.rejects(
        connect(t, urlOf(NAMED, parameters)),
        refused(
          / refuses the connection \(no pg_hba\.conf entry .+, no encryption\): set sslmode=verify-full in store if it wants TLS, or add/,
        ),
      );
  });

  test('a server without TLS is told', async (t) => {
    await using plain = await startPostgresql();
    const { port: plainPort } = await plain.createDatabase();
    const url = urlOf(NAMED, { sslmode: 'require' }).replace(`:${port}/`, `:${plainPort}/`);
    await assert.rejects(
      connect(t, url),
      refused(/ offers no TLS \(.+\): turn ssl on in postgresql\.conf of the server, or set sslmode=disable in store/),
    );
  });

  test('a client certificate is shown', async (t) => {
    const shown = ({ clientCertificate, clientKey }: Certificates): Parameters => ({
      sslmode: 'verify-full',
      sslrootcert: certificates.authority,
      sslcert: clientCertificate,
      sslkey: clientKey,
    });
    assert.deepEqual(await connect(t, urlOf(NAMED, shown(certificates), CERTIFIED)), { ssl: true });
    const ADVICE = /: set sslcert and sslkey in store to a client certificate that it accepts for this user$/;
    await assert.rejects(connect(t, urlOf(NAMED, { sslmode: 'require' }, CERTIFIED)), refused(ADVICE));
    await assert.rejects(connect(t, urlOf(NAMED, shown(strangers), CERTIFIED)), refused(ADVICE));
  });

  test('files that cannot be used are named', () => {
    const { authority, key, clientCertificate } = certificates;
    for (const [parameters, message] of [
      [{ sslrootcert: key }, /^store: \S+server\.key cannot be used for the connection to .+: it holds no certificate/],
      [{ sslrootcert: `${authority}.not` }, /^store: \S+authority\.crt\.not cannot be used .+: ENOENT/],
      [
        { sslcert: clientCertificate, sslkey: key },
        /^store: \S+client\.crt and \S+server\.key cannot be used .+: .*key values mismatch/,
      ],
    ] as const)
      assert.throws(
        () => connectionOf({ url: urlOf(NAMED, { sslmode: 'require', ...parameters }), password: undefined }),
        refused(message),
      );
  });

  test('on a Unix socket there is no TLS', async (t) => {
    assert.deepEqual(await connect(t, urlOf(server.folder, { sslmode: 'verify-full' })), { ssl: false });
  });

  test('the password comes from the configuration, else from the password file of libpq', async (t) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    const url = urlOf(NAMED, { sslmode: 'require' }, 'protected');
    assert.deepEqual(await connect(t, url, PASSWORD), { ssl: true });

    const file = join(folder, 'pgpass');
    const earlier = process.env['PGPASSFILE'];
    process.env['PGPASSFILE'] = file;
    t.after(() => {
      if (earlier === undefined) delete process.env['PGPASSFILE'];
      else process.env['PGPASSFILE'] = earlier;
    });
    const ASKED = refused(/ asks for a password \(.+\): set store_password_file, or PGPASSWORD$/);
    await assert.rejects(connect(t, url), ASKED);
    writeFileSync(file, `${NAMED}:${port}:*:protected:${PASSWORD.replaceAll(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
    assert.deepEqual(await connect(t, url), { ssl: true });
    await assert.rejects(connect(t, url.replace(NAMED, OTHER)), ASKED);

    await assert.rejects(
      connect(t, url, 'wrong'),
      refused(
        /^the database test_1 at 127\.0\.0\.1:\d+ refuses the login \(password authentication failed for user "protected"\): check the user in store, and the password there, in store_password_file or in PGPASSWORD$/,
      ),
    );
    assert.deepEqual(warnings, []);
  });
});

test('a database has a name without its login', () => {
  assert.equal(nameOf('postgres://me@db.example.org:5432/apps'), 'the database apps at db.example.org:5432');
  assert.equal(nameOf('postgres://me@[::1]:5432/a%20b'), 'the database a b at [::1]:5432');
  assert.equal(nameOf('postgres://me@%2Frun%2Fpostgresql:5432/apps'), 'the database apps at /run/postgresql:5432');
});

function nameOf(url: string): string {
  return databaseName(connectionOf({ url, password: 'secret' }));
}

async function certificatesIn(folder: string): Promise<Certificates> {
  mkdirSync(folder);
  return makeCertificates(folder);
}

/** Says whether a connection that comes about is encrypted; fails as it does. */
async function connect(t: TestContext, url: string, password?: string): Promise<{ readonly ssl: boolean }> {
  const database = new PostgresDatabase(connectionOf({ url, password }));
  t.after(() => database.close());
  const [row] = await database.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
  return row ?? assert.fail();
}

function refused(message: RegExp) {
  return { name: 'StoreError', code: 'refused', message };
}
