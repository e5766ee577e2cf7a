/** Tests of exported files with the real Flatpak and Chromium, from a host of plain files. */
import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { digestOf } from '../../src/registry/digest.ts';
import { makeSample, pushSamples, SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startChromium } from '../peers/chromium.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { startFlatpakClient } from '../peers/flatpak.ts';
import { needs } from '../peers/installed.ts';
import { copyImage } from '../peers/skopeo.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startExportedSite } from './exported-site.ts';
import { addRemote, installHello, runHello, searchHello, update, updateAppstream } from './sample-user.ts';

const PROGRAMS = ['docker-registry', 'skopeo', 'flatpak', 'dbus-daemon', 'gcc', 'rsvg-convert'] as const;
/** A PNG of one pixel. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M9QDwADgQF/mZ3x4wAAAABJRU5ErkJggg==',
  'base64',
);
const LOADED_ICONS = `[...document.querySelectorAll('.browse .card img')].filter(({ naturalWidth }) => naturalWidth > 0).length`;
const QUIET = ['--assumeyes', '--noninteractive'];

for (const [where, path] of [
  ['at the root', ''],
  ['below a path', '/repo'],
] as const) {
  test(
    `a real flatpak lists, installs, updates, gets icons and searches ${where} of a file host`,
    needs(...PROGRAMS),
    async () => {
      await using registry = await startDockerRegistry();
      await pushSamples(registry.host);
      await using site = await startExportedSite(
        { indexes: { apps: { registry: registry.url, extract_icons: true } } },
        { path },
      );
      await site.export();
      const { url } = site.host;
      await using user = await startFlatpakClient();
      await addRemote(user, url);
      await installHello(user);
      await runHello(user, '1.0');
      await updateAppstream(user, url);
      await searchHello(user, '1.0');

      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-sample-'));
      const layout = await makeSample('apps/hello', '2.0', folder.path);
      await copyImage({ from: `oci:${layout}`, to: `${registry.host}/apps/hello:latest` });
      await site.export();
      await update(user);
      await runHello(user, '2.0');
      await updateAppstream(user, url);
      await searchHello(user, '2.0');
    },
  );

  test(`a real flatpak needs no registry where the images are exported too, ${where}`, needs(...PROGRAMS), async () => {
    await using registry = await startDockerRegistry();
    await pushSamples(registry.host);
    await using site = await startExportedSite({ indexes: { apps: { registry: registry.url } } }, { path });
    await site.export('--images');
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-sample-'));
    const layout = await makeSample('apps/hello', '2.0', folder.path);
    await using user = await startFlatpakClient();
    await user.flatpak('install', '--user', ...QUIET, `${site.host.url}/apps/org.example.Hello.flatpakref`);
    await runHello(user, '1.0');

    await copyImage({ from: `oci:${layout}`, to: `${registry.host}/apps/hello:latest` });
    await site.export('--images');
    await registry[Symbol.asyncDispose]();
    await update(user);
    await runHello(user, '2.0');
    await user.flatpak('remote-add', '--user', 'again', `${site.host.url}/apps.flatpakrepo`);
    await user.flatpak('install', '--user', ...QUIET, 'again', 'org.example.Clock');
  });
}

test(
  'a real flatpak installs images of a folder from a host that knows none of their types',
  needs('flatpak', 'dbus-daemon'),
  async () => {
    await using site = await startExportedSite(
      { indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } } },
      { readsHeaders: false },
    );
    await site.export('--images');
    await using user = await startFlatpakClient();
    await addRemote(user, site.host.url);
    await installHello(user);
    await runHello(user, '1.0');
  },
);

test(
  'a real flatpak installs images whose manifests do not say their type where the host sends what _headers says',
  needs('flatpak', 'dbus-daemon'),
  async () => {
    await using images = await untypedSamples();
    const indexes = { apps: { registry: `oci:${images.path}` } };
    for (const readsHeaders of [true, false]) {
      await using site = await startExportedSite({ indexes }, { readsHeaders });
      const { stderr } = await site.export('--images');
      assert.match(
        stderr,
        /the host must send the manifests of apps\/hello, runtime\/platform with the Content-Type application\/vnd\.oci\.image\.manifest\.v1\+json/,
      );
      await using user = await startFlatpakClient();
      await user.flatpak('remote-add', '--user', 'apps', `oci+${site.host.url}`);
      const installed = user.flatpak('install', '--user', ...QUIET, 'apps', 'org.example.Hello');
      if (readsHeaders) await installed;
      else await assert.rejects(installed, /Unsupported media type application\/octet-stream/);
    }
  },
);

suite('the exported page', needs('chromium'), () => {
  test('it finds apps, and shows them with working links, below a path too', async () => {
    await using registry = await LabelRegistry.start();
    registry.push('apps/paint', {
      labels: flatpakLabels({ id: 'org.example.Paint', name: 'Painter', summary: 'Paints', icon: PIXEL }),
    });
    registry.push('apps/calc', { labels: flatpakLabels({ id: 'org.example.Calc', name: 'Calculator', icon: PIXEL }) });
    registry.push('apps/beta', { tag: 'beta', labels: flatpakLabels({ id: 'org.example.Beta', name: 'Beta' }) });
    await using site = await startExportedSite(
      {
        indexes: {
          apps: { registry: registry.url, extract_icons: true },
          inline: { registry: registry.url, title: 'With icons inside' },
        },
      },
      { path: '/repo' },
    );
    await site.export();
    await using browser = await startChromium();
    const page = await browser.context.newPage();
    const problems = problemsOf(page);
    await page.goto(`${site.host.url}/`);
    await eventually(async () => assert.equal(await page.evaluate(LOADED_ICONS), 4));
    assert.equal(await page.getByRole('link', { name: 'Status' }).count(), 0);
    assert.match(
      (await page.locator('meta[http-equiv=Content-Security-Policy]').getAttribute('content')) ?? '',
      /^default-src 'none';script-src 'self';style-src 'self';img-src 'self' data:;connect-src 'self';/,
    );
    await page.getByRole('searchbox').fill('paint');
    await page.getByText('2 apps', { exact: true }).waitFor();
    assert.deepEqual(await page.locator('.results .card a').allTextContents(), ['Painter', 'Painter']);
    await page.locator('.results .card a').last().click();
    await page.getByRole('heading', { name: 'Install', exact: true }).waitFor();
    assert.equal(page.url(), `${site.host.url}/inline/org.example.Paint.html`);
    assert.equal(
      await page.locator('.command code').first().textContent(),
      `flatpak install --user ${site.host.url}/inline/org.example.Paint.flatpakref`,
    );
    for (const link of await page.locator('.back a, .actions a, .install a, .images a').all())
      await get(new URL((await link.getAttribute('href')) ?? '', page.url()).href);
    await page.reload();
    await page.getByRole('heading', { name: 'Painter' }).waitFor();
    assert.deepEqual(problems, []);
  });

  test('its lists have links that work without JavaScript', async () => {
    await using registry = await LabelRegistry.start();
    for (let number = 1; number <= 201; number++)
      registry.push(`apps/${number}`, { labels: flatpakLabels({ id: `org.example.App${number}` }) });
    await using site = await startExportedSite({
      indexes: {
        none: { registry: registry.url, repository_include: ['none'] },
        apps: { registry: registry.url, title: 'Our apps' },
      },
    });
    await site.export();
    await using browser = await startChromium({ javaScriptEnabled: false });
    const page = await browser.context.newPage();
    const problems = problemsOf(page);
    const open = async (name: string): Promise<void> => {
      const link = page
        .locator('main')
        .getByRole('link')
        .filter({ hasText: new RegExp(`^${name}$`) });
      await page.goto(new URL((await link.getAttribute('href')) ?? '', page.url()).href);
    };
    await page.goto(`${site.host.url}/`);
    await open('All 201 apps of Our apps');
    const shown: string[] = [];
    for (const last of [false, false, false, true]) {
      shown.push(...(await page.locator('.card a:visible').allInnerTexts()));
      assert.equal(await page.getByRole('link', { name: 'Next page' }).count(), last ? 0 : 1);
      if (!last) await open('Next');
    }
    assert.equal(new Set(shown).size, 201);
    await open('org.example.App99');
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'org.example.App99');
    assert.deepEqual(problems, []);
  });
});

/** Copies two samples; their manifests lose their `mediaType`, which OCI images need not have. */
async function untypedSamples(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-untyped-'));
  for (const repository of ['apps/hello', 'runtime/platform']) {
    const layout = join(folder.path, repository);
    await cp(join(SAMPLE_IMAGES, repository), layout, { recursive: true });
    const blob = (digest: string): string => join(layout, 'blobs', ...digest.split(':'));
    const index = await readFile(join(layout, 'index.json'), 'utf8');
    const {
      manifests: [named],
    } = JSON.parse(index) as { manifests: [{ digest: string; size: number }] };
    const { mediaType: _mediaType, ...manifest } = JSON.parse(await readFile(blob(named.digest), 'utf8')) as object & {
      mediaType: string;
    };
    const text = JSON.stringify(manifest);
    await writeFile(blob(digestOf(text)), text);
    const untyped = { ...named, digest: digestOf(text), size: text.length };
    await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [untyped] }));
  }
  return folder;
}

/** Collects the errors of a page, and the answers that are errors. */
function problemsOf(page: Page): string[] {
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  page.on(
    'response',
    (response) => void (response.status() >= 400 && problems.push(`${response.status()} ${response.url()}`)),
  );
  return problems;
}
