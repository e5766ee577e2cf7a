import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Agent, request } from 'undici';
import { parse } from 'yaml';
import { configKeys } from '../src/config/config-keys.ts';
import { configWarnings } from '../src/config/config-warnings.ts';
import { readConfig } from '../src/config/read-config.ts';
import { LISTING_KINDS } from '../src/registry/listing/listing-apis.ts';
import { SENDERS } from '../src/server/routes/events/senders.ts';
import { CATALOG_SCHEMA } from '../src/store/sqlite/catalog-schema.ts';
import { PUBLICATIONS_SCHEMA } from '../src/store/sqlite/publications-schema.ts';
import { temporaryFolder } from './config/config-file.ts';
import { keysTable } from './dev/keys-table.ts';
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
  assert.equal(marked('docs/configuration.md', 'keys').trim(), keysTable(), 'run node test/dev/keys-table.ts');
});

test('every table of the store is listed', () => {
  for (const [file, schema] of [
    ['catalog', CATALOG_SCHEMA],
    ['publications', PUBLICATIONS_SCHEMA],
  ] as const) {
    const tables = Array.from(schema.migrations.join('\n').matchAll(/CREATE TABLE (\w+)/g), ([, name = '']) => name);
    assert.deepEqual(
      rows(marked('docs/architecture.md', `${file} tables`)).map(([table]) => codeIn(table)[0]),
      tables,
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

test('the configurations are right, and nothing is to be warned of in them', (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'etc'));
  for (const name of ['admin-token', 'events-token']) writeFileSync(join(folder, 'etc', name), `one-long-${name}`);
  const configurations = PAGES.flatMap((page) => blocks('yaml', readPage(page))).filter((block) =>
    block.startsWith('indexes:'),
  );
  assert.equal(configurations.length, 8);
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
  /** Metrics by their names in `# TYPE`, each with the labels that it has. */
  const metrics = async (): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
    const found = await text('/metrics');
    return new Map(
      Array.from(found.matchAll(/^# TYPE (regindexer_\w+) /gm), ([, name = '']) => {
        const labels = [...found.matchAll(new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'gm'))].flatMap(
          ([, its = '']) => Array.from(its.matchAll(/(\w+)="/g), ([, label = '']) => label),
        );
        return [name, new Set(labels)] as const;
      }),
    );
  };

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
    const labels = new Map(Array.from(await metrics(), ([name, its]) => [name, its] as const));
    const listed = rows(marked(OPERATIONS, 'metrics')).map(
      ([metric, its = '']) => [codeIn(metric)[0] ?? '', its.split(', ').filter(Boolean)] as const,
    );
    assert.deepEqual(listed.map(([name]) => name).toSorted(), [...labels.keys()].toSorted());
    // A counter that has counted nothing shows no labels.
    for (const [name, its] of listed)
      for (const label of labels.get(name) ?? []) assert.ok([...its, 'le'].includes(label), `${name} has ${label}`);
  });

  test('its alerts ask for metrics and labels that there are', async () => {
    const known = await metrics();
    const { groups } = parse(blocks('yaml', marked(OPERATIONS, 'alerts'))[0] ?? '') as {
      readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
    };
    const selectors = groups
      .flatMap(({ rules }) => rules)
      .flatMap(({ expr }) => [...expr.matchAll(/(regindexer_\w+)(?:\{(\w+))?/g)]);
    assert.ok(selectors.length >= 8);
    const documented = new Map(
      rows(marked(OPERATIONS, 'metrics')).map(([metric, its = '']) => [codeIn(metric)[0], its.split(', ')]),
    );
    for (const [, name = '', label] of selectors) {
      assert.ok(known.has(name), name);
      if (label !== undefined) assert.ok(documented.get(name)?.includes(label), `${name} has no ${label}`);
    }
  });

  test('its nginx stands in front of the server', needs('nginx', 'openssl'), async (t) => {
    const folder = temporaryFolder(t);
    const { authority, certificate, key } = await makeCertificates(folder);
    const [block = ''] = blocks('nginx', readPage(OPERATIONS));
    const port = await freePort();
    const http = block
      .replace('listen 443', `listen 127.0.0.1:${port}`)
      .replace('http://127.0.0.1:8080', server.url)
      .replace(/ssl_certificate [^;]+/, `ssl_certificate ${certificate}`)
      .replace(/ssl_certificate_key [^;]+/, `ssl_certificate_key ${key}`);
    await using _ = await startNginx({ server: '', http });
    const dispatcher = new Agent({ connect: { ca: readFileSync(authority) } });
    t.after(() => dispatcher.close());
    const ask = async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
      const { statusCode, body } = await request(`https://localhost:${port}${path}`, { dispatcher });
      return { status: statusCode, text: await body.text() };
    };
    assert.equal((await ask('/index/static')).text, await text('/index/static'));
    assert.match((await ask('/apps.flatpakrepo')).text, new RegExp(`^Url=oci\\+https://localhost:${port}/apps$`, 'm'));
    assert.equal((await ask('/metrics')).status, 403);
  });
});

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
