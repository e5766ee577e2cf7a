/** A registry without a catalog, whose repositories another API lists. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import { request, type Dispatcher } from 'undici';
import { temporaryFolder } from '../config/config-file.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { copyImage, deleteImage } from '../peers/skopeo.ts';
import { playRegistry, sendJson, type Played } from '../registry/http/play-registry.ts';
import { playApi, type Fault } from '../registry/listing/made-up/made-up-apis.ts';
import { OWNER, TOKEN as API_TOKEN } from '../registry/listing/made-up/made-up-api.ts';
import { get, indexOf, reindex, settled, statusOf, TOKEN } from './ask-server.ts';

/** Stands before a registry and refuses its catalog, as hosted registries do. */
async function withoutCatalog(t: TestContext, registry: string): Promise<Played> {
  return playRegistry(t, (received, answer) => {
    if (received.url.startsWith('/v2/_catalog')) {
      sendJson(answer, { errors: [{ code: 'DENIED' }] }, {}, 403);
      return;
    }
    void request(registry + received.url, {
      method: received.method as Dispatcher.HttpMethod,
      headers: { accept: received.headers.accept ?? '*/*' },
    })
      .then(async ({ statusCode, headers, body }) => pipeline(body, answer.writeHead(statusCode, headers)))
      .catch(() => answer.destroy());
  });
}

test(
  'a registry without a catalog is indexed by the list of a made-up GHCR, and loses only what it says is gone',
  needs('docker-registry', 'skopeo'),
  async (t) => {
    await using behind = await startDockerRegistry();
    const push = (name: string, sample: string) =>
      copyImage({ from: `oci:${join(SAMPLE_IMAGES, sample)}`, to: `${behind.host}/${name}:latest` });
    await push('acme/hello', 'apps/hello');
    await push('acme/tools/clock', 'apps/clock');
    await push('acme/platform', 'runtime/platform');
    await push('other/hello', 'apps/hello');
    const registry = await withoutCatalog(t, behind.url);
    const everything = ['Hello', 'tools/clock', 'platform'];
    const names = [...everything];
    let fault: Fault | undefined;
    const api = await playApi(t, 'ghcr', { names }, (...asked) => fault?.(...asked) === true);
    const list = (...now: readonly string[]): void => void names.splice(0, names.length, ...now);

    const token = join(temporaryFolder(t), 'token');
    await writeFile(token, `${API_TOKEN}\n`);
    await using server = await startRegindexer({
      config: {
        indexes: { apps: { registry: registry.url } },
        registries: { [registry.url]: { listing: { kind: 'ghcr', owner: OWNER, url: api.url, token_file: token } } },
        server: { port: 0, admin_token: TOKEN, events_token: TOKEN },
      },
      args: ['--verbose'],
    });
    const shown = async () => (await indexOf(server.url)).Results.map(({ Name }) => Name);
    await settled(server.url);
    assert.deepEqual(await shown(), ['acme/hello', 'acme/platform', 'acme/tools/clock']);
    assert.ok(!registry.seen.some((asked) => asked.includes('_catalog')));

    // A shorter list: the registry is asked after the second one, and still has the repository.
    list('Hello', 'tools/clock');
    for (const _ of [1, 2]) {
      assert.equal((await reindex(server.url)).state, 'done');
      assert.deepEqual(await shown(), ['acme/hello', 'acme/platform', 'acme/tools/clock']);
    }
    assert.equal(registry.seen.filter((asked) => asked === 'GET /v2/acme/platform/tags/list?n=1000').length, 2);

    // A list that fails in the middle does not count.
    list('Hello', ...Array.from({ length: 100 }, (_, number) => `none-${number}`));
    fault = ({ url }, response) => {
      if (!url.includes('page=2')) return false;
      sendJson(response, { message: 'no server is available' }, {}, 403);
      return true;
    };
    for (const _ of [1, 2]) {
      const { statusCode, body } = await request(`${server.url}/reindex?wait=true`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}` },
      });
      assert.equal(statusCode, 502);
      assert.equal(
        ((await body.json()) as { readonly message: string }).message,
        `The rebuild failed and will be retried: registries."${registry.url}".listing: GET ${api.url}/orgs/${OWNER}/packages: answered 403 (no server is available); GitHub does not list these with the token, expected a classic personal access token with the scope read:packages`,
      );
    }
    assert.deepEqual(await shown(), ['acme/hello', 'acme/platform', 'acme/tools/clock']);

    // Gone from the list and from the registry.
    fault = undefined;
    list('Hello', 'tools/clock');
    await deleteImage(`${behind.host}/acme/platform:latest`);
    for (const _ of [1, 2]) assert.equal((await reindex(server.url)).state, 'done');
    assert.deepEqual(await shown(), ['acme/hello', 'acme/tools/clock']);

    // New in the list.
    await push('acme/another', 'apps/hello');
    list('Hello', 'tools/clock', 'another');
    await reindex(server.url);
    assert.deepEqual(await shown(), ['acme/another', 'acme/hello', 'acme/tools/clock']);

    // What is pushed elsewhere does not concern the index.
    const { statusCode, body } = await request(`${server.url}/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ events: [{ action: 'push', target: { repository: 'other/hello', tag: 'latest' } }] }),
    });
    await body.dump();
    assert.equal(statusCode, 202);
    assert.equal((await statusOf(server.url)).events.ignored, 1);

    const metrics = (await get(`${server.url}/metrics`)).body.toString();
    const counted = [
      ...metrics.matchAll(/^regindexer_registry_requests_total\{registry="([^"]+)",status="\d+"\} (\d+)$/gm),
    ];
    assert.deepEqual(new Set(counted.map(([, id]) => id)), new Set([registry.url]));
    assert.equal(
      counted.reduce((sum, [, , count]) => sum + Number(count), 0),
      registry.seen.length + api.seen.length,
    );
    assert.ok(server.log.includes(`GET ${api.url}/orgs/${OWNER}/packages: 200`));
    const status = (await get(`${server.url}/status`)).body.toString();
    for (const said of [server.log, status, metrics]) assert.ok(!said.includes(API_TOKEN));
  },
);
