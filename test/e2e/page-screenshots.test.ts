import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Page } from 'playwright-core';
import { startChromium, type Browser } from '../peers/chromium.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, settled } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { startExportedSite } from './exported-site.ts';
import { startFileHost } from './file-host.ts';
import { open, overflow, seriousFindings } from './page-visit.ts';

const CAPTIONS = ['The main window', '', 'Settings & more'];

suite('pictures on the page', needs('chromium'), () => {
  const resources = new AsyncDisposableStack();
  let indexes: object;
  let server: Regindexer;
  let browser: Browser;
  before(async () => {
    const folder = resources.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-pictures-')));
    const host = resources.use(await startFileHost(folder.path));
    browser = resources.use(await startChromium());
    const tab = await browser.context.newPage();
    const draw = async (name: string, width: number, height: number): Promise<void> => {
      await tab.setViewportSize({ width, height });
      await tab.setContent(name);
      await writeFile(join(folder.path, `${name}.png`), await tab.screenshot());
    };
    await draw('logo', 64, 64);
    const named: string[] = [];
    for (const [place, caption] of CAPTIONS.entries()) {
      for (const width of [1248, 624]) await draw(`${place}-${width}`, width, width / 2);
      named.push(
        `<screenshot><caption>${caption.replace('&', '&amp;')}</caption><image type="source" width="1248" height="624">${host.url}/${place}-1248.png</image><image type="thumbnail" width="624" height="312">${host.url}/${place}-624.png</image></screenshot>`,
      );
    }
    const registry = resources.use(await LabelRegistry.start());
    registry.push('app', {
      labels: flatpakLabels({
        id: 'org.example.App',
        name: 'App',
        appdata: `<screenshots>${named.join('')}</screenshots>`,
      }),
    });
    indexes = { apps: { registry: registry.url, title: 'With pictures', icon: `${host.url}/logo.png` } };
    server = resources.use(await startRegindexer({ config: { indexes, server: { port: 0 } } }));
    await settled(server.url);
    await eventually(async () =>
      assert.equal(
        (JSON.parse((await get(`${server.url}/api/apps/org.example.App`)).body.toString()) as { screenshots: [] })
          .screenshots.length,
        CAPTIONS.length,
      ),
    );
    await tab.close();
  });
  after(() => resources.disposeAsync());

  test('an app shows its screenshots, with captions, from this server alone', async (t) => {
    const page = await open(t, browser, 'about:blank');
    const origins = new Set<string>();
    page.on('request', (asked) => origins.add(new URL(asked.url()).origin));
    await page.goto(`${server.url}/apps/org.example.App`, { waitUntil: 'networkidle' });
    const pictures = page.locator('.screenshots img');
    assert.deepEqual(await pictures.evaluateAll((all) => all.map((image) => image.getAttribute('alt'))), [
      'The main window',
      'App, picture 2',
      'Settings & more',
    ]);
    assert.deepEqual(await page.locator('.screenshots figcaption').allTextContents(), [
      'The main window',
      'Settings & more',
    ]);
    assert.match((await pictures.first().getAttribute('src')) ?? '', /^\/screenshots\/[0-9a-f]{2}\/[0-9a-f]{62}\.png$/);
    await eventually(async () =>
      assert.ok(
        (await pictures.first().evaluate((image) => (image as { naturalWidth?: number }).naturalWidth ?? 0)) > 0,
      ),
    );
    await get(new URL((await page.locator('.screenshots a').first().getAttribute('href')) ?? '', page.url()).href);
    assert.deepEqual([...origins], [server.url]);
    const data = JSON.parse((await page.locator('script[type="application/ld+json"]').textContent()) ?? '') as {
      screenshot: string[];
    };
    assert.equal(data.screenshot.length, 3);
    assert.deepEqual(await seriousFindings(page), []);
  });

  test('they are stepped through with buttons and with the keyboard, in either direction of writing', async (t) => {
    const page = await open(t, browser, 'about:blank');
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${server.url}/apps/org.example.App`, { waitUntil: 'networkidle' });
    const [previous, next] = [
      page.getByRole('button', { name: 'Previous screenshot' }),
      page.getByRole('button', { name: 'Next screenshot' }),
    ];
    assert.equal(await overflow(page), 0);
    assert.equal(await previous.isDisabled(), true);
    await next.click();
    await eventually(async () => assert.equal(await first(page), 1));
    await previous.click();
    await eventually(async () => assert.equal(await first(page), 0));
    const strip = page.locator('.screenshots ul');
    await strip.focus();
    for (const expected of [1, 2]) {
      await page.keyboard.press('ArrowRight');
      await eventually(async () => assert.equal(await first(page), expected));
    }
    await eventually(async () => assert.equal(await next.isDisabled(), true));
    await page.evaluate(
      `document.documentElement.dir = 'rtl'; document.querySelector('.screenshots ul').scrollLeft = 0`,
    );
    await page.keyboard.press('ArrowLeft');
    await eventually(async () => assert.ok((await strip.evaluate((element) => element.scrollLeft)) < 0));
    assert.equal(await overflow(page), 0);
  });

  test('the picture of an index stands on its pages, also among exported files', async (t) => {
    const page = await open(t, browser, server.url);
    const logo = page.locator('.intro .logo');
    assert.match((await logo.getAttribute('src')) ?? '', /^\/screenshots\//);
    assert.match((await page.locator('meta[property="og:image"]').getAttribute('content')) ?? '', /\/screenshots\//);
    await using site = await startExportedSite({ indexes }, { path: '/repo' });
    await site.export();
    const exported = await open(t, browser, `${site.host.url}/`);
    await get(new URL((await exported.locator('.intro .logo').getAttribute('src')) ?? '', exported.url()).href);
    await exported.goto(`${site.host.url}/apps/org.example.App.html`);
    for (const picture of await exported.locator('.screenshots img').all())
      await get(new URL((await picture.getAttribute('src')) ?? '', exported.url()).href);
    await exported.close();
  });
});

/** Which picture is the first in view. */
async function first(page: Page): Promise<number> {
  return page.evaluate(
    `[...document.querySelectorAll('.screenshots li')].findIndex((picture) => picture.getBoundingClientRect().left >= -2)`,
  );
}
