/**
 * Every key of the configuration file: its name, type, default and an example, and what it means. `npm run docs` writes
 * config.yaml and the table in docs/configuration.md from it.
 */
import { Type, type Static, type StaticDecode } from 'typebox';
import { LISTING_KINDS } from '../registry/listing/listing-apis.ts';
import {
  brokerUrl,
  databaseUrl,
  httpUrl,
  linkUrl,
  registryReference,
  registryUrl,
  repoUrl,
  servedReference,
} from './url-types.ts';
import {
  MAX_INTERVAL,
  bearerToken,
  byteSize,
  duration,
  emptySection,
  flag,
  globs,
  indexName,
  oneOf,
  outputFile,
  path,
  proxyAddresses,
  readableFile,
  record,
  repositoryOwner,
  secret,
  section,
  text,
  texts,
  wholeNumber,
  word,
} from './value-types.ts';

const listing = section(
  {
    kind: oneOf(
      `The API that lists repositories: ${LISTING_KINDS.map((kind) => `\`${kind}\``).join(', ')}.`,
      LISTING_KINDS,
      { example: 'ghcr' },
    ),
    'owner?': repositoryOwner('For `ghcr`, `forgejo` and `gitea`: the organisation or user.', 'name', {
      example: 'example-apps',
      expected: 'the name of an organisation or user',
    }),
    'namespace?': repositoryOwner('For `docker-hub` and `quay`: the namespace.', 'name', {
      example: 'example-apps',
      expected: 'the name of a namespace',
    }),
    'group?': repositoryOwner('For `gitlab`: the path of a group, whose subgroups are included.', 'path', {
      example: 'example/apps',
      expected: 'a path such as group/subgroup',
    }),
    'project?': repositoryOwner('For `harbor`: the name of a project; for `gitlab`: its path.', 'path', {
      example: 'example-apps',
      expected: 'a project such as apps, or for gitlab a path such as group/project',
    }),
    'url?': httpUrl('The URL of the API, where that is not at the usual place.', {
      example: 'https://github.example.org/api/v3',
      expected: 'a URL such as https://gitlab.example.org',
      otherwise:
        '`https://api.github.com`, `https://hub.docker.com`, `https://gitlab.com`; the registry’s own for the other kinds',
    }),
    'username?': text('The user of the token, for `harbor` and `docker-hub`.', {
      example: 'indexer',
      otherwise: 'the namespace for `docker-hub`',
    }),
    'token?': bearerToken('A token that may list repositories; `ghcr` needs one.', {
      example: '${LISTING_TOKEN:}',
      otherwise: 'the login for the registry for `harbor`, `forgejo` and `gitea`; else none',
    }),
    'token_file?': path('A file that holds `token`, read again for each list.', { example: './listing-token' }),
  },
  {
    description:
      'How to list repositories where the registry has no catalog: `kind` is the API, one of `owner`, `namespace`, `group` and `project` says whose they are, and a token may be needed.',
    otherwise: 'by the registry’s catalog',
  },
);

const CERTS_D = 'from `/etc/containers/certs.d` and `/etc/docker/certs.d`';

/** A certificate and its key are given together. */
const CERTIFICATE = { client_cert: ['client_key'], client_key: ['client_cert'] };

/** A section of `registries`. */
export const registrySchema = section(
  {
    repositories: globs('Names and globs of the repositories to read. Names alone need no list.', {
      default: [],
      otherwise: 'all in the registry’s catalog, or that `listing` finds',
    }),
    'listing?': listing,
    'username?': text('Login; needs `password` too.', { example: 'indexer', otherwise: 'from `auth_file`' }),
    'password?': secret('Password of `username`.', { example: '${REGISTRY_PASSWORD}', otherwise: 'from `auth_file`' }),
    'auth_file?': readableFile('Logins as `skopeo login` and `docker login` write them.', {
      example: './auth.json',
      otherwise:
        '`REGISTRY_AUTH_FILE`, `containers/auth.json` in `XDG_RUNTIME_DIR` (else `/run/containers/UID/auth.json`) and in `~/.config`, `config.json` in `DOCKER_CONFIG` or `~/.docker`',
    }),
    'ca_file?': readableFile('Certificates to trust beside the system’s own (PEM).', {
      example: './registry-ca.pem',
      otherwise: CERTS_D,
    }),
    'client_cert?': readableFile('Client certificate (PEM); needs `client_key` too.', {
      example: './client.pem',
      otherwise: CERTS_D,
    }),
    'client_key?': readableFile('Key of `client_cert` (PEM).', {
      example: './client.key',
      otherwise: 'as `client_cert`',
    }),
    concurrency: wholeNumber('The most requests at once; how many are best is found.', 1, 1000, { default: 128 }),
    'private_redirects?': flag(
      'Whether the registry may lead to private addresses: by redirects, by the token server that it names, and by screenshots that its images name.',
      {
        example: false,
        otherwise: 'only if it is at one itself',
      },
    ),
    timeout: duration('How long one request may take.', { default: '30s', minimum: 1, maximum: MAX_INTERVAL }),
  },
  { default: {}, dependentRequired: { ...CERTIFICATE, username: ['password'], password: ['username'] } },
);

const deltaSection = section({
  keep: duration('How long after an image was replaced there are deltas from it.', { default: '30d' }),
  max: wholeNumber('From how many replaced images, at most, there are deltas to one.', 1, 100, { default: 5 }),
  max_ratio: Type.Number({
    description: 'The largest delta that is kept, as a share of the layer that it saves.',
    minimum: 0.01,
    maximum: 1,
    default: 0.7,
    expected: 'a number from 0.01 to 1',
  }),
  min_size: byteSize('The smallest layer that there are deltas to.', { default: '100kB' }),
  max_layer: byteSize('The largest layer, also uncompressed, that there are deltas to and from.', { default: '1GiB' }),
  max_store: byteSize('How much the deltas of all indexes may take, together; the largest value counts.', {
    default: '10GiB',
  }),
  media_type: text('The media type that deltas are named by, which Flatpak does not look at.', {
    default: 'application/vnd.tar-diff',
  }),
});

const deltas = Type.Decode(
  Type.Union([Type.Boolean(), deltaSection], {
    description:
      'Make deltas, by which clients update with far less to download: `true`, or some of these keys; needs `server.base_url`, or `/` as `registry_public`.',
    default: false,
    expected: 'true, false, or {keep, max, max_ratio, min_size, max_layer, max_store, media_type}',
  }),
  (written) => (written === true ? emptySection(deltaSection) : written === false ? undefined : written),
);

const index = section(
  {
    registry: registryUrl(
      'The registry to read: `http(s)://…`, or `oci:FOLDER`, where every OCI image layout is a repository.',
    ),
    'registry_public?': registryReference('The registry’s URL as clients see it; may be relative to the index’s URL.', {
      example: 'https://registry.example.org',
      otherwise: '`registry` as written; `/` for `oci:`, which is served from here',
    }),
    'output?': outputFile(
      'A file to write the index to as well. Its name is also that of the URL `/index/FILE.json`.',
      {
        example: '/var/www/html/index/apps.json',
      },
    ),
    tags: globs('Globs (`*`, `?`), any of which must match a tag.', { default: ['*'], minItems: 1 }),
    required_annotations: texts('Annotations that an image must all have.', 'an annotation’s key', { default: [] }),
    required_labels: texts('Labels that an image must all have.', 'a label’s key', { default: [] }),
    'architectures?': texts('Architectures to keep, by their Go names.', 'an architecture such as amd64', {
      example: ['amd64', 'arm64'],
      otherwise: 'all',
      minItems: 1,
    }),
    skip_flatpak_annotations: flag('Leave out annotations that start with `org.flatpak.` or `org.freedesktop.`.'),
    skip_flatpak_labels: flag('Leave out labels that start with `org.flatpak.` or `org.freedesktop.`.'),
    extract_icons: flag('Take icons out of the index, and name them there by their URIs.'),
    remote_icons: flag(
      'Also name extracted icons in the app data of images, a label that it rewrites, for KDE’s Discover; needs `server.base_url`, or a whole URL as `icons_uri`.',
    ),
    repository_include: globs('Globs of the repositories to take.', { default: [], otherwise: 'all' }),
    repository_exclude: globs('Globs of repositories to leave out.', { default: [], otherwise: 'none' }),
    repository_priority: globs(
      'Globs of repositories, the most wanted first: each Flatpak ref and architecture is then shown from one repository only.',
      { default: [], otherwise: 'none' },
    ),
    lists: oneOf(
      'Image lists stand in `Lists`, or `flatten`: their images stand in `Images` with the tags of the list, for readers that do not support `Lists`, such as Katello, image-builder and Anaconda.',
      ['keep', 'flatten'],
    ),
    screenshots: oneOf(
      'Screenshots that the app data of images name. `proxy`: they are fetched once and served from here. `link`: browsers fetch them from where they are, which tells those servers of each visitor. `off`: none are shown.',
      ['proxy', 'link', 'off'],
    ),
    flatpak_annotations: flag('Show the Flatpak labels as annotations, for clients before Flatpak 1.6.'),
    deltas,
    force_flatpak_token: flag('Have clients ask for a token before they download.'),
    'signatures_dir?': path('Signatures to serve at `/NAME/signatures/`.', {
      example: './signatures',
      expected: 'a folder',
    }),
    'title?': text('What people call this index.', { example: 'Apps', otherwise: 'the index’s name' }),
    'comment?': text('What it is, in one line.', { example: 'Apps of the example organisation' }),
    'description?': text('What it is, in a few sentences.', {
      example: 'Everything that is built from our sources, for testing and for use.',
    }),
    'homepage?': linkUrl('Where to read more.', { example: 'https://apps.example.org/about' }),
    'icon?': linkUrl('A picture for it.', { example: 'https://apps.example.org/logo.png' }),
    'gpg_key?': readableFile('The public key that signatures are made with.', { example: './apps.gpg' }),
    'runtime_repo?': repoUrl('The `.flatpakrepo` that has the runtimes of its apps; `flathub` for that of Flathub.', {
      example: 'flathub',
      otherwise: 'this server’s, where it has them',
    }),
    'remote_name?': text('What Flatpak is told to call its remote.', {
      example: 'example-apps',
      pattern: /^[A-Za-z0-9_][A-Za-z0-9._-]*$/,
      expected: 'a name such as example-apps, of letters, digits, ".", "_" and "-"',
      otherwise: 'the index’s name',
    }),
    'collection_id?': text(
      'Collection ID that Flatpak gives its remote, for `flatpak preinstall`; needs `gpg_key` too, and all clients from 1.17 on.',
      {
        example: 'org.example.Apps',
        pattern: /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/,
        maxLength: 255,
        expected: 'a reversed domain name such as org.example.Apps',
      },
    ),
  },
  // Flatpak before 1.17 refuses files with a collection ID and without a key.
  { default: {}, dependentRequired: { collection_id: ['gpg_key'] } },
);

const daemon = section(
  {
    topic_prefix: text('How the topics on the bus start.', { default: 'org.fedoraproject' }),
    environment: text('What follows the prefix.', { default: 'dev' }),
  },
  { description: 'The topics on the bus, as regindexer has them.', default: {} },
);

const server = section(
  {
    'host?': text('The address to listen on.', {
      example: '127.0.0.1',
      otherwise: '`REGINDEXER_HOST`, or `127.0.0.1`',
    }),
    port: wholeNumber('The port; 0 lets the system choose.', 0, 65_535, { default: 8080 }),
    'tls?': section(
      {
        cert: readableFile('Certificate chain (PEM); with it the server speaks HTTPS and HTTP/2.', {
          example: './server.pem',
        }),
        key: readableFile('Key of `cert` (PEM).', { example: './server.key' }),
      },
      { otherwise: 'plain HTTP' },
    ),
    'base_url?': httpUrl(
      'The server’s public URL, written into `.flatpakrepo` and `.flatpakref` files, and before a relative `registry_public`. If it has a path, all is answered below that, too: a proxy may strip it or not.',
      { example: 'https://apps.example.org', otherwise: 'from the request' },
    ),
    'admin_token?': bearerToken('Bearer token of `/reindex`.', {
      example: '${ADMIN_TOKEN:}',
      otherwise: 'none: the route answers 403',
    }),
    'admin_token_file?': path('A file that holds `admin_token`.', { example: './admin-token' }),
    'events_token?': bearerToken('Bearer token of `/events`.', {
      example: '${EVENTS_TOKEN:}',
      otherwise: 'none: the route answers 403',
    }),
    'events_token_file?': path('A file that holds `events_token`.', { example: './events-token' }),
    max_age: duration('`Cache-Control: max-age` of indexes.', { default: '60s' }),
    registry_proxy: flag(
      'Serve `/v2/` of the default index’s registry from here, for a `registry_public` of `/`; always on for `oci:`.',
    ),
    registry_proxy_redirects: oneOf(
      'Where that registry redirects to another host, as for blobs in object storage: `follow` it here, or `pass` it on to the client.',
      ['follow', 'pass'],
    ),
    trust_proxy: Type.Union(
      [Type.Boolean(), Type.Integer({ minimum: 1 }), proxyAddresses(), Type.Array(proxyAddresses(), { minItems: 1 })],
      {
        description: 'Proxies whose `X-Forwarded-*` headers are believed: all, how many hops, or their addresses.',
        default: false,
        expected: 'true, false, a number of hops, or addresses and networks of proxies',
      },
    ),
  },
  {
    description: 'How the server listens, what it is called, and who may do what.',
    default: {},
    removed: {
      workers:
        'was removed, expected several replicas that share one database (see store) instead: a process answers with one thread',
    },
  },
);

const headers = (description: string) =>
  record(
    Type.Decode(
      Type.Union([Type.String(), Type.Boolean(), Type.Number()], { expected: 'a text', secret: true }),
      String,
    ),
    { description, default: {}, otherwise: 'none', expected: 'headers and their values' },
  );

const DESTINATION = 'a destination such as /topic/org.example.compose, or a routing key such as org.example.#';

const bus = section(
  {
    'url?': Type.Decode(
      Type.Union([brokerUrl(), Type.Array(brokerUrl(), { minItems: 1, expected: 'a list of at least one broker' })], {
        description:
          'The broker, `stomp://USER:PASSWORD@HOST:61613/VHOST`, `amqp://USER:PASSWORD@HOST:5672/VHOST`, or with TLS `stomps://…` or `amqps://…`; or a list to fail over.',
        example: 'stomps://indexer:${BUS_PASSWORD:}@bus.example.org:61614/',
        otherwise: 'none, and no messages are received',
        expected: 'the URL of a STOMP or AMQP broker, or a list of such',
        secret: true,
      }),
      (url) => (typeof url === 'string' ? [url] : url),
    ),
    'destinations?': Type.Array(
      Type.Union(
        [
          Type.Decode(word(DESTINATION), (destination) => ({
            destination,
            headers: {} as Readonly<Record<string, string>>,
          })),
          section({
            destination: text('What to subscribe to.', { expected: DESTINATION }),
            headers: headers(
              'STOMP alone: headers of this subscription, such as `id` and `durable`; `prefetch-count` and `activemq.prefetchSize` are 100 by themselves.',
            ),
          }),
        ],
        { expected: `${DESTINATION}, or {destination, headers}` },
      ),
      {
        description:
          'What to subscribe to: names, or `{destination, headers}`; with AMQP, routing keys, where `*` stands for a word and `#` for any number.',
        example: [
          '/topic/org.example.bodhi.compose.complete',
          {
            destination: 'Consumer.indexer.VirtualTopic.compose',
            headers: { id: 'regindexer', durable: true, 'auto-delete': false },
          },
        ],
        otherwise:
          '`/topic/PREFIX.ENV.bodhi.mashtask.complete` and `/topic/PREFIX.ENV.bodhi.compose.complete` from `daemon`; with AMQP the same without `/topic/`',
        minItems: 1,
      },
    ),
    'exchange?': text('AMQP alone: the exchange that the queue is bound to.', {
      example: 'amq.topic',
      maxLength: 255,
      otherwise: '`amq.topic`',
    }),
    'queue?': text('AMQP alone: the name of the queue, which is declared if it is missing.', {
      example: 'regindexer',
      maxLength: 255,
      otherwise: 'a UUID that is kept in the store',
    }),
    content_types: Type.Union(
      [Type.Literal('any'), Type.Array(word('a content type such as flatpak'), { minItems: 1 })],
      {
        description: 'Values of `ctype`, or of `update.content_type`, that trigger a rebuild; `any` for every message.',
        default: ['container', 'flatpak'],
        expected: '"any", or a list such as [container, flatpak]',
      },
    ),
    'ca_file?': readableFile('Certificates to trust (PEM).', {
      example: './bus-ca.pem',
      otherwise: 'the system’s own',
    }),
    'client_cert?': readableFile(
      'Client certificate (PEM); needs `client_key` too. With AMQP it is the login, unless `url` has a password.',
      { example: './bus-client.pem' },
    ),
    'client_key?': readableFile('Key of `client_cert` (PEM).', { example: './bus-client.key' }),
    headers: headers('STOMP alone: headers of the connection.'),
    heartbeat: duration('How often each side must send something, with AMQP in whole seconds; 0 for no heart-beats.', {
      default: '10s',
      maximum: MAX_INTERVAL,
    }),
  },
  { description: 'Messages that trigger a rebuild.', default: {}, dependentRequired: CERTIFICATE },
);

/** The whole file. */
export const configSchema = section({
  'state_dir?': path('Where all that is read and published is kept.', {
    example: './state',
    expected: 'a folder',
    otherwise: '`REGINDEXER_STATE_DIR`, or `./state`',
  }),
  store: databaseUrl(
    'Where it is kept instead, for several replicas that share it: in a PostgreSQL database, `postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full`; `state_dir` then has copies. What is left out comes from `PGUSER`, `PGHOST`, `PGPORT` and so on.',
  ),
  'store_password_file?': path('A file that holds the password of `store`.', {
    example: '/run/secrets/regindexer/store-password',
  }),
  'icons_dir?': path('A folder that icons are written to as well, for web servers that serve files.', {
    example: '/var/www/html/icons',
    expected: 'a folder',
  }),
  icons_uri: servedReference('Public URI of the icons, relative to the index’s URL. A missing last `/` is added.', {
    default: '/icons/',
  }),
  indexes: record(index, {
    description:
      'The indexes, at least one. A name is part of URLs: letters, digits, `.`, `_` and `-`. Clients add one with `flatpak remote-add NAME oci+https://HOST/NAME`.',
    expected: 'at least one index',
    placeholder: 'NAME',
    propertyNames: indexName(),
    minProperties: 1,
  }),
  'default_index?': text('The index that answers at `/index/static`.', {
    example: 'apps',
    expected: 'the name of an index',
    otherwise: 'the first',
  }),
  registries: record(registrySchema, {
    description:
      'How registries are read, by the URL that an index gives. One that anybody may read needs nothing here; one that no index reads is an error.',
    default: {},
    expected: 'registries by their URL',
    placeholder: 'URL',
    propertyNames: registryUrl(),
  }),
  rescan_interval: duration(
    'How long after a full rebuild everything is read again, to repair what notifications missed; 0 for never.',
    { default: '1h', maximum: MAX_INTERVAL },
  ),
  clean_files_after: duration(
    'How long icons are kept after the last index that names them and the last image that has them: clients may still hold such an index.',
    { default: '1d' },
  ),
  daemon,
  server,
  bus,
});

/** Content of a configuration file, with defaults in place. */
export type ConfigFile = Static<typeof configSchema>;

/** The same as the program uses it: names in camelCase, paths absolute, times in milliseconds. */
export type ConfigValues = StaticDecode<typeof configSchema>;
