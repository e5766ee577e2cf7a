import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { request } from 'undici';
import { startChromium, type Browser } from '../peers/chromium.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels, xml } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, reindex, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import {
  ATTACK,
  expectedErrors,
  focused,
  names,
  open,
  overflow,
  seriousFindings,
  startVisitedSite,
} from './page-visit.ts';

const MAX_COMPRESSED_BYTES = 90_000;

suite('the page', needs('chromium'), () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let server: Regindexer;
  let browser: Browser;
  before(async () => {
    ({ registry, server, browser } = await startVisitedSite(resources, (url) => ({
      indexes: {
        apps: {
          registry: url,
          extract_icons: true,
          title: 'Test apps',
          comment: 'All that is tested',
          description: 'Three apps, and what they need.',
          homepage: 'https://apps.example.org/about',
        },
      },
      server: { port: 0, admin_token: TOKEN, max_age: 0 },
    })));
  });
  after(() => resources.disposeAsync());

  test('the first page says what the index is, and lists its apps with icon, name, summary and developer', async (t) => {
    const page = await open(t, browser, server.url);
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Test apps');
    assert.equal(await page.locator('.lead').textContent(), 'All that is tested');
    assert.deepEqual(await names(page), ['Calculator', 'Editor', 'Painter']);
    const card = page.locator('.browse .card', { hasText: 'Calculator' });
    assert.equal(await card.locator('.summary').textContent(), 'Adds numbers');
    assert.equal((await card.locator('.by').innerText()).trim(), 'Somebody');
    assert.match((await card.locator('img').getAttribute('src')) ?? '', /\/icons\/[0-9a-f]{2}\/[0-9a-f]{62}\.png$/);
    const editor = page.locator('.browse .card', { hasText: 'Editor' }).locator('.icon');
    assert.equal(await editor.getAttribute('data-letter'), 'E');
    assert.equal(await editor.locator('img').count(), 0);
    assert.equal(
      await page.getByRole('link', { name: 'More at apps.example.org' }).getAttribute('href'),
      'https://apps.example.org/about',
    );
    await page.getByRole('link', { name: '1 runtime' }).click();
    await page.getByRole('heading', { level: 1, name: 'Runtimes 1' }).waitFor();
    assert.deepEqual(await names(page), ['Platform']);
  });

  test('it says how to set the index up', async (t) => {
    const page = await open(t, browser, server.url);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
    await page.getByText('Set up', { exact: true }).click();
    assert.equal(await page.getByRole('link', { name: 'Add Test apps' }).getAttribute('href'), '/apps.flatpakrepo');
    await page.getByRole('button', { name: 'Copy: the command that adds Test apps' }).click();
    await page.getByText('Copied', { exact: true }).waitFor();
    assert.equal(
      await page.evaluate(`navigator.clipboard.readText()`),
      `flatpak remote-add --user --if-not-exists apps ${server.url}/apps.flatpakrepo`,
    );
    await page.locator('h1').click();
    await page.getByRole('link', { name: 'Add Test apps' }).waitFor({ state: 'hidden' });
  });

  test('an app has a page of its own', async (t) => {
    const page = await open(t, browser, server.url);
    await page.getByRole('link', { name: 'Painter' }).click();
    await page.getByRole('heading', { level: 2, name: 'Permissions' }).waitFor();
    assert.equal(page.url(), `${server.url}/apps/org.example.Painter`);
    assert.equal(await page.title(), 'Painter – Test apps');
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Painter');
    assert.deepEqual(await page.locator('.description li').allTextContents(), ['Brushes', 'Colours & more']);
    assert.deepEqual(await page.locator('.description em, .description code').allTextContents(), [
      'anything',
      'pixels',
    ]);
    assert.match(
      (await page.locator('.permissions li.danger').first().textContent()) ?? '',
      /Read and change all files/,
    );
    assert.equal(await page.locator('.release h3').first().textContent(), '1.2 Jan 1, 2025');
    assert.match((await page.locator('.warning').textContent()) ?? '', /Use Editor instead/);
    assert.deepEqual(
      await page.locator('.permissions dl > div', { hasText: 'Network' }).locator('li').allTextContents(),
      ['Use the network'],
    );
    const facts = (await page.locator('.tiles, .facts').allInnerTexts()).join('\n').replaceAll('\u00a0', ' ');
    for (const fact of ['2.1 MB', '1.0 MB', 'Jul 3, 2024', 'Potentially unsafe', 'beta, latest'])
      assert.ok(facts.includes(fact), `${fact} is not in ${facts}`);
    assert.equal(
      await page.getByRole('link', { name: 'org.example.Platform/x86_64/stable' }).getAttribute('href'),
      '/apps/org.example.Platform',
    );
    await page.getByText('Other versions').click();
    assert.match((await page.locator('.digest').first().textContent()) ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.match(await page.locator('.images').innerText(), /graphics\/painter/);
    for (const link of await page.locator('.actions a, .install a, .images a').all())
      await get(new URL((await link.getAttribute('href')) ?? '', page.url()).href);
    assert.equal(
      await page.getByRole('link', { name: 'Install Painter', exact: true }).getAttribute('href'),
      '/apps/org.example.Painter.flatpakref',
    );
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
    await page.getByRole('button', { name: 'Copy: the command that installs Painter' }).click();
    await page.getByText('Copied', { exact: true }).waitFor();
    assert.equal(
      await page.evaluate(`navigator.clipboard.readText()`),
      `flatpak install --user ${server.url}/apps/org.example.Painter.flatpakref`,
    );
  });

  test('what is at its end of life says so in the list, and leads to what replaces it', async (t) => {
    const page = await open(t, browser, server.url);
    const ended = page.locator('.browse .card', { hasText: 'End of life' });
    assert.deepEqual(await ended.locator('a').allTextContents(), ['Painter']);
    await ended.getByRole('link').click();
    await page.locator('.warning').getByRole('link', { name: 'Editor' }).click();
    await page.getByRole('heading', { level: 1, name: 'Editor', exact: true }).waitFor();
    await page.getByText('It asks for no permissions, and stays within its sandbox.').waitFor();
    assert.equal(page.url(), `${server.url}/apps/org.example.Editor`);
  });

  test('what is not there is a 404 with a way back, and JSON for programs', async (t) => {
    for (const path of ['/apps/org.example.Gone', '/apps/nothing', '/apps/all?page=2', '/apps/games?page=0']) {
      const page = await open(t, browser, server.url + path);
      expectedErrors(page).push(/404/);
      await page.getByRole('heading', { level: 1, name: 'Not found' }).waitFor();
      assert.deepEqual(await seriousFindings(page), []);
      await page.getByRole('link', { name: 'See all apps' }).click();
      await page.getByRole('heading', { level: 1, name: 'Test apps' }).waitFor();
      const { statusCode, body } = await request(server.url + path);
      assert.equal(statusCode, 404);
      assert.equal(((await body.json()) as { statusCode: number }).statusCode, 404);
    }
    const { statusCode, headers, body } = await request(`${server.url}/apps`);
    await body.dump();
    assert.deepEqual([statusCode, headers['location']], [308, '/apps/']);
  });

  test('other sites get a title, a description, a picture and structured data of each page', async (t) => {
    const page = await open(t, browser, server.url);
    const head = async (selector: string, attribute = 'content') => page.locator(selector).getAttribute(attribute);
    assert.equal(await page.title(), 'Test apps');
    assert.equal(await head('meta[name=description]'), 'Three apps, and what they need.');
    assert.equal(await head('link[rel=canonical]', 'href'), `${server.url}/`);
    await page.goto(`${server.url}/apps/`);
    assert.equal(await head('link[rel=canonical]', 'href'), `${server.url}/`);
    await page.goto(`${server.url}/apps/org.example.Calculator?from=elsewhere`);
    assert.equal(await head('link[rel=canonical]', 'href'), `${server.url}/apps/org.example.Calculator`);
    assert.equal(await head('meta[property="og:title"]'), 'Calculator');
    assert.equal(await head('meta[property="og:site_name"]'), 'Test apps');
    assert.equal(await head('meta[property="og:description"]'), 'Adds numbers');
    assert.equal(await head('meta[property="og:url"]'), `${server.url}/apps/org.example.Calculator`);
    await get((await head('meta[property="og:image"]')) ?? '');
    const data = JSON.parse((await page.locator('script[type="application/ld+json"]').textContent()) ?? '') as object;
    assert.partialDeepStrictEqual(data, {
      '@context': 'https://schema.org',
      '@type': 'SoftwareApplication',
      name: 'Calculator',
      operatingSystem: 'Linux',
      softwareVersion: '1.2',
      author: { '@type': 'Organization', name: 'Somebody' },
      downloadUrl: `${server.url}/apps/org.example.Calculator.flatpakref`,
    });
    await page.goto(`${server.url}/?view=status`);
    assert.equal(await head('meta[name=robots]'), 'noindex');
  });

  test('several indexes are shown on the first page, each with a page of its own, and searched together', async (t) => {
    await using other = await startRegindexer({
      config: {
        indexes: {
          stable: { registry: registry.url, title: 'Stable', comment: 'What works', tags: ['latest'] },
          beta: { registry: registry.url, title: 'Beta', tags: ['beta'] },
        },
        server: { port: 0 },
      },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    assert.deepEqual(await page.getByRole('heading', { level: 2 }).filter({ visible: true }).allTextContents(), [
      'Stable',
      'Beta',
    ]);
    assert.deepEqual(await names(page), ['Calculator', 'Editor', 'Painter', 'Painter']);
    await page.getByRole('searchbox').fill('painter');
    await page.getByText('2 apps', { exact: true }).waitFor();
    await page.locator('.results .card a').last().click();
    await page.waitForURL(`${other.url}/beta/org.example.Painter`);
    await page.getByRole('link', { name: '← Beta' }).click();
    await page.getByRole('heading', { level: 1, name: 'Beta' }).waitFor();
    assert.deepEqual(await names(page), ['Painter']);
    await page.close();
  });

  test('an index that is not built does not keep the others away', async (t) => {
    await using refusing = await LabelRegistry.start();
    refusing.push('editor', { labels: flatpakLabels({ id: 'org.example.Editor', name: 'Editor' }) });
    refusing.break('editor');
    await using other = await startRegindexer({
      config: {
        indexes: { apps: { registry: registry.url }, broken: { registry: refusing.url, title: 'Broken' } },
        server: { port: 0 },
      },
    });
    await eventually(async () => assert.match((await get(`${other.url}/`)).body.toString(), /Calculator/));
    const page = await open(t, browser, other.url);
    expectedErrors(page).push(/503/);
    await page.getByText('This index is being built for the first time.').waitFor();
    await page.getByRole('searchbox').fill('editor');
    await eventually(async () => assert.deepEqual(await names(page), ['Editor']));
    await page.close();
  });

  test('an index that is not built says so until it is', async (t) => {
    await using refusing = await LabelRegistry.start();
    refusing.push('editor', { labels: flatpakLabels({ id: 'org.example.Editor', name: 'Editor' }) });
    refusing.break('editor');
    await using other = await startRegindexer({
      config: {
        indexes: { apps: { registry: refusing.url, title: 'Test apps' } },
        server: { port: 0, admin_token: TOKEN },
      },
    });
    const page = await open(t, browser, other.url, { clock: true });
    expectedErrors(page).push(/503/);
    await page.getByText('This index is being built for the first time.').waitFor();
    await page.getByRole('link', { name: 'See the status' }).click();
    await page.locator('.index', { hasText: 'Last rebuild failed' }).getByText('It could not be built yet.').waitFor();
    await page.goto(`${other.url}/apps/org.example.Editor`);
    await page.getByRole('heading', { level: 1, name: 'Not ready yet' }).waitFor();
    await page.goto(other.url);
    refusing.mend('editor');
    await reindex(other.url);
    await settled(other.url);
    await page.clock.fastForward(10_000);
    await page.locator('.browse .card').getByRole('link', { name: 'Editor' }).waitFor();
    await page.close();
  });

  test('an icon that is not extracted is shown, too, in the list and on the page of its app', async (t) => {
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: registry.url } }, server: { port: 0 } },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    const shown = (within: string): Promise<number> =>
      page.evaluate<number>(`document.querySelector('${within} img').naturalWidth`);
    await eventually(async () => assert.equal(await shown('.card:has(a[href*=Painter])'), 1));
    await page.getByRole('link', { name: 'Painter' }).click();
    await page.getByRole('heading', { level: 2, name: 'Permissions' }).waitFor();
    await eventually(async () => assert.equal(await shown('.hero'), 1));
    await page.close();
  });

  test('an icon that cannot be loaded gives way to the letter', async (t) => {
    const page = await open(t, browser, 'about:blank');
    expectedErrors(page).push(/ERR_FAILED/);
    await page.route('**/icons/**', (route) => route.abort());
    await page.goto(server.url);
    await eventually(async () => assert.equal(await page.locator('.browse .card img').count(), 0));
    assert.equal(
      await page.evaluate(
        `getComputedStyle(document.querySelector('.card:has(a[href*=Painter]) .icon'), '::before').content`,
      ),
      '"P"',
    );
  });

  test('what an app says about itself is shown as text, whatever it is', async (t) => {
    await using hostile = await LabelRegistry.start();
    const labels = flatpakLabels({
      id: 'org.example.Attack',
      name: ATTACK,
      summary: ATTACK,
      developer: ATTACK,
      keywords: [ATTACK],
      description: `<p>${xml(ATTACK)}</p><ul><li>${xml(ATTACK)}</li></ul>`,
      metadata: `[Context]\nfilesystems=${ATTACK};\nsockets=${ATTACK};\n[Session Bus Policy]\n${ATTACK.replaceAll('=', '')}=talk`,
      endOfLife: ATTACK,
      appdata: `<project_license>${xml(ATTACK)}</project_license><url type="homepage">javascript:window.attacked=1</url>`,
      releases: `<release version="${xml(ATTACK)}" date="2025-01-01"><description><p>${xml(ATTACK)}</p></description></release>`,
    });
    hostile.push('attack', {
      labels: { ...labels, 'org.freedesktop.appstream.icon-128': 'javascript:window.attacked=1' },
    });
    await using attacked = await startRegindexer({
      config: {
        indexes: { apps: { registry: hostile.url, title: ATTACK, comment: ATTACK, description: ATTACK } },
        server: { port: 0 },
      },
    });
    await settled(attacked.url);
    const page = await open(t, browser, attacked.url);
    assert.equal(await page.title(), ATTACK);
    assert.equal(await page.locator('.browse .card a').textContent(), ATTACK.slice(0, 200));
    await page.locator('.browse .card a').click();
    await page.locator('.permissions').waitFor();
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), ATTACK.slice(0, 200));
    assert.equal(await page.locator('.description p').last().textContent(), ATTACK);
    const { name, description } = JSON.parse(
      (await page.locator('script[type="application/ld+json"]').textContent()) ?? '',
    ) as { name: string; description: string };
    assert.deepEqual([name, description], [ATTACK.slice(0, 200), ATTACK]);
    await page.goto(`${attacked.url}/?view=status`);
    await page.locator('.index').waitFor();
    await page.goto(`${attacked.url}/?q=attack`);
    await page.locator('.results .card a').waitFor();
    await page.goto(`${attacked.url}/?q=${encodeURIComponent(ATTACK)}&tag=${encodeURIComponent(ATTACK)}`);
    await page.locator('.notice').getByText('No app matches').waitFor();
    assert.equal(await page.evaluate(`'attacked' in window`), false);
    assert.equal(await page.locator('img[src=x], main script, svg[onload]').count(), 0);
    await page.close();

    await using withoutScript = await startChromium({ javaScriptEnabled: false });
    const plain = await open(t, withoutScript, attacked.url);
    assert.match(await plain.locator('main').innerText(), /<script>window\.attacked=1<\/script>/);
    await plain.close();
  });

  test('without JavaScript everything is there but the search', async (t) => {
    await using withoutScript = await startChromium({ javaScriptEnabled: false });
    const page = await open(t, withoutScript, `${server.url}/?q=paint`);
    assert.deepEqual(await names(page), ['Calculator', 'Editor', 'Painter']);
    assert.equal(await page.getByRole('searchbox').count(), 0);
    assert.equal(await page.getByRole('button').count(), 0);
    await page.getByText('Set up', { exact: true }).click();
    assert.equal(await page.getByRole('link', { name: 'Add Test apps' }).getAttribute('href'), '/apps.flatpakrepo');
    await page.getByRole('link', { name: '1 extension' }).click();
    await page.getByRole('link', { name: 'Locale of Platform' }).click();
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Locale of Platform');
    await page.goto(`${server.url}/apps/org.example.Painter`);
    await page.getByText('Read and change all files').waitFor();
    await page.close();
  });

  test('the keyboard alone suffices', async (t) => {
    const page = await open(t, browser, server.url);
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to the content');
    await page.keyboard.press('/');
    await page.keyboard.type('calc');
    await eventually(async () => assert.deepEqual(await names(page), ['Calculator']));
    for (let presses = 0; presses < 10 && (await focused(page)) !== 'Calculator'; presses++)
      await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Calculator' }).waitFor();
    for (let presses = 0; presses < 20 && (await focused(page)) !== 'Install Calculator'; presses++)
      await page.keyboard.press('Tab');
    assert.equal(
      await page.evaluate(`document.activeElement?.getAttribute('href')`),
      '/apps/org.example.Calculator.flatpakref',
    );
  });

  test('the colours are those of the system until others are chosen, which stay', async (t) => {
    const page = await open(t, browser, server.url);
    const dark = async (): Promise<boolean> =>
      Number(/\d+/.exec(await page.evaluate<string>(`getComputedStyle(document.body).backgroundColor`))?.[0]) < 64;
    await page.emulateMedia({ colorScheme: 'light' });
    assert.equal(await dark(), false);
    await page.getByRole('button', { name: 'Colours: as the system' }).click();
    assert.equal(await dark(), true);
    await page.goto(`${server.url}/apps/org.example.Painter`);
    assert.equal(await dark(), true);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.getByRole('button', { name: 'Colours: dark' }).click();
    assert.equal(await dark(), false);
    await page.getByRole('button', { name: 'Colours: light' }).click();
    assert.equal(await dark(), true);
    assert.equal(await page.evaluate(`localStorage.length`), 0);
  });

  test('on a phone, the first card stands within the first screen', async (t) => {
    const page = await open(t, browser, 'about:blank');
    await page.setViewportSize({ width: 360, height: 640 });
    await page.goto(server.url);
    const box = await page.locator('.browse .card').first().boundingBox();
    assert.ok(box !== null && box.y + box.height <= 640, JSON.stringify(box));
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`in ${colorScheme}, wide and at 320 pixels, no view overflows, and axe finds nothing serious`, async (t) => {
      for (const width of [1280, 320]) {
        const page = await open(t, browser, 'about:blank');
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        for (const [path, ready] of [
          ['/', '.browse .card'],
          ['/?q=nothing', '.results .notice p'],
          ['/?q=e', '.results .card'],
          ['/apps/runtimes', '.browse .card'],
          ['/apps/org.example.Painter', '.permissions'],
          ['/?view=status', '.index'],
        ] as const) {
          await page.goto(server.url + path);
          await page.locator(ready).first().waitFor();
          await page.evaluate(`document.querySelectorAll('details').forEach((panel) => (panel.open = true))`);
          assert.deepEqual(await seriousFindings(page), [], `${path} at ${width} pixels`);
          for (const direction of ['ltr', 'rtl']) {
            await page.evaluate(`document.documentElement.dir = '${direction}'`);
            assert.equal(await overflow(page), 0, `${path} at ${width} pixels, ${direction}, is wider than the window`);
            assert.equal(
              await page.evaluate(
                `[...document.querySelectorAll('.card .about > *')].filter((line) => line.getBoundingClientRect().right > line.closest('.card').getBoundingClientRect().right).length`,
              ),
              0,
              `what a card tells at ${width} pixels is wider than the card`,
            );
          }
        }
      }
    });
  }

  test('nothing moves as a page loads', async (t) => {
    const page = await open(t, browser, 'about:blank');
    await page.addInitScript(`
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });
    `);
    for (const path of ['/', '/?q=paint', '/apps/org.example.Painter']) {
      await page.goto(server.url + path, { waitUntil: 'networkidle' });
      assert.ok((await page.evaluate<number>(`window.shift`)) < 0.01, path);
    }
  });

  test('nothing is loaded from elsewhere, and the page may run nothing but its own files', async (t) => {
    const page = await open(t, browser, 'about:blank');
    const origins = new Set<string>();
    page.on('request', (asked) => origins.add(new URL(asked.url()).origin));
    await page.goto(`${server.url}/apps/org.example.Painter`, { waitUntil: 'networkidle' });
    assert.deepEqual([...origins], [server.url]);
    const { headers, body } = await request(`${server.url}/apps/org.example.Painter`);
    await body.dump();
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /^default-src 'none';frame-ancestors 'none';script-src 'self';style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe/);
  });

  test('a page has one weak entity tag in all encodings', async () => {
    const answers = await Promise.all(
      ['identity', 'gzip', 'br'].map(async (encoding) => {
        const { headers, body } = await request(server.url, { headers: { 'accept-encoding': encoding } });
        await body.dump();
        return [headers.etag, headers.vary, headers['content-encoding'] ?? 'identity'];
      }),
    );
    const [[etag] = []] = answers;
    assert.match(String(etag), /^W\/"[\w-]{43}"$/);
    assert.deepEqual(
      answers,
      ['identity', 'gzip', 'br'].map((encoding) => [etag, 'accept-encoding, accept-language', encoding]),
    );
  });

  test('pages and files have entity tags, and are small', async (t) => {
    for (const path of [
      '/',
      '/apps/all',
      '/apps/org.example.Editor',
      '/page/main.js',
      '/api/apps',
      '/api/apps/org.example.Editor',
      '/apps.flatpakrepo',
    ]) {
      const { etag } = await get(server.url + path);
      assert.notEqual(etag, 'undefined', path);
      const again = await request(server.url + path, { headers: { 'if-none-match': etag } });
      await again.body.dump();
      assert.equal(again.statusCode, 304, path);
    }
    const page = await open(t, browser, 'about:blank');
    const bodies: Promise<Buffer>[] = [];
    page.on('response', (response) => {
      if (!response.url().includes('/icons/')) bodies.push(response.body().catch(() => Buffer.alloc(0)));
    });
    await page.goto(server.url, { waitUntil: 'networkidle' });
    await page.getByRole('searchbox').focus();
    await page.waitForLoadState('networkidle');
    const bytes = (await Promise.all(bodies)).reduce((sum, body) => sum + brotliCompressSync(body).length, 0);
    assert.ok(bytes > 5_000 && bytes < MAX_COMPRESSED_BYTES, `${bytes} bytes`);
  });
});
