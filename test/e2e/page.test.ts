import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { request } from 'undici';
import { startChromium, type Browser } from '../peers/chromium.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels, xml } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, reindex, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';

const PUBLIC = resolve(import.meta.dirname, '../../public');
const MAX_COMPRESSED_BYTES = 60_000;
/** A PNG of one pixel. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M9QDwADgQF/mZ3x4wAAAABJRU5ErkJggg==',
  'base64',
);
const ATTACK = `"><img src=x onerror="window.attacked=1"><script>window.attacked=1</script><svg onload='window.attacked=1'>javascript:window.attacked=1`;

suite('the page', needs('chromium'), () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let server: Regindexer;
  let browser: Browser;
  before(async () => {
    registry = resources.use(await LabelRegistry.start());
    fill(registry);
    server = resources.use(
      await startRegindexer({
        config: {
          indexes: {
            apps: {
              registry: registry.url,
              extract_icons: true,
              title: 'Test apps',
              comment: 'All that is tested',
              homepage: 'https://apps.example.org/about',
            },
          },
          server: { port: 0, admin_token: TOKEN, max_age: 0 },
        },
      }),
    );
    await settled(server.url);
    browser = resources.use(await startChromium());
  });
  after(() => resources.disposeAsync());

  test('the apps are listed with icon, name, summary and developer', async (t) => {
    const page = await open(t, browser, server.url);
    await page.locator('.card').first().waitFor();
    assert.deepEqual(await names(page), ['Calculator', 'Editor', 'Locale of Platform', 'Painter', 'Platform']);
    assert.equal(await page.locator('#count').textContent(), '3 apps, 1 runtime, 1 extension');
    const card = page.locator('.card', { hasText: 'Calculator' });
    assert.equal(await card.locator('.summary').textContent(), 'Adds numbers');
    assert.match((await card.locator('.by').textContent()) ?? '', /Somebody/);
    assert.match((await card.locator('img').getAttribute('src')) ?? '', /\/icons\/[0-9a-f]{2}\/[0-9a-f]{62}\.png$/);
    assert.equal(await page.locator('.card', { hasText: 'Editor' }).locator('.letter').textContent(), 'E');
    assert.equal(
      await page.getByRole('link', { name: 'More at apps.example.org' }).getAttribute('href'),
      'https://apps.example.org/about',
    );
  });

  test('search looks at name, id, developer, summary and keywords as one types, with and without accents, and the address holds it', async (t) => {
    const page = await open(t, browser, server.url);
    const search = page.getByRole('searchbox');
    for (const [typed, expected] of [
      ['paint', ['Painter']],
      ['numbers', ['Calculator']],
      ['example.Edit', ['Editor']],
      ['arithmetic', ['Calculator']],
      ['text e', ['Editor']],
      ['somebody', ['Calculator']],
      ['café smörgås', ['Editor']],
      ['CAFE smorgas', ['Editor']],
    ] as const) {
      await search.fill(typed);
      await eventually(async () => assert.deepEqual(await names(page), expected));
      assert.equal(new URL(page.url()).searchParams.get('q'), typed);
    }
    await search.fill('nothing of the kind');
    await page.getByText('No app matches “nothing of the kind”.').waitFor();
    assert.equal(await page.locator('#count').textContent(), '0 of 5');
    await page.getByRole('button', { name: 'Clear search and filters' }).click();
    assert.equal((await names(page)).length, 5);
    assert.equal(new URL(page.url()).search, '');
  });

  test('filters narrow the list, and a link restores all of it', async (t) => {
    const page = await open(t, browser, server.url);
    await page.getByLabel('Architecture').selectOption('arm64');
    assert.deepEqual(await names(page), ['Calculator']);
    await page.getByLabel('Architecture').selectOption('');
    await page.getByLabel('Kind').selectOption('runtime');
    assert.equal(await page.locator('#count').textContent(), '1 runtime of 5');
    assert.deepEqual(await names(page), ['Platform']);
    await page.getByLabel('Kind').selectOption('app');
    await page.getByLabel('Tag').selectOption('beta');
    assert.deepEqual(await names(page), ['Painter']);
    await page.getByLabel('Tag').selectOption('');
    await page.getByLabel('Sort').selectOption('newest');
    assert.deepEqual(await names(page), ['Painter', 'Calculator', 'Editor']);

    const link = await open(t, browser, page.url());
    await link.locator('.card').first().waitFor();
    assert.deepEqual(await names(link), ['Painter', 'Calculator', 'Editor']);
    assert.equal(await link.getByLabel('Kind').inputValue(), 'app');
    assert.equal(await link.getByLabel('Sort').inputValue(), 'newest');
  });

  test('an app has a page of its own, and the way back leads to the list as it was', async (t) => {
    const page = await open(t, browser, `${server.url}/?q=paint`);
    await page.getByRole('link', { name: 'Painter' }).click();
    await page.getByRole('heading', { level: 2, name: 'Permissions' }).waitFor();
    assert.equal(await page.title(), 'Painter – Test apps');
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Painter');
    assert.deepEqual(await page.locator('.description li').allTextContents(), ['Brushes', 'Colours & more']);
    assert.match(
      (await page.locator('.permissions li.danger').first().textContent()) ?? '',
      /Read and change all files/,
    );
    assert.deepEqual(await page.locator('.releases h3').allTextContents(), ['1.2Jan 1, 2025']);
    assert.match((await page.locator('.warning').textContent()) ?? '', /Use Editor instead/);
    assert.deepEqual(
      await page
        .locator('.permissions dd')
        .nth(await termPlace(page, 'Network'))
        .locator('li')
        .allTextContents(),
      ['Use the network'],
    );
    const facts = (await page.locator('.facts').innerText()).replaceAll('\u00a0', ' ');
    for (const fact of ['2.1 MB', '1.0 MB', 'org.example.Platform/x86_64/stable', 'beta, latest'])
      assert.ok(facts.includes(fact), `${fact} is not in ${facts}`);
    assert.match((await page.locator('.digest').first().textContent()) ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.match(await page.locator('.images').innerText(), /graphics\/painter/);

    assert.equal(
      await page.getByRole('link', { name: 'Install Painter', exact: true }).getAttribute('href'),
      '/apps/org.example.Painter.flatpakref',
    );
    await get(`${server.url}/apps/org.example.Painter.flatpakref`);
    await page.goBack();
    await page.getByRole('searchbox').waitFor();
    assert.equal(await page.getByRole('searchbox').inputValue(), 'paint');
    assert.deepEqual(await names(page), ['Painter']);
  });

  test('what is at its end of life says so in the list, and leads to what replaces it', async (t) => {
    const page = await open(t, browser, server.url);
    await page.locator('.card').first().waitFor();
    assert.deepEqual(await page.locator('.card', { hasText: 'End of life' }).locator('a').allTextContents(), [
      'Painter',
    ]);
    await page.getByRole('link', { name: 'Painter' }).click();
    await page.locator('.warning').getByRole('link', { name: 'Editor' }).click();
    await page.getByRole('heading', { level: 1, name: 'Editor', exact: true }).waitFor();
    assert.equal(new URL(page.url()).searchParams.get('app'), 'org.example.Editor');
  });

  test('a card that is clicked while the server is away says so, and its app is shown when the server is back', async (t) => {
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: registry.url } }, server: { port: await freePort() } },
    });
    await settled(other.url);
    for (const link of ['Painter', 'Status']) {
      const page = await open(t, browser, other.url);
      expectedErrors(page).push(/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/);
      await page.locator('.card').first().waitFor();
      await other.stop();
      await page.getByRole('link', { name: link }).click();
      await page.getByRole('heading', { level: 1, name: 'The server does not answer' }).waitFor();
      assert.equal(await focused(page), 'The server does not answer');
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByText('The server still does not answer.').waitFor();
      await other.start();
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('heading', { level: 1, name: link, exact: true }).waitFor();
      await page.goBack();
      await page.locator('.card').first().waitFor();
      await page.close();
    }
  });

  test('where the registry refuses, the page says what is wrong until it does no more', async (t) => {
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
    await page
      .locator('.notice')
      .getByText(/“Test apps” could not be built: .*403/)
      .waitFor();
    await page.getByRole('link', { name: 'See the status' }).click();
    await page.locator('.index', { hasText: 'Last rebuild failed' }).getByText('It could not be built yet.').waitFor();
    await page.goBack();
    refusing.mend('editor');
    await reindex(other.url);
    await page.clock.fastForward(10_000);
    await page.locator('.card').getByRole('link', { name: 'Editor' }).waitFor();
    await page.close();
  });

  test('a link leads straight to an app, also to one that is not there', async (t) => {
    const page = await open(t, browser, `${server.url}/?app=org.example.Editor&index=apps`);
    await page.getByRole('heading', { level: 1, name: 'Editor', exact: true }).waitFor();
    await page.getByText('None: the app stays within its sandbox.').waitFor();
    await page.goto(`${server.url}/?app=org.example.Gone`);
    await page.getByText('There is no such app in the index “apps”.').waitFor();
    expectedErrors(page).push(/404/);
  });

  test('commands are copied', async (t) => {
    const page = await open(t, browser, `${server.url}/?app=org.example.Editor`);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
    await page.getByRole('button', { name: 'Copy: the command that installs Editor' }).click();
    await page.getByText('Copied', { exact: true }).waitFor();
    assert.equal(
      await page.evaluate(`navigator.clipboard.readText()`),
      `flatpak install --user ${server.url}/apps/org.example.Editor.flatpakref`,
    );
    await page.getByRole('button', { name: 'Copy: the command that adds Test apps' }).click();
    assert.equal(
      await page.evaluate(`navigator.clipboard.readText()`),
      `flatpak remote-add --user --if-not-exists apps ${server.url}/apps.flatpakrepo`,
    );
  });

  test('a rebuild is asked for with the token, shown while it runs, and told of when it is done', async (t) => {
    const page = await open(t, browser, `${server.url}/?view=status`);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByLabel('Admin token').fill('not the token');
    await page.getByRole('button', { name: 'Use token' }).click();
    await page.getByRole('button', { name: 'Rebuild everything' }).click();
    await page.getByText('The token is wrong.').waitFor();
    expectedErrors(page).push(/401/);

    const release = registry.hold();
    registry.push('new', { labels: flatpakLabels({ id: 'org.example.New', name: 'New' }) });
    registry.push('editor', {
      labels: flatpakLabels({
        id: 'org.example.Editor',
        name: 'Editor',
        summary: 'Edits text, better',
        keywords: ['text'],
        timestamp: 1_700_000_000,
      }),
    });
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Use token' }).click();
    await page.getByRole('button', { name: 'Rebuild everything' }).click();
    await page.getByRole('progressbar').waitFor();
    await page.getByText(/0 of 6 repositories read/).waitFor();
    release();
    await page.getByRole('progressbar').waitFor({ state: 'detached' });
    const changes = page.locator('.changes li').first();
    await changes.getByText('Added (1)').waitFor();
    assert.match(await changes.innerText(), /Added \(1\)\s+org\.example\.New\s+Updated \(1\)\s+org\.example\.Editor/);
    assert.match(
      (await page.locator('.index .chart').getAttribute('aria-label')) ?? '',
      /^The last 2 rebuilds: 2 changed something, 0 failed/,
    );

    assert.equal(await page.evaluate(`sessionStorage.length`), 1);
    assert.equal(await page.evaluate(`localStorage.length`), 0);
    const other = await page.context().newPage();
    await other.goto(`${server.url}/?view=status`);
    await other.getByLabel('Admin token').waitFor();

    registry.delete('new');
    await page.getByRole('button', { name: 'Rebuild everything' }).click();
    await page.locator('.changes li').first().getByText('Removed (1)').waitFor();
  });

  test('the status says what could not be read, and why', async (t) => {
    await using broken = await LabelRegistry.start();
    fill(broken);
    broken.break('editor');
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: broken.url } }, server: { port: 0 } },
    });
    await get(`${other.url}/healthz`);
    const page = await open(t, browser, `${other.url}/?view=status`);
    // An index is not made before all that it takes could be read once.
    expectedErrors(page).push(/503/);
    await page.locator('.failures').waitFor();
    assert.match(await page.locator('.failures').innerText(), /editor .*(?:403|DENIED|not for you)/);
    await page.getByText('Last rebuild failed').waitFor();
    await page.close();
  });

  test('an icon that is not extracted is shown, too, in the list and on the page of its app', async (t) => {
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: registry.url } }, server: { port: 0 } },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    const card = page.locator('.card', { hasText: 'Painter' });
    await card.locator('img').waitFor();
    const shown = (within: string): Promise<number> =>
      page.evaluate<number>(`document.querySelector('${within} img').naturalWidth`);
    await eventually(async () => assert.equal(await shown('.card:has(a[href*=Painter])'), 1));
    await card.getByRole('link').click();
    await page.getByRole('heading', { level: 2, name: 'Permissions' }).waitFor();
    await eventually(async () => assert.equal(await shown('.hero'), 1));
    assert.deepEqual(await page.locator('.description em, .description code').allTextContents(), [
      'anything',
      'pixels',
    ]);
    await page.close();
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
    });
    labels['org.freedesktop.appstream.appdata'] = (labels['org.freedesktop.appstream.appdata'] ?? '')
      .replace('version="1.2"', `version="${xml(ATTACK)}"`)
      .replace('<p>Better.</p>', `<p>${xml(ATTACK)}</p>`)
      .replace(
        '</name>',
        `</name><project_license>${xml(ATTACK)}</project_license><url type="homepage">javascript:window.attacked=1</url>`,
      );
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
    await page.locator('.card').waitFor();
    assert.equal(await page.locator('.card a').textContent(), ATTACK.slice(0, 200));
    await page.locator('.card a').click();
    await page.locator('.permissions').waitFor();
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), ATTACK.slice(0, 200));
    assert.equal(await page.locator('.description p').textContent(), ATTACK);
    await page.goto(`${attacked.url}/?view=status`);
    await page.locator('.index').waitFor();
    await page.goto(`${attacked.url}/?q=${encodeURIComponent(ATTACK)}&tag=${encodeURIComponent(ATTACK)}`);
    await page.locator('.notice').getByText('No app matches').waitFor();
    assert.equal(await page.evaluate(`'attacked' in window`), false);
    assert.equal(await page.locator('main img[src=x], main script, main svg[onload]').count(), 0);

    await page.close();

    await using withoutScript = await startChromium({ javaScriptEnabled: false });
    const plain = await open(t, withoutScript, attacked.url);
    assert.match(await plain.locator('main').innerText(), /<script>window\.attacked=1<\/script>/);
    await plain.close();
  });

  test('without JavaScript there is a list with links', async (t) => {
    await using withoutScript = await startChromium({ javaScriptEnabled: false });
    const page = await open(t, withoutScript, server.url);
    const link = page.getByRole('link', { name: 'Calculator' });
    assert.equal(await link.getAttribute('href'), '/apps/org.example.Calculator.flatpakref');
    assert.equal(
      await page.getByRole('link', { name: 'Add all of it to Flatpak' }).getAttribute('href'),
      '/apps.flatpakrepo',
    );
    assert.equal(
      await page.getByRole('link', { name: 'More about it' }).getAttribute('href'),
      'https://apps.example.org/about',
    );
    assert.deepEqual(
      await page.locator('li', { hasText: '(no longer maintained)' }).getByRole('link').allTextContents(),
      ['Painter'],
    );
    await page.close();
  });

  test('the keyboard alone suffices', async (t) => {
    const page = await open(t, browser, server.url);
    await page.locator('.card').first().waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Skip to the content');
    await page.keyboard.press('/');
    await page.keyboard.type('calc');
    await eventually(async () => assert.deepEqual(await names(page), ['Calculator']));
    for (let presses = 0; presses < 10 && (await focused(page)) !== 'Calculator'; presses++)
      await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 2, name: 'Install' }).waitFor();
    // Whoever listens to the page is told where it is now.
    assert.equal(await focused(page), 'Calculator');
    for (let presses = 0; presses < 20 && (await focused(page)) !== 'Install Calculator'; presses++)
      await page.keyboard.press('Tab');
    assert.equal(
      await page.evaluate(`document.activeElement?.getAttribute('href')`),
      '/apps/org.example.Calculator.flatpakref',
    );
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`in ${colorScheme}, wide and at 320 pixels, no view overflows, and axe finds nothing serious`, async (t) => {
      for (const width of [1280, 320]) {
        const page = await open(t, browser, 'about:blank');
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        for (const [path, ready] of [
          ['/', '.card'],
          ['/?q=nothing', '.notice p'],
          ['/?app=org.example.Painter', '.permissions'],
          ['/?view=status', '.index'],
        ] as const) {
          await page.goto(server.url + path);
          await page.locator(ready).first().waitFor();
          assert.equal(
            await page.evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`),
            0,
            `${path} at ${width} pixels is wider than the window`,
          );
          assert.equal(
            await page.evaluate(
              `[...document.querySelectorAll('.card .about > *')].filter((line) => line.getBoundingClientRect().right > line.closest('.card').getBoundingClientRect().right).length`,
            ),
            0,
            `what a card tells at ${width} pixels is wider than the card`,
          );
          assert.deepEqual(await seriousFindings(page), [], `${path} at ${width} pixels`);
        }
        const ground = await page.evaluate<string>(`getComputedStyle(document.body).backgroundColor`);
        assert.equal(Number(/\d+/.exec(ground)?.[0]) < 64, colorScheme === 'dark', ground);
      }
    });
  }

  test('of many apps, only those near what is seen are in the document, and the way back leads to the same place', async (t) => {
    await using large = await LabelRegistry.start();
    for (let number = 0; number < 500; number++)
      large.push(`app-${number}`, {
        labels: flatpakLabels({ id: `org.example.App${number}`, name: numbered(number), icon: PIXEL }),
      });
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: large.url } }, server: { port: 0 } },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    await page.getByText('500 apps').waitFor();
    await page.getByRole('link', { name: numbered(0) }).waitFor();
    assert.ok((await names(page)).length < 100);
    await page.keyboard.press('End');
    const last = page.getByRole('link', { name: numbered(499) });
    await last.waitFor();
    assert.equal(await page.locator('.card', { has: last }).getAttribute('aria-posinset'), '500');
    assert.ok((await names(page)).length < 100);
    // What was scrolled past too fast to be seen is completed when it stands still.
    await eventually(async () =>
      assert.equal(
        await page.evaluate(
          `[...document.querySelectorAll('.card img')].filter(({ complete, naturalWidth }) => !complete || naturalWidth === 0).length`,
        ),
        0,
      ),
    );
    const place = await page.evaluate(`scrollY`);
    await last.click();
    await page.getByRole('heading', { level: 2, name: 'Permissions' }).waitFor();
    await page.goBack();
    await last.waitFor();
    assert.equal(await page.evaluate(`scrollY`), place);
    await page.close();
  });

  test('nothing moves as icons load', async (t) => {
    const page = await open(t, browser, 'about:blank');
    await page.addInitScript(`
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });
    `);
    await page.goto(server.url, { waitUntil: 'networkidle' });
    assert.ok((await page.evaluate<number>(`window.shift`)) < 0.01);
  });

  test('nothing is loaded from elsewhere, and the page may run nothing but its own files', async (t) => {
    const page = await open(t, browser, 'about:blank');
    const origins = new Set<string>();
    page.on('request', (asked) => origins.add(new URL(asked.url()).origin));
    await page.goto(`${server.url}/?app=org.example.Painter`, { waitUntil: 'networkidle' });
    assert.deepEqual([...origins], [server.url]);
    const { headers } = await request(server.url);
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /^default-src 'none';frame-ancestors 'none';script-src 'self';style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe/);
  });

  test('the page has one weak entity tag in all encodings', async () => {
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
      ['identity', 'gzip', 'br'].map((encoding) => [etag, 'accept-encoding', encoding]),
    );
  });

  test('the files have entity tags, and are small', async () => {
    for (const path of ['/', '/page/main.js', '/api/apps', '/api/apps/org.example.Editor', '/apps.flatpakrepo']) {
      const { etag } = await get(server.url + path);
      assert.notEqual(etag, 'undefined', path);
      const again = await request(server.url + path, { headers: { 'if-none-match': etag } });
      await again.body.dump();
      assert.equal(again.statusCode, 304, path);
    }
    let bytes = 0;
    for (const name of await readdir(PUBLIC)) bytes += gzipSync(await readFile(join(PUBLIC, name))).length;
    assert.ok(bytes < MAX_COMPRESSED_BYTES, `${bytes} bytes`);
  });
});

function fill(registry: LabelRegistry): void {
  const calculator = {
    id: 'org.example.Calculator',
    name: 'Calculator',
    summary: 'Adds numbers',
    developer: 'Somebody',
    keywords: ['arithmetic'],
    timestamp: 1_710_000_000,
    icon: PIXEL,
  };
  registry.push('calculator', { labels: flatpakLabels(calculator) });
  registry.push('calculator', {
    tag: 'arm',
    architecture: 'arm64',
    labels: flatpakLabels({ ...calculator, architecture: 'aarch64', timestamp: 1_709_000_000 }),
  });
  registry.push('editor', {
    labels: flatpakLabels({
      id: 'org.example.Editor',
      name: 'Editor',
      summary: 'Edits text',
      developer: 'Café Smørgås',
      keywords: ['text'],
      timestamp: 1_700_000_000,
    }),
  });
  const painter = {
    id: 'org.example.Painter',
    name: 'Painter',
    summary: 'Paints pictures',
    description:
      '<p>Paint <em>anything</em> in <code>pixels</code>.</p><ul><li>Brushes</li><li>Colours &amp; more</li></ul>',
    metadata: '[Context]\nfilesystems=host;\nshared=network;ipc;',
    timestamp: 1_720_000_000,
    icon: PIXEL,
    endOfLife: 'Use Editor instead',
    replacedBy: 'app/org.example.Editor/x86_64/stable',
  };
  registry.push('graphics/painter', { labels: flatpakLabels(painter) });
  registry.push('graphics/painter', { tag: 'beta', labels: flatpakLabels({ ...painter, branch: 'beta' }) });
  registry.push('runtime/platform', {
    labels: flatpakLabels({ id: 'org.example.Platform', name: 'Platform', type: 'runtime' }),
  });
  registry.push('runtime/locale', {
    labels: flatpakLabels({
      id: 'org.example.Platform.Locale',
      name: 'Locale of Platform',
      type: 'runtime',
      metadata: '[ExtensionOf]\nref=runtime/org.example.Platform/x86_64/stable',
    }),
  });
}

/** Names that sort as their numbers do. */
function numbered(number: number): string {
  return `App ${String(number).padStart(3, '0')}`;
}

/** What the console of a page may hold. */
const expected = new WeakMap<Page, RegExp[]>();
function expectedErrors(page: Page): RegExp[] {
  return expected.get(page) ?? [];
}

/**
 * A page until the test ends, with a `clock` that can be put forward if so asked; then nothing may have gone wrong in
 * it.
 */
async function open(t: TestContext, { context }: Browser, url: string, { clock = false } = {}): Promise<Page> {
  const page = await context.newPage();
  if (clock) await page.clock.install();
  const errors: string[] = [];
  expected.set(page, []);
  page.on('pageerror', (error) => errors.push(error.stack ?? error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  t.after(async () => {
    await page.close();
    assert.deepEqual(
      errors.filter((error) => !expectedErrors(page).some((pattern) => pattern.test(error))),
      [],
    );
  });
  await page.goto(url);
  return page;
}

async function names(page: Page): Promise<readonly string[]> {
  return page.locator('.card a').allTextContents();
}

/** Which of the permissions' groups is called so. */
async function termPlace(page: Page, term: string): Promise<number> {
  return (await page.locator('.permissions dt').allTextContents()).indexOf(term);
}

/** The text of what has the focus. */
async function focused(page: Page): Promise<string | null> {
  return page.evaluate(`document.activeElement.textContent`);
}

async function seriousFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}
