/**
 * `node test/dev/screenshot.ts [FOLDER] [--all]`: takes the pictures of the page that the README shows, into `docs`
 * unless told otherwise; with `--all`, each view at three widths instead, light and dark.
 */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { settled } from '../e2e/ask-server.ts';
import { startChromium } from '../peers/chromium.ts';
import { requirePrograms } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { runAsCommand } from './run-as-command.ts';
import { SCREENSHOT_APPS, type ScreenshotApp } from './screenshot-apps.ts';

const SIZE = { width: 1280, height: 800 };
const ICON_SIZE = { width: 128, height: 128 };
const WIDTHS = [360, 768, 1440];
const HEIGHTS: Readonly<Record<number, number>> = { 360: 740, 768: 1024, 1440: 900 };
const VIEWS: Readonly<Record<string, string>> = {
  home: '/',
  category: '/apps/games',
  search: '/?q=paint',
  app: '/apps/org.example.Easel',
  'app-old': '/apps/org.example.Gramophone',
  'app-long': '/apps/org.example.InteractiveDifferentialEquationSolverandPlotterforStudents',
  runtime: '/apps/org.example.Platform',
  status: '/?view=status',
};
/** Views that are taken to their ends. */
const FULL = /^(app|runtime|status)/;
const SCHEMES = ['light', 'dark'] as const;

async function takeScreenshots(folder: string, all: boolean): Promise<void> {
  requirePrograms('chromium');
  await using browser = await startChromium({ viewport: SIZE, reducedMotion: 'reduce' });
  await using registry = await LabelRegistry.start();
  const tab = await browser.context.newPage();
  await tab.setViewportSize(ICON_SIZE);
  for (const app of SCREENSHOT_APPS) await push(registry, tab, app);
  await using server = await startRegindexer({
    config: {
      indexes: {
        apps: {
          title: 'Example Apps',
          comment: 'Free apps for work, play and everything in between',
          description: 'Every app here is made up. They show what a page with many different apps looks like.',
          homepage: 'https://apps.example.org/about',
          registry: registry.url,
          tags: ['latest*'],
          extract_icons: true,
        },
      },
      server: { port: 0 },
    },
  });
  await settled(server.url);
  await mkdir(folder, { recursive: true });
  const take = async (name: string, path: string, fullPage: boolean): Promise<void> => {
    await tab.goto(server.url + path);
    await tab.waitForLoadState('networkidle');
    const file = resolve(folder, `${name}.png`);
    await tab.screenshot({ path: file, fullPage });
    console.log(file);
  };
  for (const colorScheme of SCHEMES) {
    await tab.emulateMedia({ colorScheme });
    if (!all) {
      await tab.setViewportSize(SIZE);
      await take(`page-${colorScheme}`, '/', false);
      continue;
    }
    for (const width of WIDTHS) {
      await tab.setViewportSize({ width, height: HEIGHTS[width] ?? SIZE.height });
      for (const [name, path] of Object.entries(VIEWS))
        await take(`${name}-${width}-${colorScheme}`, path, FULL.test(name));
    }
  }
}

async function push(registry: LabelRegistry, tab: Page, { icon: drawing, ...app }: ScreenshotApp): Promise<void> {
  let icon: Buffer | undefined;
  if (drawing !== undefined) {
    await tab.setContent(`<style>body { margin: 0 } svg { display: block }</style>${drawing}`);
    icon = await tab.screenshot({ omitBackground: true });
  }
  for (const [architecture, machine] of [
    ['amd64', 'x86_64'],
    ['arm64', 'aarch64'],
  ] as const)
    registry.push(app.id.toLowerCase().replaceAll('.', '/'), {
      tag: architecture === 'amd64' ? 'latest' : 'latest-arm64',
      architecture,
      labels: flatpakLabels({ ...app, architecture: machine, icon }),
    });
}

const { values, positionals } = parseArgs({
  options: { all: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [folder = resolve(import.meta.dirname, '../../docs')] = positionals;
await runAsCommand(() => takeScreenshots(folder, values.all));
