/** From the ten lines of configuration for GHCR to a Flatpak that is installed and updated. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { request } from 'undici';
import { parse } from 'yaml';
import { makeSample, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { blocks, readPage } from '../markdown.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { OWNER, TOKEN as API_TOKEN } from '../registry/listing/made-up/made-up-api.ts';
import { digestsIn, get, indexOf, reindex, settled, statusOf, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startExportedSite } from './exported-site.ts';
import { packagePublished, playGhcr, webhook, type Answered, type MadeUpGhcr } from './made-up-ghcr.ts';

const EVENTS_TOKEN = 'one-long-events-token';

interface Written {
  readonly indexes: { readonly apps: object };
  readonly registries: { readonly 'https://ghcr.io': { readonly listing: object } };
  readonly server: object;
}

/** The configuration in docs/hosted.md, for what is made up here. */
function configFor({ url, api }: MadeUpGhcr): object {
  const block = blocks('yaml', readPage('docs/hosted.md')).find((text) => text.includes('kind: ghcr'));
  const { indexes, registries, server } = parse(block ?? '') as Written;
  return {
    indexes: { apps: { ...indexes.apps, registry: url } },
    registries: { [url]: { listing: { ...registries['https://ghcr.io'].listing, owner: OWNER, url: api } } },
    // Flatpak would keep the index for a minute.
    server: { ...server, base_url: undefined, port: 0, max_age: 0, admin_token: TOKEN },
  };
}

/** How often each was answered; digests are left out. */
function counts(answers: readonly string[]): Readonly<Record<string, number>> {
  const short = answers.map((answer) => answer.replace(/sha256:\w+/, 'sha256'));
  return Object.fromEntries(
    [...new Set(short)].map((answer) => [answer, short.filter((other) => other === answer).length]),
  );
}

function sizes({ registry, api, storage }: Answered): number {
  return registry.length + api.length + storage.length;
}

test(
  'Flatpaks on a made-up GHCR are installed by ten lines of configuration, and updated after a webhook',
  needs('docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert', 'openssl'),
  async (t) => {
    const ghcr = await playGhcr(t);
    await ghcr.push('Hello', join(SAMPLE_IMAGES, 'apps/hello'));
    await ghcr.push('tools/clock', join(SAMPLE_IMAGES, 'apps/clock'));
    await ghcr.push('platform', join(SAMPLE_IMAGES, 'runtime/platform'));
    ghcr.limit('Hello');
    await using server = await startRegindexer({
      config: configFor(ghcr),
      env: { GITHUB_TOKEN: API_TOKEN, EVENTS_TOKEN },
    });
    await settled(server.url);
    const shown = async (): Promise<readonly string[]> => (await indexOf(server.url)).Results.map(({ Name }) => Name);

    await t.test('the first scan asks once for each thing, beside challenges and limits', async () => {
      assert.deepEqual(await shown(), ['acme/hello', 'acme/platform', 'acme/tools/clock']);
      const cold = ghcr.answered();
      assert.deepEqual(counts(cold.api), { '403 GET /orgs/Acme/packages': 1, '200 GET /orgs/Acme/packages': 2 });
      assert.deepEqual(
        counts(cold.registry.filter((answer) => !answer.startsWith('401'))),
        Object.fromEntries([
          ['429 GET /v2/acme/hello/tags/list', 1],
          ...['acme/hello', 'acme/tools/clock', 'acme/platform'].flatMap((repository) => [
            [`200 GET /token repository:${repository}:pull`, 1],
            [`200 GET /v2/${repository}/tags/list`, 1],
            [`200 GET /v2/${repository}/manifests/latest`, 1],
            [`307 GET /v2/${repository}/blobs/sha256`, 1],
          ]),
        ]),
      );
      // Only until the token service is known.
      const challenges = cold.registry.filter((answer) => /^401 GET \/v2\/.*\/tags\/list$/.test(answer)).length;
      assert.ok(challenges >= 1 && challenges <= 3);
      assert.equal(cold.storage.filter((answer) => answer.startsWith('200 GET /v2/acme/')).length, 3);
      const metrics = (await get(`${server.url}/metrics`)).body.toString();
      const counted = [...metrics.matchAll(/^regindexer_registry_requests_total\{.*\} (\d+)$/gm)];
      assert.equal(
        counted.reduce((sum, [, count]) => sum + Number(count), 0),
        sizes(cold),
      );
    });

    await using user = await startFlatpakClient();
    await t.test('a user installs an app with its runtime, straight from the registry', async () => {
      await user.flatpak('remote-add', '--user', 'our-apps', `${server.url}/apps.flatpakrepo`);
      await user.flatpak('install', '--user', '--noninteractive', 'our-apps', 'org.example.Hello');
      assert.equal(await user.flatpak('run', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
      const { registry, storage } = ghcr.answered();
      assert.equal(storage.length, 4);
      assert.ok(registry.includes('200 GET /token repository:acme/hello:pull'));
    });

    const post = async (
      headers: Readonly<Record<string, string>>,
      body: string,
    ): Promise<readonly [status: number, accepted: number | undefined]> => {
      const answer = await request(`${server.url}/events`, { method: 'POST', headers, body });
      const { accepted } = (await answer.body.json()) as { readonly accepted?: number };
      return [answer.statusCode, accepted];
    };

    await t.test('a webhook that is signed brings an update, at the cost of what is new', async () => {
      const digest = await ghcr.push('Hello', await makeSample('apps/hello', '2.0', join(user.folder, 'images')));
      const ping = webhook('ping', { zen: 'Keep it logically awesome.', hook_id: 1 }, EVENTS_TOKEN);
      assert.deepEqual(await post(ping.headers, ping.body), [202, 0]);
      const forged = webhook('package', packagePublished('Hello'), 'another-secret');
      assert.deepEqual(await post(forged.headers, forged.body), [401, undefined]);
      assert.deepEqual(ghcr.answered(), { registry: [], api: [], storage: [] });

      const { headers, body } = webhook('package', packagePublished('Hello'), EVENTS_TOKEN);
      assert.deepEqual(await post(headers, body), [202, 1]);
      await eventually(async () => {
        const { rebuilds } = await settled(server.url);
        assert.ok(rebuilds.some(({ reasons }) => reasons.includes('notification, second look')));
      });
      assert.deepEqual(digestsIn(await indexOf(server.url), 'acme/hello'), [digest]);
      const { registry, api, storage } = ghcr.answered();
      const { '200 GET /v2/acme/hello/manifests/latest': looks = 0, ...others } = counts(registry);
      // Instead of HEAD, and for the second look, unless that is taken together with the first.
      assert.ok(looks === 2 || looks === 1);
      assert.deepEqual(others, {
        '405 HEAD /v2/acme/hello/manifests/latest': 1,
        '200 GET /v2/acme/hello/manifests/sha256': 1,
        '307 GET /v2/acme/hello/blobs/sha256': 1,
      });
      assert.deepEqual([api.length, storage.length], [0, 1]);
      await user.flatpak('update', '--user', '--noninteractive');
      assert.equal(await user.flatpak('run', 'org.example.Hello'), 'Hello from org.example.Hello 2.0\n');
      ghcr.answered();
    });

    await t.test('the job that pushes may notify, too', async () => {
      const [curl = ''] = blocks('sh', readPage('docs/hosted.md'));
      const [, body = ''] = /--json '([^']+)'/.exec(curl) ?? [];
      const headers = { authorization: `Bearer ${EVENTS_TOKEN}`, 'content-type': 'application/json' };
      assert.deepEqual(await post(headers, body.replace('example/app', 'acme/platform')), [202, 1]);
      await eventually(async () => {
        const { rebuilds } = await settled(server.url);
        assert.equal(rebuilds.filter(({ reasons }) => reasons.includes('notification, second look')).length, 2);
      });
      const asked = new Set(ghcr.answered().registry);
      assert.deepEqual(asked, new Set(['200 GET /v2/acme/platform/manifests/latest']));
    });

    await t.test('another scan asks for the list, and for the tags of each repository', async () => {
      await reindex(server.url);
      const { registry, api, storage } = ghcr.answered();
      assert.deepEqual(
        counts(registry),
        Object.fromEntries(
          ['acme/hello', 'acme/tools/clock', 'acme/platform'].flatMap((repository) => [
            [`200 GET /v2/${repository}/tags/list`, 1],
            [`200 GET /v2/${repository}/manifests/latest`, 1],
          ]),
        ),
      );
      assert.deepEqual([api.length, storage.length], [2, 0]);
    });

    await t.test(
      'what is deleted goes once two lists do not name it, though the registry does not say so',
      async () => {
        ghcr.delete('tools/clock');
        await reindex(server.url);
        assert.deepEqual(await shown(), ['acme/hello', 'acme/platform', 'acme/tools/clock']);
        ghcr.answered();
        await reindex(server.url);
        assert.deepEqual(await shown(), ['acme/hello', 'acme/platform']);
        assert.deepEqual(
          ghcr.answered().registry.filter((answer) => answer.includes('tools/clock')),
          ['401 GET /v2/acme/tools/clock/tags/list', '403 GET /token repository:acme/tools/clock:pull'],
        );
        const { rebuilds } = await statusOf(server.url);
        assert.deepEqual(
          rebuilds.filter(({ state }) => state !== 'done'),
          [],
        );
      },
    );
  },
);

test(
  'what is deleted on a made-up GHCR leaves an export with the second list that lacks it, which is no failure',
  needs('docker-registry', 'skopeo', 'openssl'),
  async (t) => {
    const ghcr = await playGhcr(t);
    await ghcr.push('Hello', join(SAMPLE_IMAGES, 'apps/hello'));
    await ghcr.push('tools/clock', join(SAMPLE_IMAGES, 'apps/clock'));
    await using site = await startExportedSite({
      indexes: { apps: { registry: ghcr.url } },
      registries: { [ghcr.url]: { listing: { kind: 'ghcr', owner: OWNER, url: ghcr.api, token: API_TOKEN } } },
    });
    const exported = async (): Promise<readonly string[]> => {
      await site.export();
      const { Results } = JSON.parse(await readFile(join(site.folder, 'index/static'), 'utf8')) as {
        readonly Results: readonly { readonly Name: string }[];
      };
      return Results.map(({ Name }) => Name);
    };
    assert.deepEqual(await exported(), ['acme/hello', 'acme/tools/clock']);
    ghcr.delete('tools/clock');
    assert.deepEqual(await exported(), ['acme/hello', 'acme/tools/clock']);
    assert.deepEqual(await exported(), ['acme/hello']);
    assert.deepEqual(await exported(), ['acme/hello']);
  },
);
