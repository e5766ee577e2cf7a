import assert from 'node:assert/strict';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import type { IndexConfig } from '../../src/config/config.ts';
import { readConfig } from '../../src/config/read-config.ts';
import type { Environment } from '../../src/config/replace-variables.ts';
import type { IndexDefinition } from '../../src/indexing/index-definition.ts';
import { INDEX, configOf, writeConfig } from './config-file.ts';

test('what a file leaves out has its default', (t) => {
  const file = writeConfig(t, INDEX);
  const folder = dirname(file);
  assert.deepEqual(readConfig(file, {}), {
    file,
    stateDir: join(folder, 'state'),
    store: undefined,
    iconsDir: undefined,
    iconsUri: '/icons/',
    access: {
      authFiles: [{ path: `/run/containers/${process.getuid?.()}/auth.json`, required: false }],
      proxies: { http: undefined, https: undefined, none: undefined },
    },
    registries: new Map([
      [
        'https://registry.example.org',
        { id: 'https://registry.example.org', repositories: [], concurrency: 128, timeout: 30_000 },
      ],
    ]),
    indexes: [
      {
        name: 'all',
        fileName: 'all',
        registry: 'https://registry.example.org',
        registryPublic: 'https://registry.example.org',
        tags: ['*'],
        requiredAnnotations: [],
        requiredLabels: [],
        skipFlatpakAnnotations: false,
        skipFlatpakLabels: false,
        extractIcons: false,
        repositoryInclude: [],
        repositoryExclude: [],
        repositoryPriority: [],
        lists: 'keep',
        screenshots: 'proxy',
        flatpakAnnotations: false,
        forceFlatpakToken: false,
      },
    ],
    defaultIndex: 'all',
    rescanInterval: 3_600_000,
    cleanFilesAfter: 86_400_000,
    server: {
      host: '127.0.0.1',
      port: 8080,
      adminToken: undefined,
      eventsToken: undefined,
      baseUrl: undefined,
      basePath: '',
      maxAge: 60,
      registryProxy: false,
      registryProxyRedirects: 'follow',
      trustProxy: false,
    },
    bus: undefined,
  });
});

test('the environment has defaults for the folder of the state and the address, relative to the file', (t) => {
  const placed = (text: string, environment: Environment) => {
    const { file, stateDir, server } = configOf(t, INDEX + text, { environment });
    return [relative(dirname(file), stateDir), server.host];
  };
  const environment = { REGINDEXER_STATE_DIR: 'kept', REGINDEXER_HOST: '::' };
  assert.deepEqual(placed('', environment), ['kept', '::']);
  assert.deepEqual(placed('', { REGINDEXER_STATE_DIR: '', REGINDEXER_HOST: '' }), ['state', '127.0.0.1']);
  assert.deepEqual(placed('state_dir: own\nserver: {host: localhost}', environment), ['own', 'localhost']);
  assert.deepEqual(placed('state_dir: ${OWN:}\nserver:\n  host: ${OWN:}', environment), ['kept', '::']);
});

test('every key is read', (t) => {
  const beside = {
    'admin-token': ' from-a-file\n',
    'store-password': 'hunter2\n',
    'a.pem': '',
    'a.key': '',
    'auth.json': '{}',
    'apps.gpg': '',
  };
  const file = writeConfig(
    t,
    `
state_dir: /srv/state
store: postgres://indexer@db.example.org/apps?sslmode=verify-full
store_password_file: store-password
icons_dir: ../icons
icons_uri: https://apps.example.org/icons
clean_files_after: 2d
rescan_interval: 0
default_index: apps
indexes:
  all:
    registry: https://registry.example.org/
  apps:
    registry: oci:images
    registry_public: https://apps.example.org/
    output: www/index/published.json
    tags: [latest, "v*"]
    required_annotations: [a]
    required_labels: [org.flatpak.ref]
    architectures: [amd64]
    skip_flatpak_annotations: true
    skip_flatpak_labels: yes
    extract_icons: On
    repository_include: ["apps/*"]
    repository_exclude: ["apps/x*"]
    repository_priority: [apps/a, apps/b]
    lists: flatten
    flatpak_annotations: true
    force_flatpak_token: true
    signatures_dir: sigs
    title: Apps
    comment: A comment
    description: A description
    homepage: https://apps.example.org/?about#us
    icon: https://apps.example.org/icon.png
    gpg_key: apps.gpg
    runtime_repo: https://apps.example.org/runtimes.flatpakrepo
registries:
  https://REGISTRY.example.org:443:
    repositories: [apps/hello, "runtimes/*"]
    username: indexer
    password: hunter2
    auth_file: auth.json
    ca_file: a.pem
    client_cert: a.pem
    client_key: a.key
    concurrency: 4
    timeout: 1500ms
daemon: {topic_prefix: com.example, environment: prod}
server:
  host: "::"
  port: 443
  tls: {cert: a.pem, key: a.key}
  base_url: https://apps.example.org/flatpak/
  admin_token_file: admin-token
  events_token: events
  max_age: 5m
  registry_proxy: true
  registry_proxy_redirects: pass
  trust_proxy: [10.0.0.0/8, "::1", loopback]
bus:
  url: [stomp://user:hunter2@a.example.org:61613/, stomps://b.example.org]
  content_types: any
  ca_file: a.pem
  client_cert: a.pem
  client_key: a.key
  headers: {client-id: 7}
  heartbeat: 500ms
`,
    beside,
  );
  const folder = dirname(file);
  const at = (name: string) => join(folder, name);
  const config = readConfig(file, {});
  const { registries, indexes, server, bus, ...rest } = config;
  assert.deepEqual(rest, {
    file,
    stateDir: '/srv/state',
    store: { url: 'postgres://indexer@db.example.org:5432/apps?sslmode=verify-full', password: 'hunter2' },
    iconsDir: join(dirname(folder), 'icons'),
    iconsUri: 'https://apps.example.org/icons/',
    access: {
      authFiles: [{ path: `/run/containers/${process.getuid?.()}/auth.json`, required: false }],
      proxies: { http: undefined, https: undefined, none: undefined },
    },
    defaultIndex: 'apps',
    rescanInterval: 0,
    cleanFilesAfter: 2 * 86_400_000,
  });
  assert.deepEqual(
    [...registries],
    [
      [
        'https://registry.example.org',
        {
          id: 'https://registry.example.org',
          repositories: ['apps/hello', 'runtimes/*'],
          username: 'indexer',
          password: 'hunter2',
          authFile: at('auth.json'),
          caFile: at('a.pem'),
          clientCert: at('a.pem'),
          clientKey: at('a.key'),
          concurrency: 4,
          timeout: 1500,
        },
      ],
      [`oci:${at('images')}`, { id: `oci:${at('images')}`, repositories: [], concurrency: 128, timeout: 30_000 }],
    ],
  );
  assert.equal(indexes[0]?.registryPublic, 'https://registry.example.org/', 'as it was written');
  assert.deepEqual(indexes[1], {
    name: 'apps',
    fileName: 'published',
    registry: `oci:${at('images')}`,
    registryPublic: 'https://apps.example.org/',
    output: at('www/index/published.json'),
    tags: ['latest', 'v*'],
    requiredAnnotations: ['a'],
    requiredLabels: ['org.flatpak.ref'],
    architectures: ['amd64'],
    skipFlatpakAnnotations: true,
    skipFlatpakLabels: true,
    extractIcons: true,
    repositoryInclude: ['apps/*'],
    repositoryExclude: ['apps/x*'],
    repositoryPriority: ['apps/a', 'apps/b'],
    lists: 'flatten',
    screenshots: 'proxy',
    flatpakAnnotations: true,
    forceFlatpakToken: true,
    signaturesDir: at('sigs'),
    title: 'Apps',
    comment: 'A comment',
    description: 'A description',
    homepage: 'https://apps.example.org/?about#us',
    icon: 'https://apps.example.org/icon.png',
    gpgKey: at('apps.gpg'),
    runtimeRepo: 'https://apps.example.org/runtimes.flatpakrepo',
  });
  assert.deepEqual(server, {
    host: '::',
    port: 443,
    tls: { cert: at('a.pem'), key: at('a.key') },
    baseUrl: 'https://apps.example.org/flatpak',
    basePath: '/flatpak',
    adminToken: 'from-a-file',
    eventsToken: 'events',
    maxAge: 300,
    registryProxy: true,
    registryProxyRedirects: 'pass',
    trustProxy: ['10.0.0.0/8', '::1', 'loopback'],
  });
  assert.deepEqual(bus, {
    urls: ['stomp://user:hunter2@a.example.org:61613/', 'stomps://b.example.org'],
    destinations: [
      { destination: '/topic/com.example.prod.bodhi.mashtask.complete', headers: {} },
      { destination: '/topic/com.example.prod.bodhi.compose.complete', headers: {} },
    ],
    contentTypes: 'any',
    exchange: 'amq.topic',
    caFile: at('a.pem'),
    clientCert: at('a.pem'),
    clientKey: at('a.key'),
    headers: { 'client-id': '7' },
    heartbeat: 500,
  });
});

test('paths of this server are below that of base_url, as clients see them', (t) => {
  const { iconsUri, indexes } = configOf(
    t,
    'indexes: {a: {registry: "https://registry.example.org", registry_public: /}, b: {registry: "oci:images"}, c: {registry: "oci:images", registry_public: /flatpak/}}\nserver: {base_url: "https://apps.example.org/flatpak/"}',
  );
  assert.equal(iconsUri, '/flatpak/icons/');
  assert.deepEqual(
    indexes.map(({ registryPublic }) => registryPublic),
    ['https://apps.example.org/flatpak/', 'https://apps.example.org/flatpak/', 'https://apps.example.org/flatpak/'],
  );
  assert.equal(
    configOf(
      t,
      'indexes: {a: {registry: "oci:images"}}\nicons_uri: /flatpak/pictures\nserver: {base_url: "https://apps.example.org/flatpak"}',
    ).iconsUri,
    '/flatpak/pictures/',
  );
});

test('a configuration of regindexer is read as it stands', (t) => {
  const { indexes, iconsDir, iconsUri, registries, bus } = configOf(
    t,
    `
icons_dir: /var/www/html/icons
icons_uri: https://flatpaks.example.org/icons/
daemon:
    topic_prefix: org.fedoraproject
    environment: prod
indexes:
    all:
        output: /var/www/html/index/all.json
        registry: https://registry.example.org
        registry_public: https://public.example.org
        tags: [latest]
        required_annotations: [org.flatpak.ref]
        skip_flatpak_labels: true
        extract_icons: true
    testing:
        output: /var/www/html/index/testing.json
        registry: https://registry.example.org/
        tags: [testing]
        architectures: [amd64]
        required_labels: [org.flatpak.ref]
        skip_flatpak_annotations: True
`,
  );
  assert.equal(iconsDir, '/var/www/html/icons');
  assert.equal(iconsUri, 'https://flatpaks.example.org/icons/');
  assert.deepEqual([...registries.keys()], ['https://registry.example.org']);
  assert.deepEqual(
    indexes.map(({ name, registry, registryPublic, output }) => [name, registry, registryPublic, output]),
    [
      ['all', 'https://registry.example.org', 'https://public.example.org', '/var/www/html/index/all.json'],
      ['testing', 'https://registry.example.org', 'https://registry.example.org/', '/var/www/html/index/testing.json'],
    ],
  );
  assert.equal(indexes[1]?.skipFlatpakAnnotations, true);
  assert.equal(bus, undefined, 'without a broker there is no bus');
});

test('an index of a configuration is what the indexer takes', (t) => {
  const [index] = configOf(t, INDEX).indexes;
  const definition: IndexDefinition | undefined = index satisfies IndexConfig | undefined;
  assert.equal(definition?.name, 'all');
});

test('indexes keep the order of the file, also where their names are numbers', (t) => {
  const { indexes, defaultIndex } = configOf(
    t,
    'indexes:\n  40: &forty {registry: "oci:a"}\n  b: *forty\n  39: {registry: "oci:b"}\n  1.10: *forty\n',
  );
  assert.deepEqual(
    indexes.map(({ name }) => name),
    ['40', 'b', '39', '1.10'],
  );
  assert.equal(defaultIndex, '40');
});

test('an oci: registry is its folder, and is served from here unless the file says otherwise', (t) => {
  const file = writeConfig(
    t,
    'indexes:\n  a: {registry: "oci:./images/"}\n  b: {registry: "oci:images", registry_public: /mirror}\nregistries: {"oci:x/../images": {repositories: [a]}}\n',
  );
  const id = `oci:${join(dirname(file), 'images')}`;
  const { indexes, registries } = readConfig(file, {});
  assert.deepEqual(
    indexes.map(({ registry, registryPublic }) => [registry, registryPublic]),
    [
      [id, '/'],
      [id, '/mirror'],
    ],
  );
  assert.deepEqual(registries.get(id)?.repositories, ['a']);
});

test('where the server’s URL is known, a relative registry_public is a whole URL', (t) => {
  const shown = (baseUrl: string) =>
    configOf(
      t,
      `indexes: {a: {registry: oci:images}, b: {registry: https://r.example.org, registry_public: /mirror}, c: {registry: oci:images, registry_public: ../../}, d: {registry: https://r.example.org}}\nserver: {base_url: ${baseUrl}}`,
    ).indexes.map(({ registryPublic }) => registryPublic);
  assert.deepEqual(shown('https://apps.example.org'), [
    'https://apps.example.org/',
    'https://apps.example.org/mirror',
    'https://apps.example.org/',
    'https://r.example.org',
  ]);
  assert.deepEqual(shown('https://example.org/flatpak/'), [
    'https://example.org/flatpak/',
    'https://example.org/flatpak/mirror',
    'https://example.org/flatpak/',
    'https://r.example.org',
  ]);
});

test('a word stands for the repository of Flathub', (t) => {
  const [index] = configOf(
    t,
    `indexes: {apps: {registry: https://registry.example.org, runtime_repo: flathub}}`,
  ).indexes;
  assert.equal(index?.runtimeRepo, 'https://dl.flathub.org/repo/flathub.flatpakrepo');
});

test('icons that app data names have whole URLs', (t) => {
  const uri = (more: string) =>
    configOf(t, `indexes: {a: {registry: oci:images, extract_icons: true, remote_icons: true}}\n${more}`).indexes[0]
      ?.remoteIconsUri;
  assert.equal(uri('server: {base_url: https://apps.example.org}'), 'https://apps.example.org/icons/');
  assert.equal(uri('server: {base_url: https://example.org/flatpak/}'), 'https://example.org/flatpak/icons/');
  assert.equal(
    uri('icons_uri: ../pictures\nserver: {base_url: https://apps.example.org}'),
    'https://apps.example.org/a/pictures/',
  );
  assert.equal(uri('icons_uri: https://cdn.example.org/icons'), 'https://cdn.example.org/icons/');
});

test('deltas have defaults, sizes and a URL', (t) => {
  const deltas = (written: string, more = '') =>
    configOf(t, `indexes: {a: {registry: oci:images, deltas: ${written}}}\n${more}`).indexes[0]?.deltas;
  assert.equal(deltas('false'), undefined);
  const defaults = {
    url: undefined,
    keep: 30 * 86_400_000,
    max: 5,
    maxRatio: 0.7,
    minSize: 100_000,
    maxLayer: 2 ** 30,
    maxStore: 10 * 2 ** 30,
    mediaType: 'application/vnd.tar-diff',
  };
  assert.deepEqual(deltas('true'), defaults);
  assert.deepEqual(deltas('{}'), defaults);
  assert.deepEqual(deltas('{keep: 1h, min_size: 5, max_layer: 1.5MB, max_store: 2 KiB}'), {
    ...defaults,
    keep: 3_600_000,
    minSize: 5,
    maxLayer: 1_500_000,
    maxStore: 2048,
  });
  for (const [base, url] of [
    ['https://apps.example.org', 'https://apps.example.org/deltas/'],
    ['https://example.org/flatpak/', 'https://example.org/flatpak/deltas/'],
  ])
    assert.equal(deltas('true', `server: {base_url: '${base}'}`)?.url, url);
});

test('indexes can share keys by merging', (t) => {
  const { indexes } = configOf(
    t,
    `
indexes:
  stable: &stable
    registry: oci:images
    tags: [stable]
    extract_icons: true
  beta:
    <<: *stable
    tags: [beta]
  all:
    tags: ["*"]
    <<: [*stable, {title: All, extract_icons: false}]
`,
  );
  assert.deepEqual(
    indexes.map(({ name, tags, extractIcons, title }) => [name, tags, extractIcons, title]),
    [
      ['stable', ['stable'], true, undefined],
      ['beta', ['beta'], true, undefined],
      ['all', ['*'], true, 'All'],
    ],
  );
});

test('a section whose keys are all commented out is as good as none', (t) => {
  const { server, bus } = configOf(
    t,
    `${INDEX}server:\n#  port: 1\nbus:\ndaemon: ~\nregistries:\n  https://registry.example.org:\n`,
  );
  assert.equal(server.port, 8080);
  assert.equal(bus, undefined);
});

test('destinations are names, or names with headers', (t) => {
  const { bus } = configOf(
    t,
    `${INDEX}bus:
  url: stomp://bus.example.org
  destinations:
    - /topic/a
    - destination: /queue/b
    - destination: /topic/c
      headers: {id: "1", durable: true, auto-delete: false, prefetch-count: 10}
`,
  );
  assert.deepEqual(bus?.urls, ['stomp://bus.example.org']);
  assert.deepEqual(bus.contentTypes, ['container', 'flatpak']);
  assert.equal(bus.heartbeat, 10_000);
  assert.deepEqual(bus.destinations, [
    { destination: '/topic/a', headers: {} },
    { destination: '/queue/b', headers: {} },
    { destination: '/topic/c', headers: { id: '1', durable: 'true', 'auto-delete': 'false', 'prefetch-count': '10' } },
  ]);
});

test('with AMQP, destinations are routing keys', (t) => {
  const { bus } = configOf(t, `${INDEX}bus: {url: [amqps://a.example.org, amqp://b.example.org/%2Fv]}`);
  assert.deepEqual(bus?.destinations, [
    { destination: 'org.fedoraproject.dev.bodhi.mashtask.complete', headers: {} },
    { destination: 'org.fedoraproject.dev.bodhi.compose.complete', headers: {} },
  ]);
  assert.deepEqual([bus.exchange, bus.queue], ['amq.topic', undefined]);
  const { bus: chosen } = configOf(
    t,
    `${INDEX}bus: {url: AMQP://a.example.org, exchange: events, queue: mine, destinations: ["a.#"]}`,
  );
  assert.deepEqual(
    [chosen?.exchange, chosen?.queue, chosen?.destinations],
    ['events', 'mine', [{ destination: 'a.#', headers: {} }]],
  );
});

test('variables are replaced in every value and in names', (t) => {
  const environment = {
    STATE: '/srv/state',
    PORT: '9000',
    PROXY: 'true',
    HOPS: '2',
    TOKEN: '12345',
    TAG: 'v*',
    INTERVAL: '90',
  };
  const { stateDir, server, indexes, rescanInterval, registries } = configOf(
    t,
    `
state_dir: \${STATE}/\${INSTANCE:main}
rescan_interval: \${INTERVAL}
indexes:
  all:
    registry: https://\${HOST:registry.example.org}
    tags: ["\${TAG}", "$\${TAG}"]
server:
  port: \${PORT}
  registry_proxy: \${PROXY}
  trust_proxy: \${HOPS}
  admin_token: \${TOKEN}
registries:
  https://\${HOST:registry.example.org}:
    concurrency: 3
`,
    { environment },
  );
  assert.equal(stateDir, '/srv/state/main');
  assert.equal(rescanInterval, 90_000);
  assert.equal(indexes[0]?.registry, 'https://registry.example.org');
  assert.deepEqual(indexes[0].tags, ['v*', '${TAG}']);
  assert.equal(registries.get('https://registry.example.org')?.concurrency, 3);
  assert.equal(server.port, 9000);
  assert.equal(server.registryProxy, true);
  assert.equal(server.trustProxy, 2);
  assert.equal(server.adminToken, '12345', 'a text where a text is wanted');
});

test('a variable can leave a key out', (t) => {
  const text = `${INDEX}state_dir: \${STATE:}\nbus: {url: "\${BUS:stomp://bus.example.org}"}\nserver:\n  admin_token: \${TOKEN:}\n`;
  const { stateDir, server, file } = configOf(t, text, { environment: { TOKEN: '' } });
  assert.equal(stateDir, join(dirname(file), 'state'));
  assert.equal(server.adminToken, undefined);
  assert.equal(configOf(t, text, { environment: { TOKEN: 'x' } }).server.adminToken, 'x');
});

for (const [written, value] of [
  ['true', true],
  ['3', 3],
  ['127.0.0.1', '127.0.0.1'],
  ['"10.0.0.1, 10.0.0.2"', '10.0.0.1, 10.0.0.2'],
  ['[loopback]', ['loopback']],
] as const) {
  test(`trust_proxy: ${written} is as in Fastify`, (t) => {
    assert.deepEqual(configOf(t, `${INDEX}server: {trust_proxy: ${written}}`).server.trustProxy, value);
  });
}

test('max_age is in whole seconds', (t) => {
  assert.equal(configOf(t, `${INDEX}server: {max_age: 1500ms}`).server.maxAge, 1);
});

test('a byte order mark and Windows line ends do no harm', (t) => {
  assert.equal(configOf(t, `\uFEFF${INDEX}state_dir: /srv\n`.replaceAll('\n', '\r\n')).stateDir, '/srv');
});
