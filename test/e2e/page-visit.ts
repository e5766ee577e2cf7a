/** Visits to the pages: made-up apps, a browser, and what every visit is checked for. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { type Browser, startChromium } from '../peers/chromium.ts';
import { type Regindexer, startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { settled } from './ask-server.ts';

/** A PNG of one pixel. */
export const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M9QDwADgQF/mZ3x4wAAAABJRU5ErkJggg==',
  'base64',
);
export const ATTACK = `"><img src=x onerror="window.attacked=1"><script>window.attacked=1</script><svg onload='window.attacked=1'>javascript:window.attacked=1`;

/** Pushes three apps, a runtime and an extension. */
export function pushApps(registry: LabelRegistry): void {
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

/** A service over the made-up apps, and a browser to visit its pages. */
export interface VisitedSite {
  readonly registry: LabelRegistry;
  readonly server: Regindexer;
  readonly browser: Browser;
}

/**
 * Starts a registry of the made-up apps, a service over it, and a browser.
 * @param configOf returns the configuration for the registry's URL
 */
export async function startVisitedSite(
  resources: AsyncDisposableStack,
  configOf: (registry: string) => object,
): Promise<VisitedSite> {
  const registry = resources.use(await LabelRegistry.start());
  pushApps(registry);
  const server = resources.use(await startRegindexer({ config: configOf(registry.url) }));
  await settled(server.url);
  return { registry, server, browser: resources.use(await startChromium()) };
}

/** What the console of a page may hold. */
const expected = new WeakMap<Page, RegExp[]>();
export function expectedErrors(page: Page): RegExp[] {
  return expected.get(page) ?? [];
}

/**
 * A page until the test ends, with a `clock` that can be put forward if so asked; then nothing may have gone wrong in
 * it.
 */
export async function open(t: TestContext, { context }: Browser, url: string, { clock = false } = {}): Promise<Page> {
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

/** Names on the cards that are shown. */
export async function names(page: Page): Promise<readonly string[]> {
  return page.locator('.card a:visible').allTextContents();
}

/** The text of what has the focus. */
export async function focused(page: Page): Promise<string | null> {
  return page.evaluate(`document.activeElement.textContent.trim()`);
}

/** What axe finds that is serious. */
export async function seriousFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** By how many pixels the page is wider than its window. */
export async function overflow(page: Page): Promise<number> {
  return page.evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`);
}
