/** Tests of screenshots: fetched by the server once, checked, and served from here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { request } from 'undici';
import type { AppAnswer } from '../../src/server/routes/api.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { jpegPicture, pngPicture, webpPicture } from '../sources/pictures.ts';
import { get, reindex, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startExportedSite } from './exported-site.ts';
import { startReplicas } from './replicas.ts';

const PNG = pngPicture(1600, 900);
const JPEG = jpegPicture(624, 351);
const WEBP = webpPicture(800, 450);

interface PictureHost extends AsyncDisposable {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
}

async function startPictureHost(): Promise<PictureHost> {
  const asked: string[] = [];
  const files: Readonly<Record<string, Buffer>> = {
    '/one.png': PNG,
    '/one-small.jpg': JPEG,
    '/two.webp': WEBP,
    '/logo.png': pngPicture(64, 64, 'logo'),
    '/svg.png': Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    '/huge.png': Buffer.concat([PNG, Buffer.alloc(5 * 1024 * 1024)]),
    '/pixels.png': pngPicture(30_000, 30_000),
  };
  const server = createServer(({ url = '' }, response) => {
    asked.push(url);
    const file = files[url];
    if (url === '/moved.png') response.writeHead(302, { location: '/two.webp' }).end();
    else if (file === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'text/html' }).end(file);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function screenshot(host: PictureHost, caption: string, ...images: readonly string[]): string {
  const named = images.map((image) => `<image>${host.url}/${image}</image>`);
  return `<screenshot><caption>${caption}</caption><caption xml:lang="de">${caption} (de)</caption>${named.join('')}</screenshot>`;
}

function push(registry: LabelRegistry, screenshots: string, summary = ''): void {
  registry.push('app', {
    labels: flatpakLabels({
      id: 'org.example.App',
      summary,
      appdata: `<screenshots>${screenshots}</screenshots>`,
    }),
  });
}

async function appOf(url: string): Promise<AppAnswer> {
  return JSON.parse((await get(`${url}/api/apps/org.example.App`)).body.toString()) as AppAnswer;
}

/** Waits until the app has so many screenshots; returns the URLs of their images. */
async function shown(url: string, count: number): Promise<readonly string[]> {
  return eventually(async () => {
    const { screenshots } = await appOf(url);
    assert.equal(screenshots.length, count);
    return screenshots.flatMap(({ images }) => images.map(({ src }) => new URL(src, `${url}/apps/index/static`).href));
  });
}

suite('screenshots', () => {
  test('are fetched once, checked, and served from here for as long as something names them', async () => {
    await using host = await startPictureHost();
    await using registry = await LabelRegistry.start();
    const images = `<image type="source" width="1600" height="900">${host.url}/one.png</image><image type="thumbnail" width="624" height="351">${host.url}/one-small.jpg</image>`;
    push(
      registry,
      screenshot(host, 'Bad', 'svg.png') +
        screenshot(host, 'Huge', 'huge.png') +
        screenshot(host, 'Pixels', 'pixels.png') +
        screenshot(host, 'None', 'none.png') +
        screenshot(host, 'Moved', 'moved.png') +
        `<screenshot type="default"><caption>Main</caption>${images}</screenshot>`,
    );
    await using server = await startRegindexer({
      config: {
        clean_files_after: '0s',
        indexes: { apps: { registry: registry.url, icon: `${host.url}/logo.png` } },
        server: { port: 0, admin_token: TOKEN },
      },
    });
    await settled(server.url);
    const [small = '', large = '', moved = ''] = await shown(server.url, 2);
    assert.deepEqual(
      (await appOf(server.url)).screenshots.map(({ caption, images: its }) => [
        caption,
        its.map(({ width, height }) => [width, height]),
      ]),
      [
        [
          'Main',
          [
            [624, 351],
            [1600, 900],
          ],
        ],
        ['Moved', [[800, 450]]],
      ],
    );
    const texts = JSON.parse(
      (await get(`${server.url}/api/apps/org.example.App/translations`)).body.toString(),
    ) as Record<string, { captions: readonly string[] }>;
    assert.deepEqual(texts['de']?.captions, ['Main', 'Moved (de)']);

    for (const [url, bytes, type] of [
      [small, JPEG, 'image/jpeg'],
      [large, PNG, 'image/png'],
      [moved, WEBP, 'image/webp'],
    ] as const) {
      const { headers, body } = await request(url);
      assert.deepEqual(Buffer.from(await body.arrayBuffer()), bytes);
      assert.equal(headers['content-type'], type);
      assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
      assert.equal(headers['x-content-type-options'], 'nosniff');
      const again = await request(url, { headers: { 'if-none-match': String(headers.etag) } });
      await again.body.dump();
      assert.equal(again.statusCode, 304);
    }
    for (const path of [large.replace('.png', '.webp'), large.replace(/[0-9a-f]\.png$/, 'x.png')]) {
      const { statusCode, body } = await request(path);
      await body.dump();
      assert.equal(statusCode, 404, path);
    }
    assert.match(server.log, /4 screenshots of the index apps could not be fetched, and will be asked for again/);
    const page = await request(`${server.url}/`);
    await page.body.dump();
    assert.match(String(page.headers['content-security-policy']), /img-src 'self' data:;/);

    const wanted = ['/one-small.jpg', '/one.png', '/moved.png', '/logo.png'];
    assert.ok(wanted.every((path) => host.asked.includes(path)));
    host.asked.length = 0;
    await server.stop();
    await server.start();
    await settled(server.url);
    await shown(server.url, 2);
    push(registry, screenshot(host, 'Moved', 'moved.png'), 'Better');
    await reindex(server.url);
    await shown(server.url, 1);
    assert.deepEqual(
      host.asked.filter((path) => wanted.includes(path)),
      [],
    );
    await eventually(async () => {
      await reindex(server.url);
      const { statusCode, body } = await request(new URL(new URL(large).pathname, server.url));
      await body.dump();
      assert.equal(statusCode, 404);
    });
    await get(new URL(new URL(moved).pathname, server.url).href);
  });

  test('are not fetched from private addresses where the registry may not lead there', async () => {
    await using host = await startPictureHost();
    await using registry = await LabelRegistry.start();
    push(registry, screenshot(host, 'Main', 'one.png'));
    await using server = await startRegindexer({
      config: {
        indexes: { apps: { registry: registry.url } },
        registries: { [registry.url]: { private_redirects: false } },
        server: { port: 0 },
      },
    });
    await settled(server.url);
    await eventually(async () => assert.match(server.log, /1 screenshot of the index apps could not be fetched/));
    assert.match(server.log, /127\.0\.0\.1 is at the private address 127\.0\.0\.1/);
    assert.deepEqual(host.asked, []);
    assert.deepEqual((await appOf(server.url)).screenshots, []);
  });

  test('are linked to, or left out, if the configuration says so', async () => {
    await using host = await startPictureHost();
    await using registry = await LabelRegistry.start();
    push(registry, screenshot(host, 'Main', 'one.png'));
    for (const screenshots of ['link', 'off']) {
      await using server = await startRegindexer({
        config: { indexes: { apps: { registry: registry.url, screenshots } }, server: { port: 0 } },
      });
      await settled(server.url);
      const told = (await appOf(server.url)).screenshots.flatMap(({ images }) => images.map(({ src }) => src));
      assert.deepEqual(told, screenshots === 'link' ? [`${host.url}/one.png`] : []);
      const page = await request(`${server.url}/`);
      await page.body.dump();
      const policy = String(page.headers['content-security-policy']);
      assert.equal(/img-src [^;]* https: http:;/.test(policy), screenshots === 'link', policy);
    }
    assert.deepEqual(host.asked, []);
  });

  test('are exported', async () => {
    await using host = await startPictureHost();
    await using registry = await LabelRegistry.start();
    push(registry, screenshot(host, 'Main', 'one.png'));
    await using site = await startExportedSite({ indexes: { apps: { registry: registry.url } } });
    await site.export();
    const app = JSON.parse(
      await readFile(join(site.folder, 'api/apps/apps/org.example.App.json'), 'utf8'),
    ) as AppAnswer;
    const { src = '' } = app.screenshots[0]?.images[0] ?? {};
    assert.match(src, /^\.\.\/\.\.\/screenshots\/[0-9a-f]{2}\/[0-9a-f]{62}\.png$/);
    assert.deepEqual(await readFile(join(site.folder, 'apps/index', src)), PNG);
    host.asked.length = 0;
    await site.export();
    assert.deepEqual(host.asked, []);
  });

  test('come from each replica, though one fetches them', needs('postgres', 'nginx'), async () => {
    await using host = await startPictureHost();
    await using registry = await LabelRegistry.start();
    push(registry, screenshot(host, 'Main', 'one.png'));
    await using replicas = await startReplicas({
      count: 2,
      config: () => ({ indexes: { apps: { registry: registry.url } } }),
    });
    for (const { url } of replicas.all) {
      const [picture = ''] = await shown(url, 1);
      assert.deepEqual((await get(picture)).body, PNG);
    }
    assert.deepEqual(host.asked, ['/one.png']);
  });
});
