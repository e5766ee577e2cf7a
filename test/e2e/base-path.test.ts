import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { request } from 'undici';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startChromium } from '../peers/chromium.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startNginx } from '../peers/nginx.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { get, indexOf, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';

/** How nginx hands requests below `/flatpak` over; all else it refuses. */
const PROXIES = {
  'that strips the path': (port: number) => `location /flatpak/ { proxy_pass http://127.0.0.1:${port}/; }`,
  'that keeps the path': (port: number) => `location /flatpak { proxy_pass http://127.0.0.1:${port}; }`,
};

for (const [name, location] of Object.entries(PROXIES)) {
  suite(`below a path, behind a proxy ${name}`, needs('nginx'), () => {
    const resources = new AsyncDisposableStack();
    let server: Regindexer;
    before(async () => {
      const port = await freePort();
      const nginx = resources.use(await startNginx({ server: `${location(port)}\nlocation / { return 418; }` }));
      server = resources.use(
        await startRegindexer({
          config: {
            indexes: {
              apps: { registry: `oci:${SAMPLE_IMAGES}`, extract_icons: true },
              inline: { registry: `oci:${SAMPLE_IMAGES}` },
            },
            server: { port, base_url: `${nginx.url}/flatpak/`, admin_token: TOKEN },
          },
        }),
      );
      assert.equal(server.url, `${nginx.url}/flatpak`);
      await settled(server.url);
    });
    after(() => resources.disposeAsync());

    test('all that an answer leads to is below the path', async () => {
      const answer = await get(`${server.url}/index/static`);
      const { Registry, Results } = JSON.parse(answer.body.toString()) as {
        Registry: string;
        Results: { Images: { Labels: Record<string, string> }[] }[];
      };
      assert.equal(new URL(Registry, `${server.url}/index/static`).href, `${server.url}/`);
      const icon = Results[0]?.Images[0]?.Labels['org.freedesktop.appstream.icon-128'] ?? '';
      await get(new URL(icon, `${server.url}/index/static`).href);
      const { file } =
        (JSON.parse((await get(`${server.url}/status`)).body.toString()) as { indexes: { file: string }[] })
          .indexes[0] ?? {};
      await get(new URL(file ?? '', server.url).href);
      const { servers } = JSON.parse((await get(`${server.url}/openapi.json`)).body.toString()) as {
        servers: { url: string }[];
      };
      assert.deepEqual(servers, [{ url: '/flatpak' }]);

      const next = await follow(`${server.url}/v2/_catalog?n=1`, 'link');
      assert.deepEqual(JSON.parse((await get(next)).body.toString()), { repositories: ['apps/hello'] });
      const authorization = `Bearer ${TOKEN}`;
      await get(await follow(`${server.url}/reindex`, 'location', { method: 'POST', headers: { authorization } }), {
        authorization,
      });
      await settled(server.url);
    });

    test(
      'a real flatpak installs from the .flatpakref and from the remote',
      needs('flatpak', 'dbus-daemon'),
      async () => {
        await using user = await startFlatpakClient();
        const quiet = ['--user', '--assumeyes', '--noninteractive'];
        await user.flatpak('install', ...quiet, `${server.url}/apps/org.example.Hello.flatpakref`);
        assert.equal(await user.flatpak('run', '--user', 'org.example.Hello'), 'Hello from org.example.Hello 1.0\n');
        await user.flatpak('remote-add', '--user', 'samples', `${server.url}/inline.flatpakrepo`);
        assert.match(
          await user.flatpak('remotes', '--user', '--columns=name,url'),
          new RegExp(`^samples\toci\\+${server.url}/inline$`, 'm'),
        );
        await user.flatpak('install', ...quiet, 'samples', 'org.example.Clock');
        await user.flatpak('remote-add', '--user', 'default', `oci+${server.url}`);
        await user.flatpak('update', '--user', '--appstream', 'default');
        assert.ok(existsSync(join(user.installation, 'appstream/default/x86_64/icons/128x128/org.example.Hello.png')));
      },
    );

    test('a browser finds its way', needs('chromium'), async () => {
      await using browser = await startChromium();
      const page = await browser.context.newPage();
      const problems: string[] = [];
      page.on('pageerror', ({ message }) => problems.push(message));
      page.on(
        'response',
        (response) => void (response.status() >= 400 && problems.push(`${response.status()} ${response.url()}`)),
      );
      await page.goto(server.url);
      const card = page.locator('.browse .card', { hasText: 'Hello' }).first();
      await card.waitFor();
      await eventually(async () =>
        assert.equal(
          await page.evaluate(
            `[...document.querySelectorAll('.browse .card img')].filter(({ naturalWidth }) => naturalWidth > 0).length`,
          ),
          4,
        ),
      );
      await card.getByRole('link').click();
      await page.getByRole('heading', { name: 'Install', exact: true }).waitFor();
      assert.equal(page.url(), `${server.url}/apps/org.example.Hello`);
      assert.equal(
        await page.locator('.command code').first().textContent(),
        `flatpak install --user ${server.url}/apps/org.example.Hello.flatpakref`,
      );
      for (const link of await page.locator('.back a, .actions a, .install a, .images a').all())
        await get(new URL((await link.getAttribute('href')) ?? '', page.url()).href);
      await page.reload();
      await page.getByRole('heading', { name: 'Install', exact: true }).waitFor();
      await page.getByRole('link', { name: 'Status' }).click();
      await page.getByText('Live').waitFor();
      await page.getByRole('link', { name: 'Apps', exact: true }).click();
      await card.waitFor();
      assert.equal(page.url(), `${server.url}/`);
      assert.deepEqual(problems, []);
    });
  });
}

test('the server itself answers with the path and without it', async () => {
  const port = await freePort();
  await using _ = await startRegindexer({
    config: {
      indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } },
      server: { port, base_url: 'https://example.org/our%20apps' },
    },
  });
  const own = `http://127.0.0.1:${port}`;
  await settled(own);
  const expected = await indexOf(own);
  assert.deepEqual(await indexOf(`${own}/our%20apps`), expected);
  const index = await get(`${own}/index/static`);
  for (const spelled of [
    '/our%20apps/index/static',
    '/our%20apps/index/static',
    '//our%20apps//index/static',
    '/our%20apps/apps/index/static',
  ])
    assert.deepEqual(await get(own + spelled), index, spelled);
  const fresh = await request(`${own}/our%20apps/index/static`, { headers: { 'if-none-match': index.etag } });
  await fresh.body.dump();
  assert.equal(fresh.statusCode, 304);
  const page = await get(`${own}/`);
  for (const path of ['/our%20apps', '/our%20apps/', '/our%20apps?other=x'])
    assert.deepEqual(await get(own + path), page, path);
  for (const path of ['/our%20appsindex/static', '/other/index/static', '/our%20apps/our%20apps/healthz']) {
    const { statusCode, body } = await request(own + path);
    assert.equal(statusCode, 404, path);
    assert.match(await body.text(), /There is no index|Nothing is served at /);
  }
});

/** What a header of an answer leads to. */
async function follow(
  url: string,
  header: string,
  options: { method?: 'POST'; headers?: Record<string, string> } = {},
): Promise<string> {
  const { headers, body } = await request(url, options);
  await body.dump();
  const [reference = ''] = String(headers[header])
    .replace(/^<(.*)>.*$/, '$1')
    .split('\n');
  return new URL(reference, url).href;
}
