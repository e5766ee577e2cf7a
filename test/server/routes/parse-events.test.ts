import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anything,
  type Arbitrary,
  array,
  assert as assertProperty,
  constant,
  constantFrom,
  dictionary,
  json,
  letrec,
  oneof,
  property,
  string,
  uint8Array,
} from 'fast-check';
import { isRepositoryName, isTag } from '../../../src/registry/reference.ts';
import type { ParsedEvents } from '../../../src/server/routes/events/notification.ts';
import { parseEvents } from '../../../src/server/routes/events/parse-events.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DIGEST = `sha256:${'0'.repeat(64)}`;

type Headers = Readonly<Record<string, string>>;

function parse(body: unknown, headers: Headers = {}): ParsedEvents {
  return parseEvents(headers, Buffer.from(JSON.stringify(body)));
}

/** What was understood, without the kinds of events that did not come. */
function understood(body: unknown, headers: Headers = {}): Partial<ParsedEvents> {
  const { changes, ignored, pings, malformed } = parse(body, headers);
  return {
    ...(changes.length > 0 && { changes }),
    ...(ignored > 0 && { ignored }),
    ...(pings > 0 && { pings }),
    ...(malformed.length > 0 && { malformed }),
  };
}

const changes = (...names: string[]): Partial<ParsedEvents> => ({
  changes: names.map((name) => {
    const [repository = '', tag] = name.split(':');
    return tag === undefined ? { repository } : { repository, tag };
  }),
});
const IGNORED = { ignored: 1 };
const PING = { pings: 1 };
const fault = (field: string): Partial<ParsedEvents> => ({ malformed: [`${field} is not the name of a repository`] });

function distributionEvent(action: string, target: object): object {
  const more = {
    id: 'f0e3',
    timestamp: '2026-01-01T00:00:00Z',
    request: { host: 'registry.example.org' },
    actor: {},
    source: { addr: 'other.example.org' },
  };
  return { ...more, action, target: { digest: DIGEST, length: 1, size: 1, ...target } };
}

function harbor(type: string, repository: string, ...tags: string[]): object {
  const resources = tags.map((tag) => ({
    digest: DIGEST,
    tag,
    resource_url: `harbor.example.org/${repository}:${tag}`,
  }));
  return {
    type,
    occur_at: 1_700_000_000,
    operator: 'admin',
    event_data: {
      resources,
      repository: { name: 'hello', namespace: 'apps', repo_full_name: repository, repo_type: 'private' },
    },
  };
}

test('envelopes of Distribution 2 and 3', () => {
  const parsed = parse({
    events: [
      distributionEvent('push', {
        mediaType: MANIFEST,
        repository: 'apps/hello',
        tag: 'latest',
        url: 'http://elsewhere.example.org/v2/apps/hello/manifests/x',
      }),
      distributionEvent('push', { mediaType: INDEX, repository: 'apps/clock', tag: '1.0' }),
      distributionEvent('push', { mediaType: MANIFEST, repository: 'apps/by-digest' }),
      distributionEvent('push', { mediaType: 'application/octet-stream', repository: 'apps/hello' }),
      distributionEvent('push', {
        mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
        repository: 'apps/hello',
        tag: 'latest',
      }),
      distributionEvent('pull', { mediaType: MANIFEST, repository: 'apps/hello', tag: 'latest' }),
      distributionEvent('mount', {
        mediaType: 'application/octet-stream',
        repository: 'apps/hello',
        fromRepository: 'apps/other',
      }),
      distributionEvent('delete', { repository: 'apps/gone' }),
      distributionEvent('delete', { mediaType: MANIFEST, repository: 'apps/untagged', tag: 'old' }),
      distributionEvent('delete', { repository: '../etc' }),
      distributionEvent('push', { mediaType: MANIFEST, repository: 'UPPER', tag: 'latest' }),
      distributionEvent('push', { mediaType: MANIFEST, repository: 'apps/odd', tag: 'not a tag' }),
      'nonsense',
      { action: 'push' },
    ],
  });
  assert.deepEqual(parsed, {
    changes: [
      { repository: 'apps/hello', tag: 'latest' },
      { repository: 'apps/clock', tag: '1.0' },
      { repository: 'apps/gone' },
      { repository: 'apps/untagged', tag: 'old' },
      { repository: 'apps/odd' },
    ],
    ignored: 5,
    pings: 0,
    malformed: [
      'target.repository of an event is not the name of a repository',
      'target.repository of an event is not the name of a repository',
      'an event has no target',
      'an event has no target',
    ],
  });
  assert.deepEqual(understood({ events: [] }), {});
});

test('webhooks of Azure Container Registry', () => {
  const target = { mediaType: MANIFEST, size: 524, digest: DIGEST, length: 524, repository: 'apps/hello' };
  const webhook = {
    id: 'cb8c',
    timestamp: '2026-01-01T00:00:00Z',
    request: { host: 'apps.azurecr.io', method: 'PUT' },
  };
  for (const [body, expected] of [
    [{ ...webhook, action: 'push', target: { ...target, tag: 'latest' } }, changes('apps/hello:latest')],
    [{ ...webhook, action: 'push', target }, IGNORED],
    [{ ...webhook, action: 'delete', target: { digest: DIGEST, repository: 'apps/hello' } }, changes('apps/hello')],
    [{ ...webhook, action: 'chart_push', target: { repository: 'charts/hello', tag: '1.0' } }, IGNORED],
    [{ id: 'cb8c', timestamp: '2026-01-01T00:00:00Z', action: 'ping' }, PING],
    [{ ...webhook, action: 'push', target: null }, { malformed: ['an event has no target'] }],
    [{ ...webhook, action: 'delete', target: { repository: '..' } }, fault('target.repository of an event')],
  ] as const)
    assert.deepEqual(understood(body), expected, JSON.stringify(body));
});

const harborCloudEvent = (type: string, body: object): object => ({
  specversion: '1.0',
  id: '4b2f',
  requestid: '2eed',
  source: '/projects/1/webhook/policies/3',
  type,
  datacontenttype: 'application/json',
  time: '2026-01-01T00:00:00Z',
  operator: 'admin',
  data: (body as { readonly event_data: object }).event_data,
});

test('webhooks of Harbor, in both formats', () => {
  const headers = { 'content-type': 'application/cloudevents+json' };
  for (const [type, cloudType, repository, tags, expected] of [
    [
      'PUSH_ARTIFACT',
      'artifact.pushed',
      'apps/hello',
      ['latest', '2.0'],
      changes('apps/hello:latest', 'apps/hello:2.0'),
    ],
    ['PUSH_ARTIFACT', 'artifact.pushed', 'apps/hello', [], changes('apps/hello')],
    ['PUSH_ARTIFACT', 'artifact.pushed', 'apps/hello', [DIGEST], IGNORED],
    ['PUSH_ARTIFACT', 'artifact.pushed', 'apps/hello', ['not a tag'], changes('apps/hello')],
    ['DELETE_ARTIFACT', 'artifact.deleted', 'apps/hello', ['latest'], changes('apps/hello')],
    ['PULL_ARTIFACT', 'artifact.pulled', 'apps/hello', ['latest'], IGNORED],
    ['QUOTA_EXCEED', 'quota.exceeded', 'apps/hello', [], IGNORED],
  ] as const) {
    const body = harbor(type, repository, ...tags);
    assert.deepEqual(understood(body), expected, type);
    assert.deepEqual(understood(harborCloudEvent(`harbor.${cloudType}`, body), headers), expected, cloudType);
  }
  const invalid = harbor('PUSH_ARTIFACT', '../etc', 'latest');
  assert.deepEqual(understood(invalid), fault('event_data.repository.repo_full_name'));
  assert.deepEqual(
    understood(harborCloudEvent('harbor.artifact.pushed', invalid), headers),
    fault('data.repository.repo_full_name'),
  );
  assert.deepEqual(understood({ type: 'testEndpoint', occur_at: 1, operator: 'admin' }), PING);
});

const binary = (type: string): Headers => ({
  'ce-id': '1',
  'ce-source': 'zotregistry.dev',
  'ce-specversion': '1.0',
  'ce-type': type,
  'content-type': 'application/json',
});

const structured = (type: string, data: unknown): object => ({
  specversion: '1.0',
  id: '1',
  source: 'zotregistry.dev',
  type,
  datacontenttype: 'application/json',
  data,
});

test('CloudEvents of Zot, in binary and structured mode, alone and in batches', () => {
  const image = { name: 'apps/hello', reference: 'latest', digest: DIGEST, mediaType: MANIFEST, manifest: '{}' };
  for (const [type, data, expected] of [
    ['zotregistry.image.updated', image, changes('apps/hello:latest')],
    ['com.example.registry.image.updated', image, changes('apps/hello:latest')],
    ['image.updated', { ...image, mediaType: INDEX }, changes('apps/hello:latest')],
    ['zotregistry.image.updated', { ...image, reference: DIGEST }, IGNORED],
    ['zotregistry.image.updated', { ...image, mediaType: 'application/vnd.cncf.helm.config.v1+json' }, IGNORED],
    ['zotregistry.image.deleted', image, changes('apps/hello:latest')],
    ['zotregistry.image.deleted', { ...image, reference: DIGEST }, changes('apps/hello')],
    ['zotregistry.image.lint_failed', image, IGNORED],
    ['zotregistry.repository.created', { name: 'apps/hello' }, IGNORED],
    ['zotregistry.image.updated', { ...image, name: 7 }, fault('name')],
  ] as const) {
    assert.deepEqual(understood(data, binary(type)), expected, type);
    assert.deepEqual(understood(structured(type, data), { 'content-type': 'application/cloudevents+json' }), expected);
  }
  const batch = [
    structured('zotregistry.image.updated', image),
    structured('harbor.artifact.pushed', { repository: { repo_full_name: 'apps/clock' }, resources: [{ tag: '1' }] }),
    structured('zotregistry.image.lint_failed', image),
    structured('org.example.something', image),
    structured('zotregistry.image.deleted', undefined),
    [],
  ];
  const parsed = parse(batch, { 'content-type': 'application/cloudevents-batch+json' });
  assert.deepEqual(
    [parsed.changes, parsed.ignored, parsed.malformed.map((each) => each.split(' ', 3).join(' '))],
    [changes('apps/hello:latest', 'apps/clock:1').changes, 1, ['it is from', 'name is not', 'it is not']],
  );
  assert.deepEqual(understood([]), {});
});

test('webhooks of Quay', () => {
  const webhook = {
    name: 'hello',
    repository: 'apps/hello',
    namespace: 'apps',
    docker_url: 'quay.example.org/apps/hello',
    homepage: 'https://quay.example.org/repository/apps/hello',
  };
  for (const [body, expected] of [
    [{ ...webhook, updated_tags: ['latest', 'stable'] }, changes('apps/hello:latest', 'apps/hello:stable')],
    [{ ...webhook, updated_tags: [] }, changes('apps/hello')],
    [{ ...webhook, updated_tags: { latest: 'b750' } }, changes('apps/hello')],
    [webhook, changes('apps/hello')],
    [{ ...webhook, repository: 'Apps/Hello', updated_tags: ['latest'] }, fault('repository')],
  ] as const)
    assert.deepEqual(understood(body), expected, JSON.stringify(body));
});

const dockerHubWebhook = (name: unknown, tag?: unknown): object => ({
  callback_url: 'https://registry.hub.docker.com/u/owner/hello/hook/1/',
  push_data: { pushed_at: 1, pusher: 'owner', ...(tag !== undefined && { tag }) },
  repository: {
    name: 'hello',
    namespace: 'owner',
    repo_name: name,
    repo_url: 'https://hub.docker.com/r/owner/hello',
  },
});

test('webhooks of Docker Hub', () => {
  assert.deepEqual(understood(dockerHubWebhook('owner/hello', 'latest')), changes('owner/hello:latest'));
  assert.deepEqual(understood(dockerHubWebhook('owner/hello')), changes('owner/hello'));
  assert.deepEqual(understood(dockerHubWebhook('owner/hello', { a: 1 })), changes('owner/hello'));
  assert.deepEqual(understood(dockerHubWebhook(undefined, 'latest')), fault('repository.repo_name'));
  assert.deepEqual(understood({ push_data: { tag: 'latest' } }), fault('repository.repo_name'));
});

const artifactoryWebhook = (type: string, data: object, domain = 'docker'): object => ({
  domain,
  event_type: type,
  data: { path: 'apps/hello/latest/manifest.json', name: 'manifest.json', sha256: '0', size: 7, ...data },
  subscription_key: 'regindexer',
  jpd_origin: 'https://artifactory.example.org',
});

test('webhooks of Artifactory, whose repositories have one of two names', () => {
  const image = { repo_key: 'docker-local', image_name: 'apps/hello', tag: 'latest' };
  const both = changes('apps/hello:latest', 'docker-local/apps/hello:latest');
  for (const [body, expected] of [
    [artifactoryWebhook('pushed', image), both],
    [artifactoryWebhook('deleted', image), both],
    [artifactoryWebhook('promoted', image), both],
    [artifactoryWebhook('pushed', { ...image, repo_key: 'Docker Local' }), changes('apps/hello:latest')],
    [artifactoryWebhook('pushed', { image_name: 'apps/hello', tag: 'latest' }), changes('apps/hello:latest')],
    [artifactoryWebhook('pushed', { ...image, image_name: undefined }), fault('data.image_name')],
    [artifactoryWebhook('scanned', image), IGNORED],
    [artifactoryWebhook('deployed', image, 'artifact'), IGNORED],
  ] as const)
    assert.deepEqual(understood(body), expected, JSON.stringify(body));
});

const githubWebhook = (
  event: string,
  more: object = {},
  tag: unknown = { name: 'latest', digest: DIGEST },
): object => ({
  action: 'published',
  [event]: {
    id: 1,
    name: 'Hello',
    namespace: 'Owner',
    ecosystem: 'CONTAINER',
    package_type: 'CONTAINER',
    owner: { login: 'Owner', type: 'Organization' },
    package_version: {
      version: DIGEST,
      container_metadata: { tag, labels: {} },
      package_url: 'ghcr.io/owner/hello:',
    },
    ...more,
  },
  organization: { login: 'Owner' },
  repository: { full_name: 'Owner/hello' },
});

const github = (event: string): Headers => ({ 'x-github-event': event, 'x-github-delivery': '1' });

test('webhooks of GitHub', () => {
  for (const event of ['package', 'registry_package'])
    for (const [body, expected] of [
      [githubWebhook(event), changes('owner/hello:latest')],
      [githubWebhook(event, { name: 'hello/nested' }), changes('owner/hello/nested:latest')],
      [githubWebhook(event, { owner: undefined }), changes('owner/hello:latest')],
      [githubWebhook(event, {}, { name: '', digest: '' }), IGNORED],
      [githubWebhook(event, {}, null), changes('owner/hello')],
      [githubWebhook(event, { package_version: null }), changes('owner/hello')],
      [githubWebhook(event, { package_type: 'npm' }), IGNORED],
      [githubWebhook(event, { package_type: { toString: 1 } }), IGNORED],
      [githubWebhook(event, { name: 'no name' }), fault(`${event}.owner.login/name`)],
      [{ action: 'published' }, IGNORED],
    ] as const)
      assert.deepEqual(understood(body, github(event)), expected, JSON.stringify(body));
  assert.deepEqual(understood({ zen: 'Keep it simple.', hook_id: 1, hook: {} }, github('ping')), PING);
  assert.deepEqual(understood({ ref: 'refs/heads/main', repository: { full_name: 'a/b' } }, github('push')), IGNORED);
  const form = `payload=${encodeURIComponent(JSON.stringify(githubWebhook('package')))}`;
  assert.deepEqual(parseEvents(github('package'), Buffer.from(form)).changes, changes('owner/hello:latest').changes);
});

const giteaWebhook = (action: string, more: object = {}): object => ({
  action,
  repository: null,
  package: { id: 1, owner: { login: 'Owner' }, type: 'container', name: 'hello', version: 'latest', ...more },
  organization: { login: 'Owner' },
  sender: { login: 'somebody' },
});

test('webhooks of Gitea and Forgejo', () => {
  for (const name of ['gitea', 'forgejo']) {
    const headers = (event: string): Headers => ({ [`x-${name}-event`]: event, ...github(event) });
    for (const [body, expected] of [
      [giteaWebhook('created'), changes('owner/hello:latest')],
      [giteaWebhook('created', { version: DIGEST }), IGNORED],
      [giteaWebhook('deleted'), changes('owner/hello:latest')],
      [giteaWebhook('deleted', { version: DIGEST }), changes('owner/hello')],
      [giteaWebhook('created', { type: 'npm' }), IGNORED],
      [giteaWebhook('created', { owner: null }), fault('package.owner.login/name')],
    ] as const)
      assert.deepEqual(understood(body, headers('package')), expected, JSON.stringify(body));
    assert.deepEqual(understood({ ref: 'refs/heads/main', commits: [] }, headers('push')), IGNORED);
  }
});

test('a request without a body is a test', () => {
  for (const body of ['', ' \n', 'payload='])
    assert.deepEqual(parseEvents({}, Buffer.from(body)), { changes: [], ignored: 0, pings: 1, malformed: [] });
});

test('other bodies are malformed', () => {
  for (const body of [
    'null',
    '[[]]',
    '1',
    '"events"',
    '{}',
    '{',
    '{"events":{}}',
    '{"events":"push"}',
    '{"event_data":[]}',
    '{"repository":"apps/hello"}',
    '{"action":"push"}',
    '{"specversion":"1.0","type":"org.example.something","data":{}}',
    '\u0000',
    'payload=%7B',
    'payload=%',
    'events=1',
  ]) {
    const { malformed, ...others } = parseEvents({}, Buffer.from(body));
    assert.deepEqual([others, malformed.length], [{ changes: [], ignored: 0, pings: 0 }, 1], body);
    assert.match(malformed[0] ?? '', /^it is not JSON$|^it is not a JSON object$|^it is from none of Distribution, /);
  }
});

test('a byte order mark and invalid UTF-8 do no harm', () => {
  const body = Buffer.from(JSON.stringify({ events: [distributionEvent('delete', { repository: 'apps/gone' })] }));
  const expected = { ...parseEvents({}, body) };
  assert.deepEqual(expected.changes, [{ repository: 'apps/gone' }]);
  assert.deepEqual(parseEvents({}, Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body])), expected);
  assert.deepEqual(parseEvents({}, Buffer.from(body.toString().replace('f0e3', '\u00e9'), 'latin1')), expected);
});

/** Names that senders give to members, and two that every object has. */
const MEMBERS = `
  events action target repository tag mediaType digest type event_data resources repo_full_name specversion data
  name reference docker_url updated_tags push_data repo_name domain event_type repo_key image_name package
  registry_package owner package_type package_version container_metadata login version toString __proto__`
  .trim()
  .split(/\s+/);

/** Values of all kinds, in objects with these members. */
function notifications(): Arbitrary<unknown> {
  const { value } = letrec<{ value: unknown; text: unknown; fields: unknown }>((tie) => ({
    text: oneof(
      constantFrom('apps/hello', 'latest', '', '..', 'a'.repeat(300), 'https://evil.example.org/v2/', MANIFEST, DIGEST),
      constantFrom('push', 'delete', 'ping', 'pushed', 'docker', 'created', 'container', 'CONTAINER', 'PUSH_ARTIFACT'),
      constantFrom('harbor.artifact.pushed', 'zotregistry.image.updated', 'zotregistry.image.deleted', '1.0'),
      string(),
      anything(),
    ),
    fields: dictionary(constantFrom(...MEMBERS), tie('value'), { maxKeys: 12 }),
    value: oneof({ depthSize: 'medium' }, tie('text'), tie('fields'), array(tie('value'), { maxLength: 3 })),
  }));
  return value;
}

test('any input yields only valid names, and never throws', () => {
  const headers = dictionary(
    constantFrom('ce-type', 'x-github-event', 'x-gitea-event', 'x-forgejo-event', 'content-type'),
    oneof(constantFrom('package', 'registry_package', 'ping', 'zotregistry.image.updated', 'harbor.x'), string()),
  );
  const text = oneof(
    string(),
    json(),
    notifications().map(
      (value) =>
        JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member)) ?? '',
    ),
  );
  const body = oneof(
    { weight: 4, arbitrary: text.map((its) => Buffer.from(its)) },
    { weight: 1, arbitrary: text.map((its) => Buffer.from(`payload=${encodeURIComponent(its.toWellFormed())}`)) },
    { weight: 1, arbitrary: uint8Array().map((its) => Buffer.from(its)) },
    { weight: 1, arbitrary: constant(Buffer.alloc(0)) },
  );
  assertProperty(
    property(headers, body, (its, bytes) => {
      const parsed = parseEvents(its, bytes);
      for (const { repository, tag, ...more } of parsed.changes) {
        assert.ok(isRepositoryName(repository));
        assert.ok(tag === undefined || isTag(tag));
        assert.deepEqual(more, {});
      }
      assert.ok(Number.isInteger(parsed.ignored) && Number.isInteger(parsed.pings));
      assert.ok(parsed.malformed.every((each) => each.length < 200));
    }),
    { numRuns: 2000 },
  );
});
