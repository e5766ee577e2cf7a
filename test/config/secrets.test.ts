import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConfig } from '../../src/config/describe-config.ts';
import { INDEX, configError, configOf, writeConfig } from './config-file.ts';

const SECRET = 'hunter2';

const WRONG: readonly string[] = [
  'indexes: {all: {registry: "https://user:hunter2@registry.example.org"}}',
  'indexes: {all: {registry: "https://hunter2@registry.example.org"}}',
  'indexes: {all: {registry: "https:user:hunter2@registry.example.org"}}',
  'indexes: {all: {registry: "user:hunter2@registry.example.org"}}',
  'indexes: {all: {registry: "https://registry.example.org/?token=hunter2"}}',
  `${INDEX}registries: {"https://user:hunter2@registry.example.org": {}}`,
  `${INDEX}registries: {"https://registry.example.org/?token=hunter2": {}}`,
  `${INDEX}registries: {"https://registry.example.com": {username: hunter2, password: [hunter2]}}`,
  `${INDEX}registries: {"https://registry.example.org": {password: {hunter2: 1}}}`,
  `${INDEX}registries: {"https://registry.example.org": hunter2}`,
  `${INDEX}server: {admin_token: "hunter2 hunter2"}`,
  `${INDEX}server: {admin_token: [hunter2]}`,
  `${INDEX}server: {admin_token: hunter2, admin_token_file: config.yaml}`,
  `${INDEX}server: {admin_token: \${TOKEN} \${NOWHERE}}`,
  `${INDEX}server: {events_token_file: secret}`,
  `${INDEX}server: {events_token_file: \${TOKEN}}`,
  `${INDEX}store: hunter2`,
  `${INDEX}store: [hunter2]`,
  `${INDEX}store: "postgres://user:hunter2@db example.org"`,
  `${INDEX}store: "postgres://user:hunter2/@db.example.org"`,
  `${INDEX}store: "postgres://user:1?hunter2@db.example.org"`,
  `${INDEX}store: "postgres://user:1#hunter2@db.example.org"`,
  `${INDEX}store: "postgres://user:hunter2%@db.example.org"`,
  `${INDEX}store: "postgres://user:hunter2@db.example.org?hunter2=1&sslmode=hunter2"`,
  `${INDEX}store: "postgres://user:hunter2@a,hunter2/hunter2?sslmode=\${TOKEN}&port=hunter2&sslrootcert=hunter2"`,
  `${INDEX}store: "postgres://user:hunter2@db.example.org"\nstore_password_file: hunter2`,
  `${INDEX}store: "postgres://user@db.example.org"\nstore_password_file: secret`,
  `${INDEX}store: "postgres://user@db.example.org"\nstore_password_file: hunter2`,
  `${INDEX}server: {port: \${TOKEN}}`,
  ...[
    'token: [hunter2]',
    'token: "hunter2 hunter2"',
    'token: hunter2, token_file: secret',
    'token_file: secret',
    'token_file: ${TOKEN}',
    'token: hunter2, username: jane',
    'url: "https://hunter2@api.example.org", token: hunter2',
    'namespace: x, token: hunter2',
  ].map(
    (keys) => `${INDEX}registries: {"https://registry.example.org": {listing: {kind: ghcr, owner: acme, ${keys}}}}`,
  ),
  `${INDEX}server: {tls: {cert: \${TOKEN}, key: \${TOKEN}}}`,
  `${INDEX}default_index: \${URL}`,
  `${INDEX}bus: {url: "stomp://user:hunter2@bus example.org"}`,
  `${INDEX}bus: {url: "mqtt://user:hunter2@bus.example.org"}`,
  `${INDEX}bus: {url: ["amqp://user:hunter2@bus.example.org", "stomp://user:hunter2@bus.example.org"]}`,
  `${INDEX}bus: {url: "amqp://user:hunter2@bus.example.org", headers: {passcode: hunter2}}`,
  `${INDEX}bus: {url: {hunter2: x}}`,
  `${INDEX}bus: {headers: {passcode: [hunter2]}}`,
  `${INDEX}server: {admin_token: *hunter2}`,
  `${INDEX}server:\n  admin_token: !hunter2 x`,
  `${INDEX}server:\n  admin_token: hunter2: x`,
  `${INDEX}server:\n  admin_token: "hunter2`,
  `${INDEX}server:\n  admin_token: @hunter2`,
  `${INDEX}server: {admin_token: "a" hunter2}`,
  `${INDEX}server: {admin_token: hunter2,, }`,
];

for (const yaml of WRONG) {
  test(`no secret in what is said of ${JSON.stringify(yaml.replace(INDEX, ''))}`, (t) => {
    const file = writeConfig(t, yaml, { secret: `${SECRET}\n${SECRET}` });
    const { message, problems } = configError(file, { TOKEN: SECRET, URL: `https://user:${SECRET}@example.org` });
    assert.ok(!message.includes(SECRET), message);
    assert.ok(!JSON.stringify(problems).includes(SECRET), message);
  });
}

test('no secret in the description', (t) => {
  const config = configOf(
    t,
    `${INDEX}registries: {"https://registry.example.org": {username: user, password: hunter2, listing: {kind: quay, namespace: acme, token: hunter2}}}
store: "postgres://hunter2:hunter2@db.example.org/apps?sslmode=require"
server: {admin_token: hunter2, events_token: hunter2}
bus: {url: "stomp://user:hunter2@bus.example.org:61613/hunter2", headers: {passcode: hunter2}, destinations: [{destination: /topic/a, headers: {x: hunter2}}]}`,
  );
  assert.ok(!describeConfig(config).includes(SECRET), describeConfig(config));
});
