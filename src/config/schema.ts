/** Every key of the configuration file: its name, its type, its default and what it means. */
import { Type, type Static } from 'typebox';
import {
  LONGEST_TIMER,
  bearerToken,
  brokerUrl,
  duration,
  flag,
  globs,
  httpUrl,
  indexName,
  outputFile,
  path,
  proxyAddresses,
  readableFile,
  record,
  registryReference,
  registryUrl,
  secret,
  section,
  servedReference,
  text,
  wholeNumber,
} from './value-types.ts';

/** A section of `registries`. */
export const registrySchema = section({
  repositories: globs({
    description: 'Names and globs of the repositories to read. Names alone need no catalog.',
    default: [],
    otherwise: 'all in the catalog',
  }),
  username: Type.Optional(text({ description: 'Login; needs `password` too.', otherwise: 'from `auth_file`' })),
  password: Type.Optional(secret({ description: 'Password of `username`.', otherwise: 'from `auth_file`' })),
  auth_file: Type.Optional(
    readableFile({
      description: 'Logins as `skopeo login` and `docker login` write them.',
      otherwise: '`REGISTRY_AUTH_FILE`, `containers/auth.json` in `XDG_RUNTIME_DIR` (else `/run/containers/UID/auth.json`) and in `~/.config`, `config.json` in `DOCKER_CONFIG` or `~/.docker`',
    }),
  ),
  ca_file: Type.Optional(
    readableFile({
      description: 'Certificates to trust beside the system’s own (PEM).',
      otherwise: 'from `/etc/containers/certs.d` and `/etc/docker/certs.d`',
    }),
  ),
  client_cert: Type.Optional(
    readableFile({ description: 'Client certificate (PEM); needs `client_key` too.', otherwise: 'from `/etc/containers/certs.d` and `/etc/docker/certs.d`' }),
  ),
  client_key: Type.Optional(readableFile({ description: 'Key of `client_cert` (PEM).', otherwise: 'as `client_cert`' })),
  concurrency: wholeNumber(1, 1000, { description: 'The most requests at once; how many are best is found.', default: 128 }),
  private_redirects: Type.Optional(
    flag({
      description: 'Whether the registry may lead to private addresses: by redirects, and by the token server that it names.',
      otherwise: 'only if it is at one itself',
    }),
  ),
  timeout: duration({ description: 'How long one request may take.', default: '30s' }, 1, LONGEST_TIMER),
}, { default: {} });

const index = section({
  registry: registryUrl({ description: 'The registry to read: `http(s)://…`, or `oci:FOLDER`, where every OCI image layout is a repository.' }),
  registry_public: Type.Optional(
    registryReference({
      description: 'The registry’s URL as clients see it; may be relative to the index’s URL.',
      otherwise: '`registry` as written; `/` for `oci:`',
    }),
  ),
  output: Type.Optional(outputFile({ description: 'A file to write the index to as well.', otherwise: 'none' })),
  tags: globs({ description: 'Globs (`*`, `?`), any of which must match a tag.', default: ['*'], minItems: 1 }),
  required_annotations: Type.Array(text({ expected: 'an annotation’s key' }), { description: 'Annotations that an image must all have.', default: [] }),
  required_labels: Type.Array(text({ expected: 'a label’s key' }), { description: 'Labels that an image must all have.', default: [] }),
  architectures: Type.Optional(
    Type.Array(text({ expected: 'an architecture such as amd64' }), {
      description: 'Architectures to keep, by their Go names.',
      otherwise: 'all',
      minItems: 1,
    }),
  ),
  skip_flatpak_annotations: flag({ description: 'Leave out annotations that start with `org.flatpak.` or `org.freedesktop.`.', default: false }),
  skip_flatpak_labels: flag({ description: 'Leave out labels that start with `org.flatpak.` or `org.freedesktop.`.', default: false }),
  extract_icons: flag({ description: 'Take icons out of the index, and name them there by their URIs.', default: false }),
  remote_icons: flag({
    description: 'Also name extracted icons in the app data of images, for KDE’s Discover; needs `server.base_url`, or a whole URL as `icons_uri`.',
    default: false,
  }),
  repository_include: globs({ description: 'Globs of the repositories to take.', default: [], otherwise: 'all' }),
  repository_exclude: globs({ description: 'Globs of repositories to leave out.', default: [], otherwise: 'none' }),
  repository_priority: globs({
    description: 'Globs of repositories, the most wanted first: each Flatpak ref and architecture is then shown from one repository only.',
    default: [],
    otherwise: 'none',
  }),
  lists: Type.Union([Type.Literal('keep'), Type.Literal('flatten')], {
    description: 'Image lists stand in `Lists`, or `flatten`: their images stand in `Images` with the tags of the list, for readers that know no `Lists`.',
    default: 'keep',
    expected: 'keep or flatten',
  }),
  flatpak_annotations: flag({ description: 'Show the Flatpak labels as annotations, for clients before Flatpak 1.6.', default: false }),
  force_flatpak_token: flag({ description: 'Have clients ask for a token before they download.', default: false }),
  signatures_dir: Type.Optional(path({ description: 'Signatures to serve at `/NAME/signatures/`.', expected: 'a folder', otherwise: 'none' })),
  title: Type.Optional(text({ description: 'What people call this index.', otherwise: 'the index’s name' })),
  comment: Type.Optional(text({ description: 'What it is, in one line.', otherwise: 'none' })),
  description: Type.Optional(text({ description: 'What it is, in a few sentences.', otherwise: 'none' })),
  homepage: Type.Optional(httpUrl({ description: 'Where to read more.', otherwise: 'none' }, 'any query')),
  icon: Type.Optional(httpUrl({ description: 'A picture for it.', otherwise: 'none' }, 'any query')),
  gpg_key: Type.Optional(readableFile({ description: 'The public key that signatures are made with.', otherwise: 'none' })),
  runtime_repo: Type.Optional(
    httpUrl({ description: 'The `.flatpakrepo` that has the runtimes of its apps.', otherwise: 'this server’s, where it has them' }, 'any query'),
  ),
  remote_name: Type.Optional(
    text({
      description: 'What Flatpak is told to call its remote.',
      pattern: /^[A-Za-z0-9_][A-Za-z0-9._-]*$/,
      expected: 'a name such as example-apps, of letters, digits, ".", "_" and "-"',
      otherwise: 'the index’s name',
    }),
  ),
  collection_id: Type.Optional(
    text({
      description: 'Collection ID that Flatpak gives its remote, for `flatpak preinstall`; needs `gpg_key` too, and all clients from 1.17 on.',
      pattern: /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/,
      maxLength: 255,
      expected: 'a reversed domain name such as org.example.Apps',
      otherwise: 'none',
    }),
  ),
}, { default: {} });

const daemon = section(
  {
    topic_prefix: text({ description: 'How the topics on the bus start.', default: 'org.fedoraproject' }),
    environment: text({ description: 'What follows the prefix.', default: 'dev' }),
  },
  { default: {} },
);

const server = section(
  {
    host: text({ description: 'The address to listen on.', default: '127.0.0.1' }),
    port: wholeNumber(0, 65_535, { description: 'The port; 0 lets the system choose.', default: 8080 }),
    tls: Type.Optional(
      section(
        {
          cert: readableFile({ description: 'Certificate chain (PEM); with it the server speaks HTTPS and HTTP/2.' }),
          key: readableFile({ description: 'Key of `cert` (PEM).' }),
        },
        { otherwise: 'plain HTTP' },
      ),
    ),
    base_url: Type.Optional(
      httpUrl({
        description:
          'The server’s public URL, written into `.flatpakrepo` and `.flatpakref` files, and before a relative `registry_public`. If it has a path, all is answered below that, too.',
        otherwise: 'from the request',
      }),
    ),
    admin_token: Type.Optional(bearerToken({ description: 'Bearer token of `/reindex`.', otherwise: 'none: the route answers 403' })),
    admin_token_file: Type.Optional(path({ description: 'A file that holds `admin_token`.', otherwise: 'none' })),
    events_token: Type.Optional(bearerToken({ description: 'Bearer token of `/events`.', otherwise: 'none: the route answers 403' })),
    events_token_file: Type.Optional(path({ description: 'A file that holds `events_token`.', otherwise: 'none' })),
    max_age: duration({ description: '`Cache-Control: max-age` of indexes.', default: '60s' }),
    registry_proxy: flag({ description: 'Serve `/v2/` of the default index’s registry from here; always on for `oci:`.', default: false }),
    registry_proxy_redirects: Type.Union([Type.Literal('follow'), Type.Literal('pass')], {
      description: 'Where that registry redirects to another host: `follow` it here, or `pass` it on to the client.',
      default: 'follow',
      expected: 'follow or pass',
    }),
    trust_proxy: Type.Union(
      [Type.Boolean(), Type.Integer({ minimum: 1 }), proxyAddresses(), Type.Array(proxyAddresses(), { minItems: 1 })],
      {
        description: 'Proxies whose `X-Forwarded-*` headers are believed: all, how many hops, or their addresses.',
        default: false,
        expected: 'true, false, a number of hops, or addresses and networks of proxies',
      },
    ),
  },
  { default: {}, removed: { workers: 'was removed, expected several replicas of the program with one store instead: a process answers with one thread' } },
);

const headers = (description: string) =>
  record(Type.Union([Type.String(), Type.Boolean(), Type.Number()], { expected: 'a text', secret: true }), {
    description,
    default: {},
    otherwise: 'none',
    expected: 'headers and their values',
  });

const destinationName = (description?: string) =>
  text({ expected: 'a destination such as /topic/org.example.compose', ...(description !== undefined && { description }) });

const bus = section(
  {
    url: Type.Optional(
      Type.Union([brokerUrl(), Type.Array(brokerUrl(), { minItems: 1, expected: 'a list of at least one broker' })], {
        description: 'The broker, `stomp://USER:PASSWORD@HOST:61613/VHOST` or `stomps://…`, or a list to fail over.',
        otherwise: 'none',
        expected: 'the URL of a STOMP broker, or a list of such',
        secret: true,
      }),
    ),
    destinations: Type.Optional(
      Type.Array(
        Type.Union(
          [
            destinationName(),
            section({
              destination: destinationName('What to subscribe to.'),
              headers: headers('Headers of this subscription, such as `id` and `durable`; `prefetch-count` and `activemq.prefetchSize` are 100 by themselves.'),
            }),
          ],
          { expected: 'a destination such as /topic/org.example.compose, or {destination, headers}' },
        ),
        {
          description: 'What to subscribe to: names, or `{destination, headers}`.',
          otherwise: '`/topic/PREFIX.ENV.bodhi.mashtask.complete` and `/topic/PREFIX.ENV.bodhi.compose.complete` from `daemon`',
          minItems: 1,
        },
      ),
    ),
    content_types: Type.Union(
      [Type.Literal('any'), Type.Array(text({ expected: 'a content type such as flatpak' }), { minItems: 1 })],
      {
        description: 'Values of `ctype` that trigger a rebuild; `any` for every message.',
        default: ['container', 'flatpak'],
        expected: '"any", or a list such as [container, flatpak]',
      },
    ),
    ca_file: Type.Optional(readableFile({ description: 'Certificates to trust (PEM).', otherwise: 'the system’s own' })),
    client_cert: Type.Optional(readableFile({ description: 'Client certificate (PEM); needs `client_key` too.', otherwise: 'none' })),
    client_key: Type.Optional(readableFile({ description: 'Key of `client_cert` (PEM).', otherwise: 'none' })),
    headers: headers('Headers of the connection.'),
    heartbeat: duration({ description: 'How often each side must send something; 0 for no heart-beats.', default: '10s' }, 0, LONGEST_TIMER),
  },
  { default: {} },
);

/** The whole file. */
export const configSchema = section({
  state_dir: path({ description: 'Where all that is read and published is kept.', default: './state', expected: 'a folder' }),
  icons_dir: Type.Optional(path({ description: 'A folder that icons are written to as well, for web servers that serve files.', expected: 'a folder' })),
  icons_uri: servedReference({ description: 'Public URI of the icons, relative to the index’s URL. A missing last `/` is added.', default: '/icons/' }),
  indexes: record(index, { expected: 'at least one index', placeholder: 'NAME', propertyNames: indexName(), minProperties: 1 }),
  default_index: Type.Optional(text({ description: 'The index that answers at `/index/static`.', expected: 'the name of an index', otherwise: 'the first' })),
  registries: record(registrySchema, { default: {}, expected: 'registries by their URL', placeholder: 'URL', propertyNames: registryUrl() }),
  rescan_interval: duration({ description: 'How long after a full rebuild everything is read again; 0 for never.', default: '1h' }, 0, LONGEST_TIMER),
  clean_files_after: duration({ description: 'How long icons that no index names any more are kept.', default: '1d' }),
  daemon,
  server,
  bus,
});

/** What a configuration file says, with defaults in place. */
export type ConfigFile = Static<typeof configSchema>;
