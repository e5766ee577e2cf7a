import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anything, assert as assertProperty, constantFrom, json, oneof, property, record, string } from 'fast-check';
import { isRepositoryName, isTag } from '../../../src/registry/reference.ts';
import { type ParsedEvents, parseEvents } from '../../../src/server/routes/events/parse-events.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json';
const DIGEST = `sha256:${'0'.repeat(64)}`;

function parse(body: unknown): ParsedEvents {
  return parseEvents(JSON.stringify(body));
}

function event(action: string, target: object): object {
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
      event('push', {
        mediaType: MANIFEST,
        repository: 'apps/hello',
        tag: 'latest',
        url: 'http://elsewhere.example.org/v2/apps/hello/manifests/x',
      }),
      event('push', { mediaType: INDEX, repository: 'apps/clock', tag: '1.0' }),
      event('push', { mediaType: MANIFEST, repository: 'apps/by-digest' }),
      event('push', { mediaType: 'application/octet-stream', repository: 'apps/hello' }),
      event('push', {
        mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
        repository: 'apps/hello',
        tag: 'latest',
      }),
      event('pull', { mediaType: MANIFEST, repository: 'apps/hello', tag: 'latest' }),
      event('mount', { mediaType: 'application/octet-stream', repository: 'apps/hello', fromRepository: 'apps/other' }),
      event('delete', { repository: 'apps/gone' }),
      event('delete', { mediaType: MANIFEST, repository: 'apps/untagged', tag: 'old' }),
      event('delete', { repository: '../etc' }),
      event('push', { mediaType: MANIFEST, repository: 'UPPER', tag: 'latest' }),
      event('push', { mediaType: MANIFEST, repository: 'apps/odd', tag: 'not a tag' }),
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
    malformed: [
      'target.repository of an event is not the name of a repository',
      'target.repository of an event is not the name of a repository',
      'an event has no target',
      'an event has no target',
    ],
  });
  assert.deepEqual(parse({ events: [] }), { changes: [], ignored: 0, malformed: [] });
});

test('webhooks of Harbor', () => {
  assert.deepEqual(parse(harbor('PUSH_ARTIFACT', 'apps/hello', 'latest', '2.0')).changes, [
    { repository: 'apps/hello', tag: 'latest' },
    { repository: 'apps/hello', tag: '2.0' },
  ]);
  assert.deepEqual(parse(harbor('PUSH_ARTIFACT', 'apps/hello')).changes, [{ repository: 'apps/hello' }]);
  assert.deepEqual(parse(harbor('DELETE_ARTIFACT', 'apps/hello', 'latest')).changes, [{ repository: 'apps/hello' }]);
  assert.deepEqual(parse(harbor('PULL_ARTIFACT', 'apps/hello', 'latest')), { changes: [], ignored: 1, malformed: [] });
  assert.deepEqual(parse(harbor('PUSH_ARTIFACT', '../etc', 'latest')), {
    changes: [],
    ignored: 0,
    malformed: ['event_data.repository.repo_full_name is not the name of a repository'],
  });
});

test('webhooks of Quay', () => {
  const webhook = {
    name: 'hello',
    repository: 'apps/hello',
    namespace: 'apps',
    docker_url: 'quay.example.org/apps/hello',
    homepage: 'https://quay.example.org/repository/apps/hello',
  };
  assert.deepEqual(parse({ ...webhook, updated_tags: ['latest', 'stable'] }).changes, [
    { repository: 'apps/hello', tag: 'latest' },
    { repository: 'apps/hello', tag: 'stable' },
  ]);
  assert.deepEqual(parse({ ...webhook, updated_tags: [] }).changes, [{ repository: 'apps/hello' }]);
  assert.deepEqual(parse(webhook).changes, [{ repository: 'apps/hello' }]);
  assert.deepEqual(parse({ ...webhook, repository: 'Apps/Hello', updated_tags: ['latest'] }), {
    changes: [],
    ignored: 0,
    malformed: ['repository is not the name of a repository'],
  });
});

test('other bodies are malformed', () => {
  for (const body of [
    '',
    'null',
    '[]',
    '1',
    '"events"',
    '{}',
    '{',
    '{"events":{}}',
    '{"events":"push"}',
    '{"event_data":[]}',
    '{"repository":"apps/hello"}',
    '\u0000',
  ]) {
    const { malformed, ...understood } = parseEvents(body);
    assert.deepEqual([understood, malformed.length], [{ changes: [], ignored: 0 }, 1], body);
    assert.match(malformed[0] ?? '', /^it is not JSON$|^it is not a JSON object$|^it has neither events /);
  }
});

test('any input yields only valid names, and never throws', () => {
  const name = oneof(
    constantFrom('apps/hello', 'latest', '', '..', 'a'.repeat(300), 'https://evil.example.org/v2/'),
    string(),
    anything(),
  );
  const target = record(
    { repository: name, tag: name, mediaType: oneof(constantFrom(MANIFEST, INDEX), anything()), digest: name },
    { requiredKeys: [] },
  );
  const envelope = oneof(
    record({
      events: oneof(
        anything(),
        record({ 0: anything() }),
        target.map((its) => [
          { action: 'push', target: its },
          { action: 'delete', target: its },
        ]),
      ),
    }),
    record({
      type: oneof(constantFrom('PUSH_ARTIFACT', 'DELETE_ARTIFACT'), anything()),
      event_data: oneof(
        anything(),
        record({
          repository: oneof(anything(), record({ repo_full_name: name })),
          resources: oneof(
            anything(),
            target.map((its) => [its, null, 3]),
          ),
        }),
      ),
    }),
    record({
      repository: name,
      docker_url: name,
      updated_tags: oneof(
        anything(),
        name.map((its) => [its, 'latest']),
      ),
    }),
  );
  const body = oneof(
    string(),
    json(),
    oneof(envelope, anything()).map(
      (value) =>
        JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member)) ?? '',
    ),
  );
  assertProperty(
    property(body, (text) => {
      const { changes, ignored, malformed } = parseEvents(text);
      for (const { repository, tag, ...more } of changes) {
        assert.ok(isRepositoryName(repository));
        assert.ok(tag === undefined || isTag(tag));
        assert.deepEqual(more, {});
      }
      assert.ok(Number.isInteger(ignored) && malformed.every((fault) => fault.length < 200));
    }),
    { numRuns: 2000 },
  );
});
