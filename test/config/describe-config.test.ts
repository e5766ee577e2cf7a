import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { describeConfig } from '../../src/config/describe-config.ts';
import { INDEX, configOf } from './config-file.ts';

test('a small configuration is described in a few lines', (t) => {
  const config = configOf(t, INDEX);
  assert.equal(
    describeConfig(config).replaceAll(dirname(config.file), '/etc'),
    `Configuration /etc/config.yaml
Index all (default): from https://registry.example.org
  takes: tags *
  tells clients to download from: https://registry.example.org
  served at: /index/all.json, /all/index/static, /index/static
Registry https://registry.example.org: all repositories, at most 128 requests at once, 30s for each
Icons: served at /icons/, kept for 1d when unused
State: in /etc/state
Listening: http://127.0.0.1:8080
Rebuilds: at the start, 1h after the last
POST /reindex answers 403: server.admin_token is not set
POST /events answers 403: server.events_token is not set`,
  );
});

test('a large configuration is described in full', (t) => {
  const config = configOf(
    t,
    `
rescan_interval: 0
default_index: apps
icons_dir: icons
indexes:
  all: {registry: https://registry.example.org, output: all-of-it.json}
  apps:
    registry: oci:images
    tags: [latest, stable]
    architectures: [amd64, arm64]
    required_annotations: [a]
    required_labels: [b]
    repository_include: ["apps/*"]
    repository_exclude: [apps/x]
    repository_priority: [apps/y]
registries: {"https://registry.example.org": {repositories: [a, b], username: indexer, password: x}}
server: {host: "::1", port: 443, tls: {cert: config.yaml, key: config.yaml}, base_url: https://apps.example.org, admin_token: one-long-admin-token, events_token: one-long-events-token}
bus: {url: ["stomp://u:p@a.example.org:61613/v", stomps://b.example.org], destinations: [/topic/a, /topic/b]}
`,
  );
  assert.equal(
    describeConfig(config).replaceAll(dirname(config.file), '/etc'),
    `Configuration /etc/config.yaml
Index all: from https://registry.example.org
  takes: tags *
  tells clients to download from: https://registry.example.org
  served at: /index/all-of-it.json, /all/index/static
  written to: /etc/all-of-it.json
Index apps (default): from oci:/etc/images
  takes: tags latest, stable; repositories apps/*; without repositories apps/x; preferring repositories apps/y; architectures amd64, arm64; with annotations a; with labels b
  tells clients to download from: https://apps.example.org/
  served at: /index/apps.json, /apps/index/static, /index/static
Registry https://registry.example.org: repositories a, b, as indexer, at most 128 requests at once, 30s for each
Registry oci:/etc/images: all repositories
Icons: served at /icons/, written to /etc/icons, kept for 1d when unused
State: in /etc/state
Listening: https://[::1]:443, known as https://apps.example.org
Pulls: /v2/ answers for oci:/etc/images
Rebuilds: at the start, on bus messages, on POST /events, on POST /reindex
Bus: stomp://a.example.org:61613 or stomps://b.example.org, /topic/a and /topic/b, content types container, flatpak`,
  );
});

test('a database is told without its login', (t) => {
  const state = (url: string): string | undefined =>
    describeConfig(configOf(t, `${INDEX}state_dir: /srv/state\nstore: "${url}"`)).match(/^State: .*$/m)?.[0];
  assert.equal(
    state('postgres://me:secret@db.example.org/apps?sslmode=verify-full'),
    'State: in the PostgreSQL database apps at db.example.org:5432, sslmode verify-full; copies in /srv/state',
  );
  assert.equal(
    state('postgres://me:secret@/apps?host=/run/postgresql'),
    'State: in the PostgreSQL database apps at /run/postgresql:5432, without TLS; copies in /srv/state',
  );
  assert.match(state('postgres://me@[::1]/apps') ?? '', / at \[::1\]:5432,/);
});

test('a configuration for every message says so', (t) => {
  const config = configOf(t, `${INDEX}bus: {url: stomp://bus.example.org, content_types: any}`);
  assert.match(describeConfig(config), /^Bus: stomp:\/\/bus\.example\.org, .*, any content type$/m);
});

test('what is received over AMQP, and from which queue', (t) => {
  const describe = (bus: string): readonly string[] =>
    describeConfig(configOf(t, `${INDEX}bus: {${bus}, content_types: any}`)).match(/^(?:Bus|Warning): .*$/gm) ?? [];
  assert.deepEqual(
    describe(
      'url: "amqps://fedora:@bus.example.org/%2Fv", client_cert: config.yaml, client_key: config.yaml, destinations: ["a.#", b]',
    ),
    ['Bus: amqps://bus.example.org, a.# and b of the exchange amq.topic, in a queue named by a UUID, any content type'],
  );
  assert.deepEqual(describe('url: "amqp://localhost", exchange: x, queue: mine, destinations: [a]'), [
    'Bus: amqp://localhost, a of the exchange x, in the queue mine, any content type',
  ]);
});

test('a login as guest at another machine is warned about', (t) => {
  const certificate = 'client_cert: config.yaml, client_key: config.yaml';
  const warnings = (bus: string): readonly string[] =>
    describeConfig(configOf(t, `${INDEX}bus: {${bus}}`)).match(/^Warning: .*$/gm) ?? [];
  const warning =
    'Warning: bus.url: names no user of bus.example.org:5672, so that the login is guest, which RabbitMQ accepts only from its own machine; give a user and a password, or amqps:// and client_cert';
  assert.deepEqual(warnings('url: [amqp://localhost, "amqp://bus.example.org:5672/v"]'), [warning]);
  assert.deepEqual(warnings(`url: "amqp://bus.example.org:5672", ${certificate}`), [warning]);
  for (const url of ['amqp://u:p@bus.example.org', 'amqp://[::1]', 'stomp://bus.example.org'])
    assert.deepEqual(warnings(`url: "${url}"`), []);
  assert.deepEqual(warnings(`url: amqps://bus.example.org, ${certificate}`), []);
});

test('a proxy that clients are told to go past is told, and where signatures are', (t) => {
  const text =
    'indexes: {apps: {registry: https://registry.example.org/, signatures_dir: sigs}}\nserver: {registry_proxy: true, registry_proxy_redirects: pass}';
  const past = configOf(t, text);
  const described = describeConfig(past).replaceAll(dirname(past.file), '/etc');
  assert.match(
    described,
    /^  signatures: in \/etc\/sigs, served at \/apps\/signatures\/; their docker-reference must be registry\.example\.org\/REPOSITORY$/m,
  );
  assert.match(
    described,
    /^Pulls: \/v2\/ answers for https:\/\/registry\.example\.org, and passes its redirects to other hosts on\n[^]*\nWarning: indexes\.apps: clients are told to download from https:\/\/registry\.example\.org itself, .*; set registry_public to \/ /m,
  );
  const other = describeConfig(
    configOf(
      t,
      'indexes: {a: {registry: https://a.example.org, registry_public: /}, b: {registry: https://b.example.org, registry_public: /}, c: {registry: oci:c}}\nserver: {registry_proxy: true}',
    ),
  );
  assert.deepEqual(other.match(/^Warning: .*?, where/gm), [
    'Warning: indexes.b: clients are told to download from here, where',
  ]);
  assert.match(other, /^Pulls: \/v2\/ answers for oci:.*\/c and https:\/\/a\.example\.org$/m);
  for (const own of ['/', 'https://apps.example.org'])
    assert.doesNotMatch(
      describeConfig(configOf(t, text.replace('sigs', `sigs, registry_public: "${own}"`))),
      /^Warning/m,
    );
});

test('what an index takes nothing by is told', (t) => {
  const index = (keys: string): string =>
    describeConfig(configOf(t, `indexes: {a: {registry: https://registry.example.org, ${keys}}}`));
  assert.deepEqual(
    index(
      'tags: ["^latest$", "v[0-9]*"], repository_include: ["apps/(x|y)", "apps/**"], architectures: [x86_64, arm64, constructor]',
    ).match(/^Warning: .*$/gm),
    [
      'Warning: indexes.a.tags: nothing has a name such as "^latest$"; it is a glob, not a regular expression: * and ? stand for any characters',
      'Warning: indexes.a.repository_include: nothing has a name such as "apps/(x|y)"; it is a glob, not a regular expression: * and ? stand for any characters',
      'Warning: indexes.a.architectures: images call x86_64 amd64',
      'Warning: indexes.a.tags: none of them can be latest, which Flatpak asks for unless the URL of its remote ends with another, such as oci+https://HOST/a#TAG',
    ],
  );
  const told = describeConfig(
    configOf(
      t,
      'indexes: {a: {registry: https://registry.example.org, tags: [latest, a/b], repository_include: ["Apps/*"]}}\nregistries: {"https://registry.example.org": {repositories: [Apps/Hello]}}',
    ),
  );
  assert.deepEqual(told.match(/^Warning: .*$/gm), [
    'Warning: indexes.a.tags: nothing has a name such as "a/b"; a tag has no slash',
    'Warning: indexes.a.repository_include: nothing has a name such as "Apps/*"; repositories have lower-case names',
    'Warning: registries."https://registry.example.org".repositories: nothing has a name such as "Apps/Hello"; repositories have lower-case names',
  ]);
  assert.deepEqual(index('tags: [sta*, v1.0]').match(/#.*$/gm), ['#v1.0']);
  for (const taken of [
    'tags: [latest]',
    'tags: ["*"]',
    'tags: [stable, "lat*"]',
    'tags: [v1], skip_flatpak_labels: true',
  ])
    assert.doesNotMatch(index(taken), /^Warning/m);
  const here =
    /^Warning: indexes\.a: clients are told to download from here, where nothing serves https:\/\/registry\.example\.org; set server\.registry_proxy/m;
  assert.match(index('registry_public: /'), here);
  assert.match(
    describeConfig(
      configOf(
        t,
        'indexes: {a: {registry: https://registry.example.org, registry_public: /}}\nserver: {base_url: https://apps.example.org}',
      ),
    ),
    here,
  );
});

test('tokens that can be guessed, or that are the same, are told without showing them', (t) => {
  const warnings = (tokens: string): readonly string[] =>
    describeConfig(configOf(t, `${INDEX}server: {${tokens}}`, { beside: { token: 'fifteen-letters\n' } })).match(
      /^Warning: .*$/gm,
    ) ?? [];
  assert.deepEqual(warnings('admin_token_file: token, events_token: sixteen--letters'), [
    'Warning: server.admin_token: has fewer than 16 characters, so that it can be guessed; make one with "openssl rand -hex 24"',
  ]);
  assert.deepEqual(warnings('admin_token: sixteen--letters, events_token: sixteen--letters'), [
    'Warning: server.events_token: is the same as server.admin_token, so that whatever sends notifications may also ask for rebuilds; give each its own',
  ]);
  assert.deepEqual(warnings('admin_token: sixteen--letters, events_token: 0123456789abcdef'), []);
  assert.deepEqual(warnings(''), []);
});

test('a server that others reach is warned of files that name what a request names', (t) => {
  const warnings = (server: string): readonly string[] =>
    describeConfig(configOf(t, `${INDEX}server: {${server}}`)).match(/^Warning: .*$/gm) ?? [];
  const warning =
    'Warning: server.base_url: is not set while the server listens at 0.0.0.0, so that .flatpakrepo and .flatpakref files name whatever host a request names; set it to the public URL';
  assert.deepEqual(warnings('host: 0.0.0.0'), [warning]);
  for (const server of [
    'host: 0.0.0.0, base_url: https://apps.example.org',
    'host: localhost',
    'host: 127.0.0.2',
    'host: "::1"',
  ])
    assert.deepEqual(warnings(server), [], server);
});

test('signatures that clients look for, and the name that they must have', (t) => {
  const told = (index: string, server = ''): readonly string[] => {
    const described = describeConfig(
      configOf(
        t,
        `indexes: {apps: {registry: "https://registry.example.org:5000", gpg_key: key, ${index}}}\nserver: {${server}}`,
        { beside: { key: '' } },
      ),
    );
    return (
      described.match(
        /(?<=docker-reference must be |docker-reference (?!must)).*$|(?<=Warning: indexes\.apps\.gpg_key: ).*(?=; set it)/gm,
      ) ?? []
    );
  };
  const refused = 'Flatpak from 1.17 on refuses every image that is not signed, and signatures_dir is not set';
  const here =
    'HOST[:PORT]/REPOSITORY, where HOST[:PORT] is this server as clients reach it (its name is known here once server.base_url is set)';
  assert.deepEqual(told('signatures_dir: .'), ['registry.example.org:5000/REPOSITORY']);
  assert.deepEqual(told(''), [refused, 'registry.example.org:5000/REPOSITORY, or leave gpg_key out']);
  // Behind the proxy it is this server that clients pull from.
  assert.deepEqual(told('registry_public: /, signatures_dir: .', 'registry_proxy: true'), [here]);
  assert.deepEqual(
    told('registry_public: /, signatures_dir: .', 'registry_proxy: true, base_url: "https://apps.example.org"'),
    ['apps.example.org/REPOSITORY'],
  );
  assert.deepEqual(told('registry_public: "http://[::1]:5000/sub", signatures_dir: .'), ['::1:5000/REPOSITORY']);
  assert.deepEqual(told('registry_public: "https://registry.example.org:80/", signatures_dir: .'), [
    'registry.example.org/REPOSITORY',
  ]);
});
