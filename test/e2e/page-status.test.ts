import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import type { Browser } from '../peers/chromium.ts';
import { needs } from '../peers/installed.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { get, notify, settled, TOKEN } from './ask-server.ts';
import { eventually } from './eventually.ts';
import { expectedErrors, open, pushApps, seriousFindings, startVisitedSite } from './page-visit.ts';

suite('the status on the page', needs('chromium'), () => {
  const resources = new AsyncDisposableStack();
  let registry: LabelRegistry;
  let server: Regindexer;
  let browser: Browser;
  before(async () => {
    ({ registry, server, browser } = await startVisitedSite(resources, (url) => ({
      indexes: { apps: { registry: url } },
      server: { port: 0, admin_token: TOKEN },
    })));
  });
  after(() => resources.disposeAsync());

  test('a rebuild is asked for with the token, shown while it runs, and told of when it is done', async (t) => {
    const page = await open(t, browser, `${server.url}/?view=status`);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByLabel('Admin token').fill('not the token');
    await page.getByRole('button', { name: 'Use token' }).click();
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

  test('an administrator is told why an image is in an index, or not', async (t) => {
    const page = await open(t, browser, `${server.url}/?view=status`);
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Use token' }).click();
    const reference = page.getByLabel('Why is it in an index, or not?');
    await reference.fill('editor:latest');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('.explain h3', { hasText: 'apps Shown' }).waitFor();
    await page.locator('.explain .image').getByText('app/org.example.Editor/x86_64/stable').waitFor();
    await reference.fill('none');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.locator('.explain h3', { hasText: 'apps Not shown' }).waitFor();
    assert.deepEqual(await seriousFindings(page), []);
  });

  test('the status says how the repositories of each registry are found, and when it last notified', async (t) => {
    await using named = await LabelRegistry.start();
    pushApps(named);
    await using other = await startRegindexer({
      config: {
        indexes: {
          listed: { registry: registry.url, repository_include: ['editor'] },
          named: { registry: named.url },
          built: { registry: `oci:${SAMPLE_IMAGES}` },
        },
        registries: { [named.url]: { repositories: ['calculator'] } },
        server: { port: 0, admin_token: TOKEN, events_token: TOKEN },
      },
    });
    await settled(other.url);
    assert.equal(await notify(other.url, 'calculator'), 202);
    const page = await open(t, browser, `${other.url}/?view=status`);
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Use token' }).click();
    const row = (index: string) => page.getByLabel('Registries').getByRole('row').filter({ hasText: index });
    await row('built').getByText('Its folder').waitFor();
    await row(registry.url).getByText('Its catalog').waitFor();
    await row(registry.url).getByText('None since the start').waitFor();
    await row(named.url).getByText('Names in the configuration').waitFor();
    const cells = await row(named.url).getByRole('cell').allInnerTexts();
    assert.match(cells.join(), /^named,Names in the configuration,.*(?:now|ago).*,1$/);
    assert.deepEqual(await seriousFindings(page), []);
    await page.close();
  });

  test('the status says what could not be read, and to administrators why', async (t) => {
    await using broken = await LabelRegistry.start();
    pushApps(broken);
    broken.break('editor');
    await using other = await startRegindexer({
      config: { indexes: { apps: { registry: broken.url } }, server: { port: 0, admin_token: TOKEN } },
    });
    await get(`${other.url}/healthz`);
    const page = await open(t, browser, `${other.url}/?view=status`);
    // An index is not made before all that it takes could be read once.
    expectedErrors(page).push(/503/);
    await page.locator('.failures').waitFor();
    assert.match(await page.locator('.failures').innerText(), /^editor It failed\. The reason is for administrators/);
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Use token' }).click();
    await eventually(async () =>
      assert.match(await page.locator('.failures').innerText(), /editor .*(?:403|DENIED|not for you)/),
    );
    await page.getByText('Last rebuild failed').waitFor();
    await page.close();
  });
});
