import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INDEX, configError, problemsOf, writeConfig } from './config-file.ts';

/** Stands in a document right before the place that a problem is expected at. */
const HERE = '▶';

interface Case {
  readonly name: string;
  readonly yaml: string;
  readonly path: string;
  readonly message: RegExp;
}

const REGISTRY = 'registry: https://registry.example.org';

const CASES: readonly Case[] = [
  // Keys
  {
    name: 'an unknown key like no other',
    yaml: `${INDEX}▶x: 1`,
    path: 'x',
    message: /not known here, expected one of state_dir, .*bus$/,
  },
  {
    name: 'an unknown key',
    yaml: `${INDEX}▶icon_dir: x`,
    path: 'icon_dir',
    message: /not known here, expected "icons_dir" \(the nearest known key\)/,
  },
  {
    name: 'an unknown key of an index',
    yaml: `indexes:\n  all:\n    ${REGISTRY}\n    ▶tag: [a]`,
    path: 'indexes.all.tag',
    message: /"tags"/,
  },
  {
    name: 'a key in the wrong section',
    yaml: `${INDEX}▶port: 1`,
    path: 'port',
    message: /expected it as server\.port/,
  },
  {
    name: 'a key named as a property of all objects',
    yaml: `${INDEX}▶constructor: 1`,
    path: 'constructor',
    message: /not known/,
  },
  { name: '__proto__', yaml: `${INDEX}▶__proto__: {}`, path: '__proto__', message: /not known/ },
  {
    name: 'a missing key',
    yaml: `indexes:\n  ▶all:\n    output: x.json`,
    path: 'indexes.all.registry',
    message: /is missing, expected http\(s\):\/\//,
  },
  {
    name: 'a missing key at the top',
    yaml: `▶state_dir: x`,
    path: 'indexes',
    message: /is missing, expected at least one index/,
  },
  {
    name: 'half of tls',
    yaml: `${INDEX}server:\n  ▶tls: {cert: config.yaml}`,
    path: 'server.tls.key',
    message: /is missing, expected a file/,
  },
  {
    name: 'a key given twice',
    yaml: `${INDEX}state_dir: a\n▶state_dir: b`,
    path: 'state_dir',
    message: /given twice, .*line 2/,
  },
  {
    name: 'an index given twice',
    yaml: `indexes:\n  a: {${REGISTRY}}\n  ▶a: {${REGISTRY}}`,
    path: 'indexes.a',
    message: /given twice, .*line 2/,
  },
  { name: 'a key that is a list', yaml: `${INDEX}▶[a, b]: c`, path: '', message: /a key that is not text/ },

  {
    name: 'a word for a .flatpakrepo that is not known',
    yaml: `indexes: {all: {${REGISTRY}, runtime_repo: ▶fedora}}`,
    path: 'indexes.all.runtime_repo',
    message: /expected flathub, or the URL of a \.flatpakrepo$/,
  },

  // Types
  {
    name: 'a text for a list',
    yaml: `indexes: {all: {${REGISTRY}, tags: ▶latest}}`,
    path: 'indexes.all.tags',
    message: /is a text, expected a list, each element a glob/,
  },
  {
    name: 'a list for a text',
    yaml: `${INDEX}state_dir: ▶[a]`,
    path: 'state_dir',
    message: /is a list, expected a folder/,
  },
  {
    name: 'a mapping for a text',
    yaml: `${INDEX}state_dir: ▶{a: b}`,
    path: 'state_dir',
    message: /is a mapping, expected a folder/,
  },
  {
    name: 'a text for a mapping',
    yaml: `${INDEX}server: ▶yes`,
    path: 'server',
    message: /is a text, expected a mapping/,
  },
  { name: 'a list for the whole', yaml: `▶- a`, path: '', message: /is a list, expected a mapping/ },
  { name: 'a text for the whole', yaml: `▶hello`, path: '', message: /is a text, expected a mapping/ },
  { name: 'no value', yaml: `${INDEX}▶state_dir:`, path: 'state_dir', message: /has no value, expected a folder/ },
  { name: 'an empty text', yaml: `${INDEX}state_dir: ▶""`, path: 'state_dir', message: /is empty, expected a folder/ },
  {
    name: 'a number for a text',
    yaml: `indexes: {all: {${REGISTRY}, tags: [a, ▶1.10]}}`,
    path: 'indexes.all.tags[1]',
    message: /is 1\.1 without quotes, expected a glob/,
  },
  {
    name: 'a text for a number',
    yaml: `${INDEX}server: {port: ▶"8080"}`,
    path: 'server.port',
    message: /^is "8080" in quotes, expected a whole number from 0 to 65535, without quotes$/,
  },
  {
    name: 'a number out of bounds',
    yaml: `${INDEX}server: {port: ▶65536}`,
    path: 'server.port',
    message: /is 65536, expected a whole number/,
  },
  {
    name: 'a fraction',
    yaml: `${INDEX}server: {port: ▶1.5}`,
    path: 'server.port',
    message: /is 1\.5, expected a whole number from 0/,
  },
  {
    name: 'a key that was removed',
    yaml: `${INDEX}server: {▶workers: 2}`,
    path: 'server.workers',
    message: /^was removed, expected several replicas that share one database \(see store\) instead/,
  },
  {
    name: 'no boolean',
    yaml: `${INDEX}server: {registry_proxy: ▶maybe}`,
    path: 'server.registry_proxy',
    message: /is "maybe", expected true or false/,
  },
  {
    name: 'a quoted boolean',
    yaml: `${INDEX}server: {registry_proxy: ▶"true"}`,
    path: 'server.registry_proxy',
    message: /^is "true" in quotes, expected true or false, without quotes$/,
  },
  {
    name: 'a number for a boolean',
    yaml: `${INDEX}server: {registry_proxy: ▶1}`,
    path: 'server.registry_proxy',
    message: /is 1, expected true or false/,
  },
  {
    name: 'no duration',
    yaml: `${INDEX}rescan_interval: ▶soon`,
    path: 'rescan_interval',
    message: /is "soon", expected a duration such as 500ms/,
  },
  {
    name: 'a negative duration',
    yaml: `${INDEX}rescan_interval: ▶-1`,
    path: 'rescan_interval',
    message: /is -1, expected a duration/,
  },
  {
    name: 'infinity',
    yaml: `${INDEX}clean_files_after: ▶.inf`,
    path: 'clean_files_after',
    message: /is Infinity, expected a duration/,
  },
  {
    name: 'a duration that no timer can wait for',
    yaml: `${INDEX}rescan_interval: ▶25d`,
    path: 'rescan_interval',
    message: /is "25d", expected a duration .*at most 24d/,
  },
  {
    name: 'no time for a request',
    yaml: `${INDEX}registries: {"https://registry.example.org": {timeout: ▶0}}`,
    path: 'registries."https://registry.example.org".timeout',
    message: /at least 1ms/,
  },
  {
    name: 'no tags',
    yaml: `indexes: {all: {${REGISTRY}, tags: ▶[]}}`,
    path: 'indexes.all.tags',
    message: /is empty, expected a list/,
  },
  {
    name: 'a long text',
    yaml: `${INDEX}server: {registry_proxy: ▶${'x'.repeat(500)}}`,
    path: 'server.registry_proxy',
    message: /^is "x{79}…, expected/,
  },
  {
    name: 'a text with a line break',
    yaml: `${INDEX}server: {registry_proxy: ▶"a\\nb\\e[31m"}`,
    path: 'server.registry_proxy',
    message: /^is "a\\nb\\u001b\[31m", expected/,
  },

  // Indexes
  { name: 'no index', yaml: `indexes: ▶{}`, path: 'indexes', message: /is empty, expected at least one index/ },
  {
    name: 'indexes without a value',
    yaml: `▶indexes:`,
    path: 'indexes',
    message: /is empty, expected at least one index/,
  },
  ...['a b', '.hidden', '-x', 'a/b', '__proto__', 'ä', '', 'a'.repeat(256)].map((name) => ({
    name: `an index named ${JSON.stringify(name)}`,
    yaml: `indexes:\n  ▶${JSON.stringify(name)}: {${REGISTRY}}`,
    path: /^[\w-]+$/.test(name) ? `indexes.${name}` : `indexes.${JSON.stringify(name)}`,
    message: /expected a name such as apps, of at most 255 letters, digits/,
  })),
  ...['index', 'icons', 'healthz', 'readyz', 'status', 'metrics', 'reindex', 'events', 'v2', 'api', 'openapi.json'].map(
    (name) => ({
      name: `an index with the name of the route ${name}`,
      yaml: `indexes:\n  ▶${name}: {${REGISTRY}}`,
      path: name.includes('.') ? `indexes."${name}"` : `indexes.${name}`,
      message: /the name of one of the server's own routes/,
    }),
  ),
  {
    name: 'two indexes with one FILE by their outputs',
    yaml: `indexes:\n  a: {${REGISTRY}, output: x/apps.json}\n  b: {${REGISTRY}, output: ▶y/apps.json}`,
    path: 'indexes.b.output',
    message: /gives index b the URL \/index\/apps\.json, which index a has/,
  },
  {
    name: 'two indexes with one FILE by output and name',
    yaml: `indexes:\n  a: {${REGISTRY}, output: x/b.json}\n  ▶b: {${REGISTRY}}`,
    path: 'indexes.b',
    message: /gives index b the URL \/index\/b\.json, which index a has/,
  },
  {
    name: 'two indexes with one output',
    yaml: `indexes:\n  a: {${REGISTRY}, output: x/apps.json}\n  b: {${REGISTRY}, output: ▶./x/../x/apps.json}`,
    path: 'indexes.b.output',
    message: /is the file that index a writes too, expected another for index b/,
  },
  ...['x/', '/', '.json', 'x/..'].map((output) => ({
    name: `the output ${output}`,
    yaml: `indexes: {all: {${REGISTRY}, output: ▶"${output}"}}`,
    path: 'indexes.all.output',
    message: /does not name a file, expected the path of a file/,
  })),
  {
    name: 'a default index that does not exist',
    yaml: `${INDEX}default_index: ▶al`,
    path: 'default_index',
    message: /does not name an index, expected "all"/,
  },

  // Registries
  ...[
    'registry.example.org',
    'ftp://registry.example.org',
    'https://',
    'https://registry.example.org/ x',
    'docker://registry.example.org',
  ].map((url) => ({
    name: `the registry ${url}`,
    yaml: `indexes: {all: {registry: ▶"${url}"}}`,
    path: 'indexes.all.registry',
    message: /is not a URL with http or https, expected http\(s\):\/\/HOST/,
  })),
  ...['https:registry.example.org', 'HTTPS:/registry.example.org', 'https:///registry.example.org'].map((url) => ({
    name: `the registry ${url}`,
    yaml: `indexes: {all: {registry: ▶"${url}"}}`,
    path: 'indexes.all.registry',
    message: /^(?:has no \/\/ after https:|does not name a host), expected http\(s\):\/\/HOST/,
  })),
  ...['https:icons.example.org', 'http:icons/', 'https:/icons/'].map((url) => ({
    name: `the icons ${url}`,
    yaml: `${INDEX}icons_uri: ▶"${url}"`,
    path: 'icons_uri',
    message: /^has no \/\/ after https?:, expected a URL, or a path such as \/icons\/$/,
  })),
  {
    name: 'a public URL without slashes',
    yaml: `${INDEX}server: {base_url: ▶"https:apps.example.org"}`,
    path: 'server.base_url',
    message: /^has no \/\/ after https:/,
  },
  {
    name: 'a broker without slashes',
    yaml: `${INDEX}bus: {url: ▶"stomp:bus.example.org:61613"}`,
    path: 'bus.url',
    message: /^has no \/\/ after stomp:/,
  },
  ...['https://docker.io', 'https://hub.docker.com/u/example', 'http://DOCKER.IO/'].flatMap((url) => [
    {
      name: `the registry ${url}`,
      yaml: `indexes: {all: {registry: ▶"${url}"}}`,
      path: 'indexes.all.registry',
      message: /^is not a registry \(the one of Docker Hub is https:\/\/registry-1\.docker\.io\), expected/,
    },
    {
      name: `the public registry ${url}`,
      yaml: `indexes: {all: {${REGISTRY}, registry_public: ▶"${url}"}}`,
      path: 'indexes.all.registry_public',
      message: /^is not a registry \(the one of Docker Hub is/,
    },
  ]),
  ...['https://ghcr.io/owner', 'https://registry-1.docker.io/library/'].map((url) => ({
    name: `the registry ${url}`,
    yaml: `indexes: {all: {registry: ▶"${url}"}}`,
    path: 'indexes.all.registry',
    message:
      /^has a path, where only https:\/\/(?:ghcr\.io|registry-1\.docker\.io) is a registry \(an owner belongs into registries\.URL\.listing, or into registries\.URL\.repositories as OWNER\/NAME\), expected/,
  })),
  ...['https://ghcr.io', 'https://registry-1.docker.io/'].flatMap((url) => [
    {
      name: `${url} without repositories`,
      yaml: `indexes: {all: {registry: ▶"${url}"}}`,
      path: 'indexes.all.registry',
      message: new RegExp(
        `^is a registry that does not list its repositories, expected registries\\."${url}"\\.listing with the kind ${url.includes('ghcr') ? 'ghcr' : 'docker-hub'}, or their names in registries\\."${url}"\\.repositories$`,
      ),
    },
    {
      name: `${url} with an empty section`,
      yaml: `indexes: {all: {registry: ▶"${url}"}}\nregistries: {"${url}": {timeout: 5s}}`,
      path: 'indexes.all.registry',
      message: /does not list its repositories/,
    },
    {
      name: `${url} with a glob`,
      yaml: `indexes: {all: {registry: "${url}"}}\nregistries: {"${url}": {repositories: [owner/app, ▶"owner/*"]}}`,
      path: `registries."${url}".repositories[1]`,
      message:
        /^is "owner\/\*", but (?:ghcr|registry-1\.docker)\.io has no list of repositories to compare it with, expected a name such as owner\/app, without globs, or registries\.".*"\.listing with the kind (?:ghcr|docker-hub)$/,
    },
  ]),
  ...['**', '**/*', '**/**'].map((glob) => ({
    name: `all repositories left out with ${glob}`,
    yaml: `indexes: {all: {${REGISTRY}, repository_exclude: [x, ▶"${glob}"]}}`,
    path: 'indexes.all.repository_exclude[1]',
    message: /^leaves out every repository, expected globs of some$/,
  })),
  ...[
    'repository_exclude: ["apps/*"]',
    'repository_include: [runtimes/x]',
    'repository_include: ["apps/*"], repository_exclude: [apps/b, apps/a]',
  ].map((globs) => ({
    name: `no repository taken by ${globs}`,
    yaml: `indexes:\n  ▶all: {${REGISTRY}, ${globs}}\nregistries: {"https://registry.example.org/": {repositories: [apps/a, apps/b]}}`,
    path: 'indexes.all',
    message:
      /^takes none of the repositories that registries\."https:\/\/registry\.example\.org\/"\.repositories names, expected repository_include and repository_exclude to leave one$/,
  })),
  {
    name: 'oci: without a folder',
    yaml: `indexes: {all: {registry: ▶"oci:"}}`,
    path: 'indexes.all.registry',
    message: /does not name a folder/,
  },
  {
    name: 'a registry with the path that it is asked at',
    yaml: `indexes: {all: {registry: ▶"https://registry.example.org/v2/"}}`,
    path: 'indexes.all.registry',
    message: /ends with \/v2, .*remove it/,
  },
  {
    name: 'a registry with an invalid port',
    yaml: `indexes: {all: {registry: ▶"https://registry.example.org:70000/x"}}`,
    path: 'indexes.all.registry',
    message: /has a port over 65535/,
  },
  {
    name: 'a registry with a query',
    yaml: `indexes: {all: {registry: ▶"https://registry.example.org?a=b"}}`,
    path: 'indexes.all.registry',
    message: /has a query/,
  },
  {
    name: 'a login in a registry’s URL',
    yaml: `indexes: {all: {registry: ▶https://user:hunter2@registry.example.org}}`,
    path: 'indexes.all.registry',
    message: /holds a user name or password \(set registries\.URL\.username and password instead\)/,
  },
  {
    name: 'a login in a key of registries',
    yaml: `${INDEX}registries:\n  ▶https://user:hunter2@registry.example.org: {}`,
    path: 'registries."…@registry.example.org"',
    message: /holds a user name or password \(set/,
  },
  {
    name: 'a login in a public URL',
    yaml: `indexes: {all: {${REGISTRY}, registry_public: ▶"https://user:hunter2@registry.example.org"}}`,
    path: 'indexes.all.registry_public',
    message: /^holds a user name or password, expected a URL/,
  },
  {
    name: 'a registry that no index reads',
    yaml: `${INDEX}registries:\n  ▶https://registry.example.com: {}`,
    path: 'registries."https://registry.example.com"',
    message: /no index reads, expected one such as "https:\/\/registry\.example\.org"/,
  },
  {
    name: 'a registry that has two sections',
    yaml: `${INDEX}registries:\n  https://registry.example.org: {}\n  ▶https://REGISTRY.example.org/: {}`,
    path: 'registries."https://REGISTRY.example.org/"',
    message: /has a section already/,
  },
  ...[
    ['client_cert', 'client_key'],
    ['client_key', 'client_cert'],
    ['username', 'password'],
    ['password', 'username'],
  ].map(([given, missing]) => ({
    name: `a registry’s ${given} without ${missing}`,
    yaml: `${INDEX}registries:\n  https://registry.example.org:\n    ▶${given}: config.yaml`,
    path: `registries."https://registry.example.org".${given}`,
    message: new RegExp(`is given without ${missing}, expected both or neither`),
  })),
  {
    name: 'a client certificate of the bus without a key',
    yaml: `${INDEX}bus:\n  ▶client_cert: config.yaml`,
    path: 'bus.client_cert',
    message: /without client_key/,
  },

  // Other rules
  {
    name: 'an icons_uri that is not a path',
    yaml: `${INDEX}icons_uri: ▶/ic%zz/`,
    path: 'icons_uri',
    message: /has an invalid percent-encoding, expected a URL, or a path/,
  },
  {
    name: 'an icons_uri that is taken',
    yaml: `${INDEX}icons_uri: ▶/v2`,
    path: 'icons_uri',
    message: /is where pulls are served, expected a URL, or a path/,
  },
  {
    name: 'a variable in a key that is not set',
    yaml: `${INDEX}registries:\n  ▶"\${NOWHERE}": {}`,
    path: 'registries."${NOWHERE}"',
    message: /NOWHERE, which is not set/,
  },
  {
    name: 'a key that a variable makes another',
    yaml: `indexes:\n  a: {${REGISTRY}}\n  ▶"\${NOWHERE:a}": {${REGISTRY}}`,
    path: 'indexes.a',
    message: /is given twice/,
  },
  {
    name: 'a fragment in icons_uri',
    yaml: `${INDEX}icons_uri: ▶"/icons#"`,
    path: 'icons_uri',
    message: /query or fragment, expected a URL, or a path/,
  },
  {
    name: 'remote icons without a URL',
    yaml: `indexes:\n  all:\n    ${REGISTRY}\n    extract_icons: true\n    ▶remote_icons: true`,
    path: 'indexes.all.remote_icons',
    message: /is set while the URL of icons is not known, expected server\.base_url, or a whole URL as icons_uri/,
  },
  {
    name: 'remote icons that are not extracted',
    yaml: `icons_uri: https://cdn.example.org\nindexes:\n  all:\n    ${REGISTRY}\n    ▶remote_icons: true`,
    path: 'indexes.all.remote_icons',
    message: /is set without extract_icons, expected both or neither/,
  },
  {
    name: 'deltas without a URL',
    yaml: `indexes:\n  all:\n    ${REGISTRY}\n    ▶deltas: true`,
    path: 'indexes.all.deltas',
    message: /is set while the URL of deltas is not known, expected server\.base_url, or \/ as registry_public/,
  },
  {
    name: 'a size of a delta without a number',
    yaml: `indexes: {all: {registry: oci:images, deltas: {min_size: ▶small}}}`,
    path: 'indexes.all.deltas.min_size',
    message: /is "small", expected a size such as 500kB, 100MB or 1GiB/,
  },
  {
    name: 'a delta of more than the layer',
    yaml: `indexes: {all: {registry: oci:images, deltas: {max_ratio: ▶1.5}}}`,
    path: 'indexes.all.deltas.max_ratio',
    message: /is 1\.5, expected a number from 0\.01 to 1/,
  },
  {
    name: 'deltas that are a text',
    yaml: `indexes: {all: {registry: oci:images, deltas: ▶often}}`,
    path: 'indexes.all.deltas',
    message: /expected true, false, or \{keep/,
  },
  {
    name: 'a base_url that is a path',
    yaml: `${INDEX}server: {base_url: ▶/apps}`,
    path: 'server.base_url',
    message: /is not a URL with http or https/,
  },
  {
    name: 'a remote_name with a slash',
    yaml: `indexes: {all: {${REGISTRY}, remote_name: ▶a/b}}`,
    path: 'indexes.all.remote_name',
    message: /expected a name such as example-apps/,
  },
  {
    name: 'a collection_id of one part',
    yaml: `indexes: {all: {${REGISTRY}, gpg_key: config.yaml, collection_id: ▶apps}}`,
    path: 'indexes.all.collection_id',
    message: /expected a reversed domain name/,
  },
  {
    name: 'a collection_id without a key',
    yaml: `indexes: {all: {${REGISTRY}, ▶collection_id: org.example.Apps}}`,
    path: 'indexes.all.collection_id',
    message: /is given without gpg_key, expected both/,
  },
  {
    name: 'a base_url whose path begins as a route does',
    yaml: `${INDEX}server: {base_url: ▶"https://example.org/v2/apps"}`,
    path: 'server.base_url',
    message: /begins with \/v2, which is one of the server's own routes/,
  },
  {
    name: 'a base_url whose path begins with an index',
    yaml: `${INDEX}server: {base_url: ▶https://example.org/all}`,
    path: 'server.base_url',
    message: /begins with \/all, which is where index all answers/,
  },
  {
    name: 'a broker over http',
    yaml: `${INDEX}bus: {url: ▶"http://bus.example.org"}`,
    path: 'bus.url',
    message: /is not a URL with stomp or stomps or amqp or amqps/,
  },
  {
    name: 'brokers of two protocols',
    yaml: `${INDEX}bus: {url: [amqps://a.example.org, amqp://b.example.org, ▶stomp://c.example.org]}`,
    path: 'bus.url[2]',
    message: /is of another protocol than the first, expected only brokers of one protocol/,
  },
  ...['exchange', 'queue'].map((key) => ({
    name: `the ${key} of a broker that speaks STOMP`,
    yaml: `${INDEX}bus: {url: stomp://bus.example.org, ▶${key}: events}`,
    path: `bus.${key}`,
    message: /is given for a broker that speaks STOMP, expected only with amqp:\/\/ or amqps:\/\//,
  })),
  {
    name: 'headers of a connection over AMQP',
    yaml: `${INDEX}bus: {url: amqp://bus.example.org, ▶headers: {client-id: indexer}}`,
    path: 'bus.headers',
    message: /is given for a broker that speaks AMQP, expected only with stomp:\/\/ or stomps:\/\//,
  },
  {
    name: 'headers of a routing key',
    yaml: `${INDEX}bus: {url: amqp://bus.example.org, destinations: [a.b, {destination: "a.#", ▶headers: {durable: true}}]}`,
    path: 'bus.destinations[1].headers',
    message: /is given for a broker that speaks AMQP/,
  },
  {
    name: 'a broker without a host',
    yaml: `${INDEX}bus: {url: [stomp://bus.example.org, ▶"stomp:///x"]}`,
    path: 'bus.url[1]',
    message: /does not name a host, expected stomp:\/\//,
  },
  {
    name: 'no broker in the list',
    yaml: `${INDEX}bus: {url: ▶[]}`,
    path: 'bus.url',
    message: /is empty, expected a list of at least one broker/,
  },
  {
    name: 'an unknown word for content types',
    yaml: `${INDEX}bus: {content_types: ▶all}`,
    path: 'bus.content_types',
    message: /is "all", expected "any", or a list/,
  },
  {
    name: 'a destination that is a number',
    yaml: `${INDEX}bus: {destinations: [/topic/a, ▶7]}`,
    path: 'bus.destinations[1]',
    message: /expected a destination such as .*, or \{destination, headers\}/,
  },
  {
    name: 'an unknown key of a destination',
    yaml: `${INDEX}bus: {destinations: [{destination: /topic/a, ▶header: {}}]}`,
    path: 'bus.destinations[0].header',
    message: /"headers"/,
  },
  {
    name: 'headers that are lists',
    yaml: `${INDEX}bus: {headers: {a: ▶[b]}}`,
    path: 'bus.headers.a',
    message: /is a list, expected a text/,
  },
  {
    name: 'no network',
    yaml: `${INDEX}server: {trust_proxy: [10.0.0.0/8, ▶10.0.0.0/33]}`,
    path: 'server.trust_proxy[1]',
    message: /is "10\.0\.0\.0\/33", expected an IP address, a network/,
  },
  {
    name: 'trust in no hop',
    yaml: `${INDEX}server: {trust_proxy: ▶0}`,
    path: 'server.trust_proxy',
    message: /expected true, false, a number of hops, or addresses/,
  },
  {
    name: 'a token with a space',
    yaml: `${INDEX}server: {admin_token: ▶hunter 2}`,
    path: 'server.admin_token',
    message: /^cannot be sent in a header, expected visible ASCII/,
  },
  {
    name: 'a token beside its file',
    yaml: `${INDEX}server:\n  events_token: x\n  ▶events_token_file: config.yaml`,
    path: 'server.events_token_file',
    message: /is given beside events_token, expected only one/,
  },
  {
    name: 'a token file that is not there',
    yaml: `${INDEX}server: {admin_token_file: ▶nowhere}`,
    path: 'server.admin_token_file',
    message: /names a file that does not exist, expected a token/,
  },
  {
    name: 'an empty token file',
    yaml: `${INDEX}server: {admin_token_file: ▶empty}`,
    path: 'server.admin_token_file',
    message: /names a file that is empty/,
  },
  {
    name: 'a token file of several lines',
    yaml: `${INDEX}server: {admin_token_file: ▶config.yaml}`,
    path: 'server.admin_token_file',
    message: /names a file that does not hold a token/,
  },
  {
    name: 'a certificate that is not there',
    yaml: `${INDEX}bus: {ca_file: ▶nowhere.pem}`,
    path: 'bus.ca_file',
    message: /nowhere\.pem", which does not exist, expected a file that can be read/,
  },
  {
    name: 'a key that is a folder',
    yaml: `${INDEX}server: {tls: {cert: config.yaml, key: ▶.}}`,
    path: 'server.tls.key',
    message: /which is a folder, expected a file/,
  },
  {
    name: 'a path with a NUL',
    yaml: `${INDEX}bus: {ca_file: ▶"a\\0b"}`,
    path: 'bus.ca_file',
    message: /expected a file/,
  },

  // Variables
  {
    name: 'a variable that is not set',
    yaml: `${INDEX}state_dir: /srv/▶\${NOWHERE}/x`,
    path: 'state_dir',
    message: /NOWHERE, which is not set/,
  },
  {
    name: 'a variable in quotes',
    yaml: `${INDEX}state_dir: "$\${A} ▶\${NOWHERE}"`,
    path: 'state_dir',
    message: /NOWHERE, which is not set/,
  },
  {
    name: 'a variable in several lines',
    yaml: `indexes:\n  all:\n    ${REGISTRY}\n    description: |\n      one\n      two ▶\${NOWHERE}\n`,
    path: 'indexes.all.description',
    message: /NOWHERE, which is not set/,
  },
  {
    name: 'a variable behind an escape',
    yaml: `${INDEX}state_dir: ▶"\\x24{NOWHERE}"`,
    path: 'state_dir',
    message: /NOWHERE, which is not set/,
  },
  {
    name: 'a variable that does not close',
    yaml: `${INDEX}state_dir: /srv/▶\${STATE`,
    path: 'state_dir',
    message: /"\$\{" that does not start a variable/,
  },
  {
    name: 'a number from a variable in quotes',
    yaml: `${INDEX}server: {port: ▶"\${PORT}"}`,
    path: 'server.port',
    message:
      /^is "\$\{PORT\}" with the values of the environment in quotes, expected a whole number from 0 to 65535, without quotes$/,
  },
  {
    name: 'a number that is wrong also without quotes',
    yaml: `${INDEX}server: {port: ▶"80800"}`,
    path: 'server.port',
    message: /^is "80800", expected a whole number from 0 to 65535$/,
  },
  {
    name: 'a variable that is not a number',
    yaml: `${INDEX}server: {port: ▶"\${HOME_PORT}"}`,
    path: 'server.port',
    message: /is "\$\{HOME_PORT\}" with the values of the environment, expected a whole number/,
  },
  {
    name: 'a required value that a variable leaves empty',
    yaml: `indexes:\n  all:\n    registry: ▶\${EMPTY}`,
    path: 'indexes.all.registry',
    message: /is empty, expected http/,
  },

  // Aliases
  {
    name: 'an alias of nothing',
    yaml: `${INDEX}state_dir: ▶*nothing`,
    path: 'state_dir',
    message: /is an alias of nothing, expected an anchor/,
  },
  {
    name: 'a merge of nothing',
    yaml: `indexes:\n  all:\n    <<: ▶*nothing\n    ${REGISTRY}`,
    path: 'indexes.all."<<"',
    message: /is an alias of nothing/,
  },
  {
    name: 'a merge of a text',
    yaml: `indexes:\n  all:\n    <<: ▶text\n    ${REGISTRY}`,
    path: 'indexes.all."<<"',
    message: /cannot be merged, expected the alias of another mapping/,
  },
  {
    name: 'a merge of itself',
    yaml: `indexes:\n  all: &all\n    <<: ▶*all\n    ${REGISTRY}`,
    path: 'indexes.all."<<"',
    message: /cannot be merged/,
  },
  {
    name: 'what was wrong where it was written',
    yaml: `indexes:\n  a: &a {${REGISTRY}, ▶tag: [x]}\n`,
    path: 'indexes.a.tag',
    message: /not known/,
  },
];

for (const { name, yaml, path, message } of CASES) {
  test(name, (t) => {
    const before = yaml.slice(0, yaml.indexOf(HERE)).split('\n');
    const file = writeConfig(t, yaml.replace(HERE, ''), { empty: ' \n' });
    const [problem, ...others] = problemsOf(file, { HOME_PORT: '80a', PORT: '8080', EMPTY: '' });
    assert.deepEqual(others, []);
    assert.ok(problem !== undefined);
    assert.match(problem.message, message);
    assert.deepEqual(
      { path: problem.path, line: problem.line, column: problem.column },
      { path, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 },
    );
  });
}

test('all problems are found at once, in the order of the file, each on a line of its own', (t) => {
  const file = writeConfig(
    t,
    'rescan_interval: soon\nserver: {port: x, hots: y}\nindexes:\n  status:\n    tags: latest\n',
  );
  const { message, problems, name } = configError(file);
  assert.equal(name, 'ConfigError');
  assert.equal(
    message,
    [
      `${file}:1:18: rescan_interval: is "soon", expected a duration such as 500ms, 30s, 5m, 1h or 1d, at most 24d`,
      `${file}:2:16: server.port: is "x", expected a whole number from 0 to 65535`,
      `${file}:2:19: server.hots: is not known here, expected "host" (the nearest known key)`,
      `${file}:4:3: indexes.status: has the name of one of the server's own routes, expected a name such as apps, of at most 255 letters, digits, ".", "_" and "-"`,
      `${file}:4:3: indexes.status.registry: is missing, expected http(s)://HOST[:PORT][/PATH] or oci:FOLDER`,
      `${file}:5:11: indexes.status.tags: is a text, expected a list, each element a glob such as stable or "v*"`,
    ].join('\n'),
  );
  assert.equal(problems.length, 6);
});
