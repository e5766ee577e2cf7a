import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { parseAtomFeed } from 'feedsmith';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { TestState } from '../indexing/test-state.ts';
import { TestServer } from './test-server.ts';

const BASE = 'https://apps.example.org/flatpaks';
const PRINTABLE = '</title><script>alert(1)</script>&"\']]>';
const HOSTILE = `${PRINTABLE}\u0000\u0008`;

async function serve(t: TestContext, baseUrl: string | undefined) {
  const state = await TestState.open(t);
  const push = (id: string, name: string, timestamp: number): void =>
    void state.registry.pushImage(id.toLowerCase(), 'latest', {
      labels: flatpakLabels({ id: `org.example.${id}`, name, summary: `${name} <b>`, timestamp }),
    });
  push('Old', 'Old', 1_600_000_000);
  push('Hostile', PRINTABLE, 1_700_000_000);
  state.registry.pushImage('runtime', 'latest', {
    labels: flatpakLabels({ id: 'org.example.Platform', type: 'runtime', timestamp: 1_800_000_000 }),
  });
  const description = {
    baseUrl,
    indexes: [{ name: 'apps', title: `Apps ${HOSTILE}`, remoteName: 'apps', signatures: false }],
  };
  const server = await TestServer.create(t, state, { description });
  await server.rebuild();
  return { state, server, push };
}

test('a feed has an entry for the last update of each app, the newest first', async (t) => {
  const { server, push } = await serve(t, BASE);
  const feed = async () => {
    const answer = await server.fastify.inject('/apps/updates.atom');
    assert.equal(answer.headers['content-type'], 'application/atom+xml; charset=utf-8');
    assert.equal(XMLValidator.validate(answer.payload), true);
    assert.doesNotMatch(answer.payload, /<script/);
    return parseAtomFeed(answer.payload);
  };
  const first = await feed();
  assert.equal(first.id, `${BASE}/apps/updates.atom`);
  assert.equal(first.title?.value, `Apps ${PRINTABLE}`);
  assert.equal(first.updated, '2023-11-14T22:13:20Z');
  assert.deepEqual(
    first.links?.map(({ rel, href }) => [rel, href]),
    [
      ['self', `${BASE}/apps/updates.atom`],
      ['alternate', `${BASE}/`],
    ],
  );
  assert.deepEqual(
    first.entries?.map(({ id, updated, links }) => [id, updated, links?.[0]?.href]),
    [
      [
        `${BASE}/apps/org.example.Hostile#2023-11-14T22:13:20Z`,
        '2023-11-14T22:13:20Z',
        `${BASE}/apps/org.example.Hostile`,
      ],
      [`${BASE}/apps/org.example.Old#2020-09-13T12:26:40Z`, '2020-09-13T12:26:40Z', `${BASE}/apps/org.example.Old`],
    ],
  );
  assert.equal(first.entries?.[1]?.summary?.value, 'Old <b>');
  push('Old', 'Old and better', 1_500_000_000);
  await server.rebuild();
  const [newest] = (await feed()).entries ?? [];
  assert.equal(newest?.title?.value, 'Old and better');
  assert.notEqual(newest.id, first.entries?.[1]?.id);
});

test('a sitemap has all apps, and robots are led to it', async (t) => {
  const { server } = await serve(t, BASE);
  const sitemap = await server.fastify.inject('/sitemap.xml');
  assert.equal(XMLValidator.validate(sitemap.payload), true);
  assert.deepEqual(new XMLParser().parse(sitemap.payload), {
    '?xml': '',
    urlset: {
      url: [
        { loc: `${BASE}/` },
        { loc: `${BASE}/apps/org.example.Hostile`, lastmod: '2023-11-14T22:13:20Z' },
        { loc: `${BASE}/apps/org.example.Old`, lastmod: '2020-09-13T12:26:40Z' },
      ],
    },
  });
  const robots = await server.fastify.inject('/robots.txt');
  assert.equal(robots.headers['content-type'], 'text/plain; charset=utf-8');
  assert.match(robots.payload, /^User-agent: \*\nDisallow: \/flatpaks\/v2\/\n/);
  const rules = [...robots.payload.matchAll(/^Disallow: (.*)$/gm)].map(([, rule = '']) => rule);
  const isRefused = (path: string): boolean =>
    rules.some((rule) => (rule.endsWith('$') ? `${path}$` === rule : path.startsWith(rule)));
  for (const path of ['/index/static', '/v2/', '/status', '/status/explain', '/metrics'])
    assert.ok(isRefused(`/flatpaks${path}`), path);
  for (const path of ['/index.html', '/status-apps/', '/v2-apps/', '/indexes/all'])
    assert.ok(!isRefused(`/flatpaks${path}`), path);
  assert.ok(robots.payload.endsWith(`\nSitemap: ${BASE}/sitemap.xml\n`));
});

test('they may be cached, without a base URL only by their client', async (t) => {
  for (const [baseUrl, cacheControl] of [
    [BASE, 'public, max-age=60'],
    [undefined, 'private, max-age=60'],
  ] as const) {
    const { server } = await serve(t, baseUrl);
    for (const url of ['/apps/updates.atom', '/sitemap.xml', '/robots.txt']) {
      const { headers, payload } = await server.fastify.inject(url);
      assert.equal(headers['cache-control'], cacheControl);
      assert.equal(payload.includes(baseUrl ?? 'http://localhost:80/'), true, url);
      const again = await server.fastify.inject({ url, headers: { 'if-none-match': String(headers.etag) } });
      assert.deepEqual([again.statusCode, again.payload], [304, '']);
    }
  }
});

test('there is no feed of an unknown index, nor of one that is not built yet', async (t) => {
  const state = await TestState.open(t);
  const server = await TestServer.create(t, state, {
    description: { baseUrl: BASE, indexes: [{ name: 'apps', title: 'Apps', remoteName: 'apps', signatures: false }] },
  });
  assert.equal((await server.fastify.inject('/none/updates.atom')).statusCode, 404);
  assert.equal((await server.fastify.inject('/apps/updates.atom')).statusCode, 503);
  assert.match((await server.fastify.inject('/sitemap.xml')).payload, /<loc>[^<]*\/<\/loc>/);
});
