/** `registries.URL.listing`: what it may say, and what becomes of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { configWarnings } from '../../src/config/config-warnings.ts';
import { describeConfig } from '../../src/config/describe-config.ts';
import { configOf, problemsOf, writeConfig } from './config-file.ts';

/** A configuration of one registry with a section of keys. */
function text(registry: string, keys: string): string {
  return `indexes: {apps: {registry: "${registry}"}}\nregistries:\n  "${registry}": {${keys}}\n`;
}

function listingOf(t: TestContext, registry: string, listing: string, environment = {}): unknown {
  const config = configOf(t, text(registry, `listing: {${listing}}`), { environment, beside: { token: 'one-token' } });
  return [...config.registries.values()][0]?.listing;
}

test('the API is where it usually is for a registry, or where url says', (t) => {
  for (const [registry, listing, url] of [
    ['https://ghcr.io', 'kind: ghcr, owner: Acme, token: x', 'https://api.github.com'],
    ['https://registry-1.docker.io', 'kind: docker-hub, namespace: acme', 'https://hub.docker.com'],
    ['https://quay.io', 'kind: quay, namespace: acme', 'https://quay.io'],
    ['https://registry.gitlab.com', 'kind: gitlab, group: acme/apps', 'https://gitlab.com'],
    [
      'https://registry.example.org',
      'kind: gitlab, project: acme/app, url: "https://gitlab.example.org/"',
      'https://gitlab.example.org',
    ],
    ['https://harbor.example.org:8443', 'kind: harbor, project: apps', 'https://harbor.example.org:8443'],
    ['https://forge.example.org', 'kind: forgejo, owner: acme', 'https://forge.example.org'],
    [
      'https://git.example.org',
      'kind: gitea, owner: acme, url: "https://git.example.org/gitea"',
      'https://git.example.org/gitea',
    ],
    [
      'https://containers.example.org',
      'kind: ghcr, owner: a, token: x, url: "https://example.org/api/v3"',
      'https://example.org/api/v3',
    ],
  ] as const) {
    assert.equal((listingOf(t, registry, listing) as { readonly url: string }).url, url, registry);
  }
});

test('a token may come from the environment or a file', (t) => {
  const base = { kind: 'ghcr', owner: 'acme', url: 'https://api.github.com' };
  const environment = { GITHUB_TOKEN: 'from-outside' };
  assert.deepEqual(listingOf(t, 'https://ghcr.io', 'kind: ghcr, owner: acme, token: "${GITHUB_TOKEN}"', environment), {
    ...base,
    token: 'from-outside',
  });
  const { tokenFile, ...rest } = listingOf(t, 'https://ghcr.io', 'kind: ghcr, owner: acme, token_file: token') as {
    readonly tokenFile: string;
  };
  assert.deepEqual(rest, base);
  assert.match(tokenFile, /^\/.*\/token$/);
});

const GHCR = 'https://ghcr.io';
const OTHER = 'https://registry.example.org';

for (const [registry, listing, path, message] of [
  [
    GHCR,
    'owner: a, token: x',
    '.kind',
    /^is missing, expected ghcr, docker-hub, quay, gitlab, harbor, forgejo or gitea$/,
  ],
  [GHCR, 'kind: github, owner: a', '.kind', /^is "github", expected ghcr, docker-hub, .* or gitea$/],
  [GHCR, 'kind: ghcr, token: x', '', /^does not say whose repositories to list, expected owner in it$/],
  [
    OTHER,
    'kind: gitlab, url: "https://a"',
    '',
    /^does not say whose repositories to list, expected group or project in it$/,
  ],
  [GHCR, 'kind: ghcr, namespace: a, token: x', '.namespace', /^does not belong to the kind ghcr, expected owner$/],
  [
    OTHER,
    'kind: gitlab, url: "https://a", group: a, project: a/b',
    '.project',
    /^is given beside group, expected only one of them$/,
  ],
  [
    GHCR,
    'kind: ghcr, owner: acme/app, token: x',
    '.owner',
    /^is "acme\/app", expected the name of an organisation or user$/,
  ],
  [
    GHCR,
    'kind: ghcr, owner: "acme*", token: x',
    '.owner',
    /^is "acme\*", expected the name of an organisation or user$/,
  ],
  [
    OTHER,
    'kind: harbor, project: apps/one',
    '.project',
    /^is "apps\/one", expected the name of a project, without a slash$/,
  ],
  [
    OTHER,
    'kind: gitlab, url: "https://a", group: /a/',
    '.group',
    /^is "\/a\/", expected a path such as group\/subgroup$/,
  ],
  [
    GHCR,
    'kind: ghcr, owner: a',
    '',
    /^has no token, expected a classic personal access token with the scope read:packages, in token or token_file$/,
  ],
  [
    OTHER,
    'kind: ghcr, owner: a, token: x',
    '',
    /^does not say where the API for this registry is, expected it in url$/,
  ],
  [
    OTHER,
    'kind: docker-hub, namespace: a',
    '',
    /^does not say where the API for this registry is, expected it in url$/,
  ],
  [OTHER, 'kind: harbor, project: a, url: "api"', '.url', /^is not a URL with http or https, expected a URL such as/],
  [
    OTHER,
    'kind: quay, namespace: a, token: x, token_file: token',
    '.token_file',
    /^is given beside token, expected only one of them$/,
  ],
  [
    OTHER,
    'kind: quay, namespace: a, token_file: nowhere',
    '.token_file',
    /^names a file that does not exist, expected a token of visible ASCII/,
  ],
  [OTHER, 'kind: quay, namespace: a, token_file: empty', '.token_file', /^names a file that is empty/],
  [OTHER, 'kind: quay, namespace: a, token: x y', '.token', /^cannot be sent in a header/],
  [OTHER, 'kind: harbor, project: a, token: x', '', /^has a token without username, expected both$/],
  [OTHER, 'kind: harbor, project: a, username: x', '.username', /^is given without a token, expected both or neither$/],
  [
    OTHER,
    'kind: quay, namespace: a, username: x, token: y',
    '.username',
    /^does not belong to the kind quay, expected the token alone$/,
  ],
  [
    'oci:images',
    'kind: quay, namespace: a',
    '',
    /^is given for a folder, which lists its repositories itself, expected it to be left out$/,
  ],
] as const) {
  test(`${registry} with {${listing}}`, (t) => {
    const file = writeConfig(t, text(registry, `listing: {${listing}}`), { token: 'one-token', empty: '' });
    const found = problemsOf(file).filter((problem) => problem.path === `registries."${registry}".listing${path}`);
    assert.equal(found.length, 1, JSON.stringify(problemsOf(file)));
    assert.match(found[0]?.message ?? '', message);
    assert.equal(found[0]?.line, 3);
  });
}

test('globs may choose from a list where there is no catalog', (t) => {
  const config = configOf(
    t,
    text(GHCR, 'repositories: ["acme/flatpak-*"], listing: {kind: ghcr, owner: acme, token: one-token}'),
  );
  assert.deepEqual(config.registries.get(GHCR)?.repositories, ['acme/flatpak-*']);
  assert.deepEqual(configWarnings(config), []);
});

test('a list that is never asked is told', (t) => {
  const config = configOf(
    t,
    text(GHCR, 'repositories: [acme/app], listing: {kind: ghcr, owner: acme, token: one-token}'),
  );
  assert.deepEqual(configWarnings(config), [
    'registries."https://ghcr.io".listing: is never asked, because repositories has names alone; leave one of them out, or add a glob',
  ]);
});

test('the description tells of the list', (t) => {
  for (const [registry, keys, described] of [
    [
      GHCR,
      'listing: {kind: ghcr, owner: Acme, token: one-token}',
      'https://ghcr.io: all repositories that GitHub lists at https://api.github.com for the owner Acme, with a token',
    ],
    [
      OTHER,
      'username: x, password: y, repositories: ["**/app"], listing: {kind: gitlab, project: a/b, url: "https://gitlab.example.org"}',
      'https://registry.example.org: repositories **/app that GitLab lists at https://gitlab.example.org for the project a/b, without a token, as x',
    ],
  ] as const) {
    const lines = describeConfig(configOf(t, text(registry, keys))).split('\n');
    assert.ok(lines.includes(`Registry ${described}, at most 128 requests at once, 30s for each`), lines.join('\n'));
  }
});
