import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Browser } from '../peers/chromium.ts';
import { freePort } from '../peers/free-port.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { settled } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { expectedErrors, focused, names, open, PIXEL, startVisitedSite } from './page-visit.ts';

suite('search on the page', needs('chromium'), () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let server: Regindexer;
  let browser: Browser;
  before(async () => {
    ({ registry, server, browser } = await startVisitedSite(resources, (url) => ({
      indexes: { apps: { registry: url } },
      server: { port: 0 },
    })));
  });
  after(() => resources.disposeAsync());

  test('it looks at name, id, developer, summary and keywords as one types, with and without accents, and the address holds it', async (t) => {
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
      assert.equal(await page.locator('#count').textContent(), '1 app');
      assert.equal(new URL(page.url()).searchParams.get('q'), typed);
    }
    await search.fill('nothing of the kind');
    await page.getByText('No app matches “nothing of the kind”.').waitFor();
    assert.equal(await page.locator('#count').textContent(), '0 apps');
    await page.getByRole('button', { name: 'Clear search and filters' }).click();
    assert.equal((await names(page)).length, 3);
    assert.equal(page.url(), `${server.url}/`);
    assert.equal(await focused(page), '');
  });

  test('runtimes and extensions are found behind a switch', async (t) => {
    const page = await open(t, browser, server.url);
    await page.getByRole('searchbox').fill('platform');
    await page.getByText('No app matches “platform”. 2 runtimes and extensions do.').waitFor();
    await page.getByRole('button', { name: 'Show them' }).click();
    assert.deepEqual(await names(page), ['Platform', 'Locale of Platform']);
    assert.deepEqual(await page.locator('.badge:visible').allTextContents(), ['Runtime', 'Extension']);
    assert.equal(new URL(page.url()).searchParams.get('all'), '1');
    await page.getByText('Filters', { exact: true }).click();
    await page.getByRole('switch', { name: 'Runtimes and extensions too' }).uncheck();
    await page.getByText('No app matches “platform”.').waitFor();
  });

  test('filters narrow the list, and a link restores all of it', async (t) => {
    const page = await open(t, browser, server.url);
    await page.getByText('Filters', { exact: true }).click();
    await page.getByLabel('Architecture').selectOption('arm64');
    await eventually(async () => assert.deepEqual(await names(page), ['Calculator']));
    await page.getByLabel('Architecture').selectOption('');
    await page.getByLabel('Tag').selectOption('beta');
    assert.deepEqual(await names(page), ['Painter']);
    await page.getByLabel('Tag').selectOption('');
    await page.getByLabel('Sort').selectOption('newest');
    assert.deepEqual(await names(page), ['Painter', 'Calculator', 'Editor']);

    const link = await open(t, browser, page.url());
    await eventually(async () => assert.deepEqual(await names(link), ['Painter', 'Calculator', 'Editor']));
    await link.getByText('Filters', { exact: true }).click();
    assert.equal(await link.getByLabel('Sort').inputValue(), 'newest');
    await link.keyboard.press('Escape');
    assert.equal(await link.getByLabel('Sort').isVisible(), false);
    assert.equal(await focused(link), 'Filters');
  });

  test('the way back from an app leads to what was found', async (t) => {
    const page = await open(t, browser, `${server.url}/?q=paint`);
    await page.getByRole('link', { name: 'Painter' }).click();
    await page.getByRole('heading', { level: 1, name: 'Painter' }).waitFor();
    await page.goBack();
    await eventually(async () => assert.deepEqual(await names(page), ['Painter']));
    assert.equal(await page.getByRole('searchbox').inputValue(), 'paint');
  });

  test('from the page of an app, a search leads to what it finds', async (t) => {
    const page = await open(t, browser, `${server.url}/apps/org.example.Editor`);
    await page.getByRole('searchbox').fill('paint');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${server.url}/?q=paint`);
    await eventually(async () => assert.deepEqual(await names(page), ['Painter']));
  });

  test('where the server is away, it says so, and finds when it is asked again', async (t) => {
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: registry.url } }, server: { port: await freePort() } },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    expectedErrors(page).push(/ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/);
    await other.stop();
    await page.getByRole('searchbox').fill('paint');
    await page.getByText('The server does not answer.').waitFor();
    await other.start();
    await page.getByRole('button', { name: 'Try again' }).click();
    await eventually(async () => assert.deepEqual(await names(page), ['Painter']));
    await page.close();
  });

  test('of many apps, 60 are listed at first, and more when asked for', async (t) => {
    await using large = await LabelRegistry.start();
    for (let number = 0; number < 150; number++)
      large.push(`app-${number}`, {
        labels: flatpakLabels({ id: `org.example.App${number}`, name: numbered(number), icon: PIXEL }),
      });
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: large.url } }, server: { port: 0 } },
    });
    await settled(other.url);
    const page = await open(t, browser, other.url);
    await page.getByRole('searchbox').fill('app');
    await page.getByText('150 apps', { exact: true }).waitFor();
    await eventually(async () => assert.equal((await names(page)).length, 60));
    await page.getByRole('button', { name: 'Show more' }).click();
    assert.equal((await names(page)).length, 120);
    assert.equal(await focused(page), numbered(60));
    await page.getByRole('searchbox').fill('');
    assert.equal((await names(page)).at(-1), numbered(59));
    await page.getByRole('link', { name: 'Page 3' }).click();
    await page.getByRole('heading', { level: 1, name: 'All apps 150' }).waitFor();
    assert.equal(page.url(), `${other.url}/apps/all?page=3`);
    assert.deepEqual(
      await names(page),
      Array.from({ length: 30 }, (_, place) => numbered(120 + place)),
    );
    await page.close();
  });
});

/** Names that sort as their numbers do. */
function numbered(number: number): string {
  return `App ${String(number).padStart(3, '0')}`;
}
