import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { makeCertificates, type Certificates } from '../peers/certificates.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { eventually } from './eventually.ts';

const TOKEN = 'the-first-token';

function config(its: object = {}, indexes: object = {}): object {
  return {
    state_dir: 'state',
    indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true }, ...indexes },
    server: { port: 0, admin_token: TOKEN, ...its },
  };
}

suite('a server that is told to read its configuration again', needs('openssl'), () => {
  const resources = new AsyncDisposableStack();
  let server: Regindexer;
  let certificates: Certificates;
  let ca: string;
  let agent: Agent;
  before(async () => {
    server = resources.use(await startRegindexer({ config: config({}) }));
  });
  before(async () => {
    certificates = await makeCertificates(await subfolder('certificates'));
    ca = await readFile(certificates.authority, 'utf8');
    agent = new Agent({ connect: { ca } });
    resources.defer(() => agent.close());
    await link('first', certificates.certificate, certificates.key);
    await server.stop();
    await write({ tls: { cert: 'tls/live/tls.crt', key: 'tls/live/tls.key' } });
    await server.start();
    await eventually(async () => assert.equal((await ask('/readyz')).status, 200));
  });
  after(() => resources.disposeAsync());

  const subfolder = async (name: string): Promise<string> => {
    const folder = join(server.folder, name);
    await mkdir(folder, { recursive: true });
    return folder;
  };

  /** Leads the certificate and key to these files, as Kubernetes does it. */
  const link = async (name: string, certificate: string, key: string): Promise<void> => {
    const folder = await subfolder(`tls/${name}`);
    await copyFile(certificate, join(folder, 'tls.crt'));
    await copyFile(key, join(folder, 'tls.key'));
    await symlink(name, join(server.folder, 'tls/next'));
    await rename(join(server.folder, 'tls/next'), join(server.folder, 'tls/live'));
  };

  const write = async (its: object, indexes: object = {}): Promise<void> =>
    writeFile(join(server.folder, 'config.yaml'), stringify(config(its, indexes)));
  const tls = { tls: { cert: 'tls/live/tls.crt', key: 'tls/live/tls.key' } };

  const ask = async (
    path: string,
    options: Parameters<typeof request>[1] = {},
  ): Promise<{ status: number; text: string }> => {
    const { statusCode, body } = await request(`${server.url}${path}`, { dispatcher: agent, ...options });
    return { status: statusCode, text: await body.text() };
  };

  /** Sends the signal and waits for a line of the log that comes of it. */
  const reload = async (line: RegExp): Promise<string> => {
    const { length } = server.log;
    process.kill(server.pid, 'SIGHUP');
    return eventually(() => {
      const found = server.log
        .slice(length)
        .split('\n')
        .find((each) => line.test(each));
      assert.ok(found, server.log.slice(length));
      return found;
    });
  };

  /** Rebuilds, and requests for one. */
  const counted = async (): Promise<readonly number[]> => {
    const { text: figures } = await ask('/metrics');
    return [
      /^regindexer_rebuilds_total\{[^}]*result="success"\} (\d+)$/m,
      /^regindexer_http_requests_total\{method="POST",route="\/reindex",status="200"\} (\d+)$/m,
    ].map((pattern) => Number(pattern.exec(figures)?.[1] ?? 0));
  };

  /** Whom a new connection is shown. */
  const serial = async (): Promise<string> => {
    const { hostname, port } = new URL(server.url);
    const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false });
    try {
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      return socket.getPeerCertificate().serialNumber;
    } finally {
      socket.destroy();
    }
  };

  test('a right one comes into effect without a request being dropped', async (t) => {
    const asked = new AbortController();
    let answers = 0;
    const clients = Array.from({ length: 8 }, async () => {
      // Connections that are kept, and new ones.
      const own = new Agent({ connect: { ca }, pipelining: 1 });
      while (!asked.signal.aborted) {
        for (const [path, dispatcher] of [
          ['/index/static?tag=latest', own],
          ['/index/dynamic?os=linux', own],
          ['/apps/index/static', agent],
          ['/v2/apps/hello/manifests/latest', own],
          ['/status', own],
        ] as const) {
          assert.equal((await ask(path, { dispatcher })).status, 200, path);
          answers++;
        }
      }
      await own.close();
    });
    const events = await request(`${server.url}/api/events`, { dispatcher: new Agent({ connect: { ca } }) });
    assert.equal((await ask('/more/index/static')).status, 404);
    await write(
      { ...tls, admin_token: 'the-second-token', max_age: '7s' },
      { more: { registry: `oci:${SAMPLE_IMAGES}`, title: 'More' } },
    );
    await reload(/"the configuration was reloaded"/);
    await eventually(async () => assert.equal((await ask('/more/index/static')).status, 200));
    assert.match((await ask('/more.flatpakrepo')).text, /^Title=More$/m);
    await text(events.body);
    const { headers } = await request(`${server.url}/index/static`, { dispatcher: agent });
    assert.equal(headers['cache-control'], 'public, max-age=7, stale-while-revalidate=7, stale-if-error=86400');
    const post = (token: string) =>
      ask('/reindex?wait=true', { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    assert.deepEqual([(await post(TOKEN)).status, (await post('the-second-token')).status], [401, 200]);

    await write(tls);
    await reload(/"the configuration was reloaded"/);
    await eventually(async () => assert.equal((await ask('/more/index/static')).status, 404));
    asked.abort();
    await Promise.all(clients);
    t.diagnostic(`${answers} answers while the configuration changed twice`);
    assert.equal((await post(TOKEN)).status, 200);
  });

  test('a wrong one is told with its place, and the one before stays', async () => {
    const file = join(server.folder, 'config.yaml');
    await writeFile(file, `${stringify(config(tls))}nonsense: 1\n`);
    const line = await reload(/the configuration is not valid; the previous one stays in effect/);
    assert.match(line, new RegExp(`${file}:\\d+:1: nonsense: is not known here`));
    assert.equal((await ask('/index/static')).status, 200);
    await write({ tls: { ...tls.tls, key: 'config.yaml' } });
    assert.match(
      await reload(/the configuration cannot be used; the previous one stays in effect/),
      /server\.tls: .*tls\.crt and .*config\.yaml cannot be used/,
    );
    assert.equal((await ask('/index/static')).status, 200);
    assert.equal(
      (await ask('/reindex?wait=true', { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } })).status,
      200,
      'it goes on to build',
    );
  });

  test('what is counted goes on', async () => {
    const [rebuilds = 0, asked = 0] = await counted();
    assert.ok(rebuilds > 0 && asked > 0);
    await write(tls);
    await reload(/"the configuration was reloaded"/);
    assert.equal((await counted())[1], asked);
    await eventually(async () => assert.ok(((await counted())[0] ?? 0) > rebuilds));
  });

  test('what cannot change while it runs is named', async () => {
    await write({ ...tls, port: 1 });
    await reload(/server\.port has changed; the new value takes effect at the next start/);
    assert.match(server.log, /server\.port has changed; the new value takes effect at the next start/);
    await write(tls);
    await reload(/"the configuration was reloaded"/);
  });

  test('a certificate that changes is shown on new connections, and those that there are go on', async () => {
    const session = connectHttp2(server.url, { ca });
    const get = async (): Promise<number> => {
      const stream = session.request({ ':path': '/healthz' });
      const status = new Promise<number>((resolve, reject) =>
        stream.once('response', (headers) => resolve(Number(headers[':status']))).once('error', reject),
      );
      stream.resume();
      return status;
    };
    assert.equal(await get(), 200);
    const first = await serial();
    await link('half', certificates.clientCertificate, certificates.key);
    await eventually(() =>
      assert.match(server.log, /the changed certificate cannot be used; the previous one stays in use: server\.tls: /),
    );
    assert.equal(await serial(), first);
    await link('second', certificates.clientCertificate, certificates.clientKey);
    await eventually(async () => assert.notEqual(await serial(), first));
    assert.equal(await get(), 200);
    session.destroy();
    await eventually(() => assert.match(server.log, /the certificate was reloaded/));
  });

  test('it ends as always', async () => {
    const ended = server.stop();
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.doesNotMatch(server.logSinceStart, /unhandled|could not be closed/);
    assert.doesNotMatch(server.log, /the-first-token|the-second-token/);
  });
});
