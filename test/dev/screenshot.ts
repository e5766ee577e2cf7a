/**
 * `node test/dev/screenshot.ts [FOLDER] [--all]`: takes the pictures of the page that the README shows, into `docs`
 * unless told otherwise; with `--all`, each view at three widths instead, light and dark.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { get, settled } from '../e2e/ask-server.ts';
import { eventually } from '../e2e/eventually.ts';
import { startFileHost } from '../e2e/file-host.ts';
import { startChromium } from '../peers/chromium.ts';
import { requirePrograms } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels, xml } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { runAsCommand } from './run-as-command.ts';
import { LOGO, SCREENSHOT_APPS, type ScreenshotApp } from './screenshot-apps.ts';

const SIZE = { width: 1280, height: 800 };
const ICON_SIZE = { width: 128, height: 128 };
const PICTURE_SIZE = { width: 1248, height: 702 };
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
const VIEWED = new Set(Object.values(VIEWS).map((path) => path.replace(/.*\//, '')));
const SCHEMES = ['light', 'dark'] as const;

async function takeScreenshots(folder: string, all: boolean): Promise<void> {
  requirePrograms('chromium');
  await using browser = await startChromium({ viewport: SIZE, reducedMotion: 'reduce' });
  await using registry = await LabelRegistry.start();
  const tab = await browser.context.newPage();
  await using pictures = await mkdtempDisposable(join(tmpdir(), 'regindexer-pictures-'));
  await using host = await startFileHost(pictures.path);
  await tab.setViewportSize(ICON_SIZE);
  await tab.setContent(`<style>body { margin: 0 } svg { display: block }</style>${LOGO}`);
  await writeFile(join(pictures.path, 'logo.png'), await tab.screenshot({ omitBackground: true }));
  for (const app of SCREENSHOT_APPS) {
    // The others are seen in lists alone.
    const drawn = VIEWED.has(app.id) ? await drawPictures(tab, pictures.path, host.url, app) : '';
    await push(registry, tab, { ...app, appdata: drawn + (app.appdata ?? '') });
  }
  await using server = await startRegindexer({
    config: {
      indexes: {
        apps: {
          title: 'Example Apps',
          comment: 'Free apps for work, play and everything in between',
          description: 'Every app here is made up. They show what a page with many different apps looks like.',
          homepage: 'https://apps.example.org/about',
          icon: `${host.url}/logo.png`,
          registry: registry.url,
          tags: ['latest*'],
          extract_icons: true,
        },
      },
      server: { port: 0 },
    },
  });
  await settled(server.url);
  const shown = SCREENSHOT_APPS.find(({ id, screenshots }) => VIEWED.has(id) && screenshots.length > 0);
  await eventually(async () =>
    assert.match((await get(`${server.url}/apps/${shown?.id}`)).body.toString(), /<section class="screenshots"/),
  );
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

/** Draws the screenshots of an app into `folder`, whose URL is `url`; returns what its app data say of them. */
async function drawPictures(tab: Page, folder: string, url: string, app: ScreenshotApp): Promise<string> {
  const named: string[] = [];
  for (const [place, caption] of app.screenshots.entries()) {
    const name = `${app.id}-${place}.png`;
    await tab.setViewportSize(PICTURE_SIZE);
    await tab.setContent(appWindow(app, place));
    await writeFile(join(folder, name), await tab.screenshot());
    named.push(
      `<screenshot><caption>${xml(caption)}</caption><image type="source" width="${PICTURE_SIZE.width}" height="${PICTURE_SIZE.height}">${url}/${name}</image></screenshot>`,
    );
  }
  return named.length === 0 ? '' : `<screenshots>${named.join('')}</screenshots>`;
}

/** The window of an app, in the colours of its icon. */
function appWindow({ name, icon = '' }: ScreenshotApp, place: number): string {
  const [colour = '#456', deep = '#234'] = icon.match(/(?<=stop-color=")[^"]+/g) ?? [];
  const dark = place === 4;
  const tiles = Array.from(
    { length: 12 },
    (_, tile) => `<i style="opacity:${0.25 + ((tile * 7 + place * 3) % 10) / 14}"></i>`,
  );
  return `<style>
    body { margin: 0; height: 100vh; display: grid; grid-template: 56px 1fr / ${place === 1 ? '0' : '220px'} 1fr; font: 18px sans-serif; background: ${dark ? '#1d2024' : '#fff'}; color: ${dark ? '#eee' : '#222'} }
    header { grid-column: 1 / -1; display: grid; place-items: center; background: ${dark ? '#2b3036' : '#ececec'}; font-weight: bold }
    nav { overflow: hidden; padding: 16px; background: ${dark ? '#24282d' : '#f5f5f5'} } nav b { display: block; height: 14px; margin: 18px 0; border-radius: 7px; background: ${colour}; opacity: .5 }
    main { display: grid; grid-template-columns: repeat(${place % 2 === 0 ? 4 : 3}, 1fr); gap: 20px; padding: 28px } i { border-radius: 14px; background: linear-gradient(${colour}, ${deep}) }
  </style><header>${name}</header><nav><b></b><b></b><b></b><b></b></nav><main>${tiles.join('')}</main>`;
}

async function push(registry: LabelRegistry, tab: Page, { icon: drawing, ...app }: ScreenshotApp): Promise<void> {
  let icon: Buffer | undefined;
  await tab.setViewportSize(ICON_SIZE);
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
