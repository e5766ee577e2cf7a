import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { DCLinter } from 'dclint';
import { Agent, request } from 'undici';
import { parse } from 'yaml';
import { configWarnings } from '../src/config/config-warnings.ts';
import { configOf } from './config/config-file.ts';
import { COMPOSED } from './dev/environment.ts';
import { digestsIn, indexOf, settled } from './e2e/ask-server.ts';
import { eventually } from './e2e/eventually.ts';
import { SAMPLE_IMAGES, SAMPLE_REPOSITORIES } from './fixtures/samples.ts';
import type { IndexJson } from './indexing/test-state.ts';
import { startDockerRegistry } from './peers/docker-registry.ts';
import { freePort } from './peers/free-port.ts';
import { needs } from './peers/installed.ts';
import { startNginx } from './peers/nginx.ts';
import { bareEnvironment } from './peers/peer.ts';
import { startPostgresql } from './peers/postgresql.ts';
import { startRegindexer } from './peers/regindexer.ts';
import { runCommand } from './peers/run-command.ts';

const FILE = resolve(import.meta.dirname, '../compose.yaml');

interface Service {
  readonly image?: string;
  readonly profiles?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly networks?: { readonly default?: { readonly aliases?: readonly string[] } };
  readonly ports?: readonly string[];
  readonly command?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

// Compose makes one $ of two.
const compose = parse((await readFile(FILE, 'utf8')).replaceAll('$$', '$')) as Compose;

const config = (name: string): string => compose.configs[name]?.content ?? assert.fail(`no config ${name}`);
const service = (name: string): Service => compose.services[name] ?? assert.fail(`no service ${name}`);

/** The port of this machine that leads to a service. */
const publishedPort = (name: string): string | undefined => service(name).ports?.[0]?.split(':')[1];

/** @throws AssertionError unless the index at `url` has the samples */
async function hasSamples(url: string): Promise<void> {
  assert.deepEqual(
    (await indexOf(url)).Results.map(({ Name }) => Name),
    SAMPLE_REPOSITORIES,
  );
}

/** Runs what a service runs to its end, here. */
async function runService(name: string, env: Readonly<Record<string, string>>): Promise<void> {
  const [command = '', ...args] = service(name).command ?? [];
  await runCommand(command, args, { env: bareEnvironment('/nonexistent', env) });
}

test('compose.yaml follows the schema of the Compose specification', () => {
  const results: readonly { readonly messages: readonly { readonly type: string; readonly message: string }[] }[] =
    new DCLinter({
      rules: {},
      quiet: false,
      debug: false,
      exclude: [],
    }).lintFiles([FILE], false);
  assert.equal(results.length, 1);
  // What it warns of are matters of style. The replicas have the port of the server, so that both never run.
  assert.deepEqual(
    results[0]?.messages.filter(
      ({ type, message }) => type === 'error' && !message.startsWith('Service "replicas" is exporting port "7080"'),
    ),
    [],
  );
});

test('its images are named without the host of a registry', () => {
  const images = Object.values(compose.services).flatMap(({ image }) => image ?? []);
  assert.deepEqual(
    images.filter((image) => !/^[a-z]+:[\w.-]+$/.test(image)),
    [],
  );
});

test('nothing is to be warned of in the configuration of its server, but that it has two addresses', (t) => {
  assert.deepEqual(
    configWarnings(configOf(t, config('server'))).filter(
      (warning) => !warning.startsWith('server.base_url: is not set'),
    ),
    [],
  );
});

test('it listens on this machine alone, where npm run dev:push and dev:trigger look', () => {
  const ports = Object.values(compose.services).flatMap((each) => each.ports ?? []);
  assert.deepEqual(
    ports.filter((port) => !port.startsWith('127.0.0.1:')),
    [],
  );
  assert.deepEqual(COMPOSED, {
    url: `http://localhost:${publishedPort('server')}`,
    registry: `localhost:${publishedPort('registry')}`,
    broker: { host: 'localhost', port: Number(publishedPort('broker')) },
  });
});

test('the replicas start only when they are asked for, in the place of the server', () => {
  const optional = Object.entries(compose.services).filter(([, { profiles }]) => profiles !== undefined);
  assert.deepEqual(
    optional.map(([name, { profiles }]) => [name, profiles]),
    ['replicas', 'replica-1', 'replica-2', 'database'].map((name) => [name, ['replicas']]),
  );
  assert.equal(publishedPort('replicas'), publishedPort('server'));
  assert.deepEqual(service('replicas').networks?.default?.aliases, ['server']);
});

suite(
  'what is in its containers works with the programs of this machine',
  needs('docker-registry', 'skopeo', 'nginx', 'openssl'),
  () => {
    test('the certificate is for localhost, and is made once', async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-compose-'));
      const made = async (): Promise<number> => {
        await runService('certificate', { FOLDER: folder.path });
        return (await stat(join(folder.path, 'server.crt'))).mtimeMs;
      };
      assert.equal(await made(), await made());
      await runCommand(
        'openssl',
        ['verify', '-x509_strict', '-CAfile', 'authority.crt', '-verify_hostname', 'localhost', 'server.crt'],
        { cwd: folder.path, env: bareEnvironment(folder.path) },
      );
      await assert.rejects(stat(join(folder.path, 'authority.key')), { code: 'ENOENT' });
    });

    test('index and registry come from one origin, over http and over https', async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-compose-'));
      const port = await freePort();
      const at = (text: string): string =>
        text.replaceAll('server:8080', `127.0.0.1:${port}`).replaceAll('/tls/', `${folder.path}/`);
      const { notifications } = parse(at(config('registry'))) as { notifications: object };
      await using registry = await startDockerRegistry({ sections: { notifications } });
      const {
        bus,
        server: serverConfig,
        ...indexed
      } = parse(config('server').replace('http://registry:5000', registry.url)) as {
        bus: { url: string };
        server: object;
      };
      // RabbitMQ's own test shows that it speaks STOMP.
      assert.equal(new URL(bus.url).host, 'broker:61613');
      await using server = await startRegindexer({
        config: {
          ...indexed,
          state_dir: 'state',
          rescan_interval: 0,
          server: { ...serverConfig, host: '127.0.0.1', port },
        },
      });
      await runService('certificate', { FOLDER: folder.path });
      const tlsPort = await freePort();
      await using _ = await startNginx({
        server: '',
        http: at(config('tls')).replace('listen 7443', `listen 127.0.0.1:${tlsPort}`),
      });
      await settled(server.url);

      await runService('samples', { REGISTRY: registry.host, IMAGES: SAMPLE_IMAGES });
      const dispatcher = new Agent({ connect: { ca: await readFile(join(folder.path, 'authority.crt')) } });
      for (const origin of [`http://localhost:${port}`, `https://localhost:${tlsPort}`]) {
        const get = async (path: string): Promise<string> => {
          const { statusCode, body } = await request(`${origin}${path}`, {
            dispatcher,
            headers: { accept: 'application/vnd.oci.image.manifest.v1+json, */*' },
          });
          const text = await body.text();
          assert.equal(statusCode, 200, text);
          return text;
        };
        const index = await eventually(async () => {
          const found = JSON.parse(await get('/index/apps.json')) as IndexJson & { readonly Registry: string };
          assert.deepEqual(
            found.Results.map(({ Name }) => Name),
            SAMPLE_REPOSITORIES,
          );
          return found;
        });
        assert.equal(index.Registry, '/');
        await get(`/v2/apps/hello/manifests/${digestsIn(index, 'apps/hello')[0]}`);
        assert.match(await get('/apps.flatpakrepo'), new RegExp(`^Url=oci\\+${origin}/`, 'm'));
      }
      await dispatcher.close();
    });

    test('two replicas behind nginx share the database, and one of them may go', needs('postgres'), async () => {
      const port = await freePort();
      const { notifications } = parse(config('registry').replace('server:8080', `127.0.0.1:${port}`)) as {
        notifications: object;
      };
      await using registry = await startDockerRegistry({ sections: { notifications } });
      await using postgresql = await startPostgresql();
      const { user = '', port: databasePort, database = '' } = await postgresql.createDatabase();
      const STORE = String(service('replica-1').environment?.['STORE']).replace(
        'regindexer:development@database/regindexer',
        `${user}@127.0.0.1:${databasePort}/${database}`,
      );
      await using stack = new AsyncDisposableStack();
      const start = async (number: number) => {
        const own = await freePort();
        const { bus: _, ...rest } = parse(config('server').replace('http://registry:5000', registry.url)) as {
          bus: object;
          server: object;
        };
        const here = { state_dir: 'state', server: { ...rest.server, host: '127.0.0.1', port: own } };
        const server = stack.use(await startRegindexer({ config: { ...rest, ...here }, env: { STORE } }));
        return { name: `replica-${number}:8080`, own: `127.0.0.1:${own}`, server };
      };
      const replicas = await Promise.all([start(1), start(2)]);
      const http = replicas.reduce((text, { name, own }) => text.replace(name, own), config('replicas'));
      await using _ = await startNginx({
        server: '',
        http: http.replace('listen 8080', `listen 127.0.0.1:${port}`),
      });
      const url = `http://127.0.0.1:${port}`;
      await settled(url);

      await runService('samples', { REGISTRY: registry.host, IMAGES: SAMPLE_IMAGES });
      for (const replica of replicas) await eventually(() => hasSamples(replica.server.url));
      await replicas[0]?.server.kill();
      for (let times = 0; times < 4; times++) await hasSamples(url);
    });
  },
);
