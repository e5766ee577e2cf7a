import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { Client, type ClientConfig } from 'pg';
import { Agent, request } from 'undici';
import { parse } from 'yaml';
import { configKeys } from '../src/config/config-keys.ts';
import { configWarnings } from '../src/config/config-warnings.ts';
import { readConfig } from '../src/config/read-config.ts';
import { LISTING_KINDS } from '../src/registry/listing/listing-apis.ts';
import { SENDERS } from '../src/server/routes/events/parse-events.ts';
import { BLOBS_SCHEMA } from '../src/store/sqlite/blobs-schema.ts';
import { CATALOG_SCHEMA } from '../src/store/sqlite/catalog-schema.ts';
import { PUBLICATIONS_SCHEMA } from '../src/store/sqlite/publications-schema.ts';
import { temporaryFolder } from './config/config-file.ts';
import { keysTable } from './dev/docs.ts';
import { get, indexOf, settled } from './e2e/ask-server.ts';
import { eventually } from './e2e/eventually.ts';
import { SAMPLE_IMAGES } from './fixtures/samples.ts';
import { anchors, blocks, codeIn, marked, PAGES, readPage, ROOT, rows } from './markdown.ts';
import { makeCertificates } from './peers/certificates.ts';
import { startDockerRegistry } from './peers/docker-registry.ts';
import { startFlatpakClient } from './peers/flatpak.ts';
import { freePort } from './peers/free-port.ts';
import { needs } from './peers/installed.ts';
import { startNginx } from './peers/nginx.ts';
import { bareEnvironment } from './peers/peer.ts';
import { startPostgresql } from './peers/postgresql.ts';
import { startRegindexer, type Regindexer } from './peers/regindexer.ts';
import { runCommand } from './peers/run-command.ts';

const README = 'README.md';
const OPERATIONS = 'docs/operations.md';
const HOSTED = 'docs/hosted.md';

test('the README is short, and opens with the two commands', () => {
  const readme = readPage(README);
  assert.ok(readme.split('\n').length <= 160);
  const [first, second] = readme.match(/^ {4}.+$/gm) ?? [];
  assert.match(first ?? '', /^ {4}npm ci && npm start /);
  assert.match(second ?? '', /^ {4}npm ci && npm test /);
});

test('every page says in the beginning what it is for', () => {
  for (const page of PAGES.filter((path) => path.startsWith('docs/')))
    assert.match(readPage(page), /^# .+\n\nThis page /, page);
});

test('every key of the configuration is listed as the schema has it', () => {
  assert.equal(marked('docs/configuration.md', 'keys').trim(), keysTable(), 'run npm run docs');
});

/** Names of the tables that statements make. */
function tablesIn(sql: string): readonly string[] {
  return Array.from(sql.matchAll(/CREATE TABLE (?:IF NOT EXISTS )?(\w+)/g), ([, name = '']) => name);
}

test('every table of the store is listed', () => {
  for (const [file, schema] of [
    ['catalog', CATALOG_SCHEMA],
    ['publications', PUBLICATIONS_SCHEMA],
    ['blobs', BLOBS_SCHEMA],
  ] as const) {
    assert.deepEqual(
      rows(marked('docs/architecture.md', `${file} tables`)).map(([table]) => codeIn(table)[0]),
      tablesIn(schema.migrations.join('\n')),
    );
  }
});

test(
  'the walk in the README leads to an app that runs, also for whoever looked before it was pushed',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon'),
  async (t) => {
    const [, walk = ''] = /^## From zero to an app[^\n]*\n([^]*?)^## /m.exec(readPage(README)) ?? [];
    const [registryConfig = '', config = ''] = blocks('yaml', walk);
    const port = await freePort();
    const folder = temporaryFolder(t);
    const { notifications } = parse(registryConfig.replace('8081', String(port))) as { readonly notifications: object };
    await using registry = await startDockerRegistry({ sections: { notifications } });
    const here = (text: string): string =>
      text
        .replaceAll(':5000', `:${registry.port}`)
        .replaceAll('8081', String(port))
        .replaceAll(/(?<=oci:)(?=test\/)/g, `${ROOT}/`);
    const commands = (program: string): readonly (readonly string[])[] =>
      blocks('sh', walk)
        .flatMap((block) => here(block).split('\n'))
        .filter((line) => line.startsWith(`${program} `))
        .map((line) => line.split(' ').slice(1));
    await using server = await startRegindexer({ config: here(config) });
    await settled(server.url);
    await using user = await startFlatpakClient();
    const [add = [], install = [], run = []] = commands('flatpak');
    await user.flatpak(...add);
    assert.equal(await user.flatpak('remote-ls', '--user', '--all', 'our-apps'), '');
    for (const copy of commands('skopeo'))
      await runCommand('skopeo', ['--insecure-policy', ...copy], { env: bareEnvironment(folder) });
    await eventually(async () =>
      assert.deepEqual(
        (await indexOf(server.url)).Results.map(({ Name }) => Name),
        ['apps/hello', 'runtime/platform'],
      ),
    );
    await user.flatpak(...install);
    assert.equal(await user.flatpak(...run), /`(Hello from .*?)`/.exec(walk)?.[1] + '\n');
  },
);

test('every table that only a database has is listed', () => {
  const inFiles = tablesIn(
    [CATALOG_SCHEMA, PUBLICATIONS_SCHEMA, BLOBS_SCHEMA].flatMap(({ migrations }) => migrations).join('\n'),
  );
  const inDatabase = tablesIn(readFileSync(join(ROOT, 'src/store/postgres/migrations.ts'), 'utf8'));
  assert.deepEqual(
    rows(marked('docs/architecture.md', 'database tables')).map(([table]) => codeIn(table)[0]),
    inDatabase.filter((table) => !inFiles.includes(table)),
  );
});

test('the configurations are right, and nothing is to be warned of in them', (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'etc'));
  for (const name of ['admin-token', 'events-token', 'store-password'])
    writeFileSync(join(folder, 'etc', name), `one-long-${name}`);
  const [whole, stores] = ['indexes:', 'store:'].map((first) =>
    PAGES.flatMap((page) => blocks('yaml', readPage(page))).filter((block) => block.startsWith(first)),
  );
  assert.deepEqual([whole?.length, stores?.length], [9, 1]);
  const configurations = [...(whole ?? []), ...(stores ?? []).map((store) => `${whole?.[0]}${store}`)];
  for (const configuration of configurations) {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, configuration.replaceAll('/etc/regindexer/', `${folder}/etc/`));
    const variables = Array.from(configuration.matchAll(/\$\{(\w+)\}/g), ([, name = '']) => [name, `one-long-${name}`]);
    assert.deepEqual(configWarnings(readConfig(file, Object.fromEntries(variables))), []);
  }
});

test('each configuration for a hosted registry has ten lines, and a kind of list of its own', () => {
  const configurations = blocks('yaml', readPage(HOSTED)).filter((block) => block.startsWith('indexes:'));
  assert.deepEqual(
    configurations.map((block) => block.trimEnd().split('\n').length),
    configurations.map(() => 10),
  );
  assert.deepEqual(
    configurations.map((block) => /kind: ([\w-]+)/.exec(block)?.[1]),
    ['ghcr', 'docker-hub', 'quay', 'gitlab', 'harbor'],
  );
});

test('the table of registries has every kind of list and every sender of notifications', () => {
  const table = rows(marked(HOSTED, 'registries'));
  assert.deepEqual(
    table.flatMap(([, , list]) => codeIn(list)),
    LISTING_KINDS,
  );
  assert.deepEqual(
    new Set(table.map(([, , , notification = '']) => notification.split(',', 1)[0])),
    new Set(SENDERS.map(({ name }) => name)),
  );
});

test('every sender of notifications is listed', () => {
  assert.deepEqual(
    rows(marked('docs/notifications.md', 'senders')).map(([sender]) => sender),
    SENDERS.map(({ name }) => name),
  );
});

test('keys of others lead to keys that there are', () => {
  const known = new Set(configKeys().map(({ path }) => path));
  const wanted = rows(marked('docs/migration.md', 'moving')).flatMap(([, here]) => codeIn(here));
  assert.ok(wanted.length > 30);
  assert.deepEqual(
    wanted.filter((key) => !known.has(key)),
    [],
  );
});

test('every key that a page names is there', () => {
  const known = new Set(configKeys().flatMap(({ path }) => withSections(path)));
  const named = PAGES.filter((page) => !/changelog|migration/.test(page)).flatMap((page) =>
    codeIn(readPage(page).replaceAll(/^( *)```[^]*?^ *```$/gm, ''))
      .flatMap((code) => /^[\w.[\]]+(?=$|: )/.exec(code) ?? [])
      .filter((code) =>
        /^(server|registries|indexes|bus|daemon)\.\w|^(store|state|icons|clean|rescan|default)_/.test(code),
      )
      .map((key) => ({ page, key })),
  );
  assert.ok(named.length > 100);
  assert.deepEqual(
    named.filter(({ key }) => !known.has(key)),
    [],
  );
});

test('every message is in the sources', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT })
    .map((path) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  const messages = rows(marked('docs/troubleshooting.md', 'messages')).flatMap(([message]) => codeIn(message));
  assert.ok(messages.length > 40);
  // `…` stands for what differs; what is left between two of these must be there word for word.
  const fragments = messages.flatMap((message) => message.split('…')).filter((fragment) => /\w{3}/.test(fragment));
  assert.deepEqual(
    fragments.filter((fragment) => !sources.includes(fragment.trim())),
    [],
  );
});

/** A key, and the sections that it is in. */
function withSections(path: string): readonly string[] {
  const parts = path.split('.');
  return parts.map((_, index) => parts.slice(0, index + 1).join('.'));
}

/** Metrics by their names in `# TYPE`, each with the labels that it has. */
async function metricsOf(url: string): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = (await get(`${url}/metrics`)).body.toString();
  return new Map(
    Array.from(found.matchAll(/^# TYPE (regindexer_\w+) /gm), ([, name = '']) => {
      const labels = [...found.matchAll(new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'gm'))].flatMap(
        ([, its = '']) => Array.from(its.matchAll(/(\w+)="/g), ([, label = '']) => label),
      );
      return [name, new Set(labels)] as const;
    }),
  );
}

/** The metrics in a table, each with its labels. */
function metricsIn(table: string): readonly (readonly [name: string, labels: readonly string[]])[] {
  return rows(marked(OPERATIONS, table)).map(
    ([metric, its = '']) => [codeIn(metric)[0] ?? '', its.split(', ').filter(Boolean)] as const,
  );
}

suite('what the pages say of a service that runs', () => {
  const resources = new AsyncDisposableStack();
  let server: Regindexer;
  before(async () => {
    const port = await freePort();
    const config = {
      indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true, signatures_dir: '.' } },
      server: { port, trust_proxy: 'loopback' },
      // There need be none for its figures to be there.
      bus: { url: 'stomp://127.0.0.1:1' },
    };
    server = resources.use(await startRegindexer({ config }));
    await settled(server.url);
  });
  after(() => resources.disposeAsync());

  const text = async (path: string): Promise<string> => (await get(`${server.url}${path}`)).body.toString();

  test('its routes are those that there are', async () => {
    const { paths } = JSON.parse(await text('/openapi.json')) as {
      readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    };
    // These do not describe themselves.
    const operations = ['GET /openapi.json', 'GET /page/{*}'];
    await Promise.all(['/openapi.json', '/page/main.js'].map(text));
    for (const [path, methods] of Object.entries(paths))
      for (const method of Object.keys(methods))
        if (method !== 'head') operations.push(`${method.toUpperCase()} ${path}`);

    const patterns = operations
      .toSorted((one, other) => one.split('{').length - other.split('{').length)
      .map(
        (operation) =>
          [
            operation,
            new RegExp(
              `^${operation
                .replaceAll(/[.]/g, '\\.')
                .replaceAll('{*}', '.+')
                .replaceAll(/\{\w+\}/g, '[^/]+')}$`,
            ),
          ] as const,
      );
    const listed = rows(readPage('docs/routes.md')).flatMap(([route]) => codeIn(route));
    const meant = listed.map(
      (route) =>
        patterns.find(([, pattern]) => pattern.test(route.replace('NAME', 'apps')))?.[0] ?? `none for ${route}`,
    );
    assert.deepEqual([...new Set(meant)].toSorted(), operations.toSorted());
  });

  test('what answers GET answers HEAD', async () => {
    for (const path of [
      '/',
      '/index/static',
      '/index/apps.json',
      '/apps.flatpakrepo',
      '/api/apps',
      '/status',
      '/metrics',
      '/readyz',
      '/v2/',
      '/openapi.json',
    ]) {
      const { statusCode, body } = await request(`${server.url}${path}`, { method: 'HEAD' });
      await body.dump();
      assert.equal(statusCode, 200, path);
    }
  });

  test('its metrics are those that there are', async () => {
    const labels = await metricsOf(server.url);
    const listed = metricsIn('metrics');
    assert.deepEqual(listed.map(([name]) => name).toSorted(), [...labels.keys()].toSorted());
    // A counter that has counted nothing shows no labels.
    for (const [name, its] of listed)
      for (const label of labels.get(name) ?? []) assert.ok([...its, 'le'].includes(label), `${name} has ${label}`);
  });

  test('its alerts ask for metrics and labels that there are', () => {
    const { groups } = parse(blocks('yaml', marked(OPERATIONS, 'alerts'))[0] ?? '') as {
      readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
    };
    const selectors = groups
      .flatMap(({ rules }) => rules)
      .flatMap(({ expr }) => [...expr.matchAll(/(regindexer_\w+?)(?:_bucket)?\b(?:\{(\w+))?/g)]);
    assert.ok(selectors.length >= 16);
    const documented = new Map(['metrics', 'metrics of replicas'].flatMap(metricsIn));
    for (const [, name = '', label] of selectors) {
      assert.ok(documented.has(name), name);
      if (label !== undefined) assert.ok(documented.get(name)?.includes(label), `${name} has no ${label}`);
    }
  });

  test('its nginx stands in front of the server', needs('nginx', 'openssl'), async (t) => {
    const [http = ''] = blocks('nginx', readPage(OPERATIONS));
    const ask = await throughNginx(t, (port) => http.replace('http://127.0.0.1:8080', server.url).replace('443', port));
    assert.equal((await ask('/index/static')).text, await text('/index/static'));
    assert.match((await ask('/apps.flatpakrepo')).text, /^Url=oci\+https:\/\/localhost:\d+\/apps$/m);
    assert.equal((await ask('/metrics')).status, 403);
  });

  test(
    'its nginx stands in front of replicas, some of them down or not ready',
    needs('nginx', 'openssl'),
    async (t) => {
      const [single = '', http = ''] = blocks('nginx', readPage(OPERATIONS));
      const common = single.slice(single.indexOf('{') + 1, single.indexOf('location'));
      await using unready = await startRegindexer({
        config: { indexes: { apps: { registry: 'http://127.0.0.1:1' } }, server: { port: 0 } },
      });
      const down = `http://127.0.0.1:${await freePort()}`;
      const inFrontOf = (...replicas: readonly string[]) =>
        throughNginx(t, (port) =>
          replicas
            .reduce((all, url, index) => all.replace(`10.0.0.1${index + 1}:8080`, new URL(url).host), http)
            .replace(/# As for one service.*\n/, common)
            .replace('443', port),
        );
      const ask = await inFrontOf(down, unready.url, server.url);
      for (let times = 0; times < 6; times++) {
        assert.equal((await ask('/index/static')).text, await text('/index/static'));
        assert.equal((await ask('/reindex', 'POST')).status, 403);
      }
      assert.equal((await ask('/metrics')).status, 403);
      // What none of them has does not take them out.
      const askUnready = await inFrontOf(down, unready.url, unready.url);
      for (let times = 0; times < 3; times++) {
        assert.match(String((await askUnready('/index/static')).status), /^50[23]$/);
        assert.equal((await askUnready('/')).status, 200);
      }
    },
  );
});

suite('what the pages say of replicas', needs('postgres'), () => {
  const resources = new AsyncDisposableStack();
  let database: ClientConfig;
  let replica: Regindexer;
  before(async () => {
    const postgresql = resources.use(await startPostgresql());
    database = await postgresql.createDatabase();
    const { user, host, port, database: name } = database;
    replica = resources.use(
      await startRegindexer({
        config: {
          store: `postgres://${user}@${host}:${port}/${name}`,
          indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true } },
          server: { port: 0 },
          bus: { url: 'stomp://127.0.0.1:1' },
        },
      }),
    );
    await settled(replica.url);
  });
  after(() => resources.disposeAsync());

  test('their metrics are those that there are', async () => {
    const labels = await metricsOf(replica.url);
    const listed = ['metrics', 'metrics of replicas'].flatMap(metricsIn);
    assert.deepEqual(listed.map(([name]) => name).toSorted(), [...labels.keys()].toSorted());
    const parts = /`regindexer_store_size_bytes`.*/.exec(marked(OPERATIONS, 'metrics'))?.[0].split('; or of ')[1];
    assert.deepEqual(
      codeIn(parts),
      Array.from(
        (await get(`${replica.url}/metrics`)).body.toString().matchAll(/^regindexer_store_size_bytes\{part="(\w+)"/gm),
        ([, part]) => part,
      ),
    );
  });

  test('the SQL for their database works', async () => {
    const statements = blocks('sql', readPage(OPERATIONS));
    assert.ok(statements.length > 0);
    const client = new Client(database);
    await client.connect();
    try {
      for (const sql of statements) await client.query(sql);
    } finally {
      await client.end();
    }
  });
});

/** Starts nginx with what `http` returns for a port, which is its own; returns what asks it. */
async function throughNginx(
  t: TestContext,
  http: (port: string) => string,
): Promise<(path: string, method?: 'GET' | 'POST') => Promise<{ readonly status: number; readonly text: string }>> {
  const { authority, certificate, key } = await makeCertificates(temporaryFolder(t));
  const port = await freePort();
  const nginx = await startNginx({
    server: '',
    http: http(`127.0.0.1:${port}`)
      .replace(/ssl_certificate [^;]+/, `ssl_certificate ${certificate}`)
      .replace(/ssl_certificate_key [^;]+/, `ssl_certificate_key ${key}`),
  });
  const dispatcher = new Agent({ connect: { ca: readFileSync(authority) } });
  t.after(async () => {
    await dispatcher.close();
    await nginx[Symbol.asyncDispose]();
  });
  return async (path, method = 'GET') => {
    const { statusCode, body } = await request(`https://localhost:${port}${path}`, { method, dispatcher });
    return { status: statusCode, text: await body.text() };
  };
}

test('all links between pages lead somewhere', () => {
  const targets = PAGES.flatMap((page) => {
    const text = readPage(page);
    return [...text.matchAll(/\]\(([^)]+)\)|(?:src|srcset)="([^"]+)"/g)].map(([, link, picture]) => ({
      page,
      target: link ?? picture ?? '',
    }));
  }).filter(({ target }) => !target.startsWith('https:'));
  assert.ok(targets.length > 50);
  const broken = targets.filter(({ page, target }) => {
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), path));
    return !existsSync(join(ROOT, file)) || (anchor !== undefined && !anchors(readPage(file)).has(anchor));
  });
  assert.deepEqual(broken, []);
});

test('every file that a page names is there', () => {
  const names = PAGES.flatMap((page) =>
    codeIn(readPage(page).replaceAll(/^( *)```[^]*?^ *```$/gm, ''))
      .filter((code) => /^(src|test|public|deploy|docs)\/[\w./-]+$/.test(code))
      .map((name) => ({ page, name })),
  );
  assert.ok(names.length > 100);
  assert.deepEqual(
    names.filter(({ name }) => !existsSync(join(ROOT, name))),
    [],
  );
});
