/**
 * `node test/dev/screenshot.ts [FOLDER]`: takes the pictures of the page that the README shows, into `docs` unless told
 * otherwise.
 */
import { resolve } from 'node:path';
import { settled } from '../e2e/ask-server.ts';
import { startChromium } from '../peers/chromium.ts';
import { requirePrograms } from '../peers/installed.ts';
import { startRegindexer } from '../peers/regindexer.ts';
import { flatpakLabels } from '../sources/flatpak-labels.ts';
import { LabelRegistry } from '../sources/label-registry.ts';
import { runAsCommand } from './run-as-command.ts';
import { SCREENSHOT_APPS } from './screenshot-apps.ts';

const SIZE = { width: 1280, height: 800 };
const ICON_SIZE = { width: 128, height: 128 };
const RELEASED = Date.UTC(2026, 9, 1) / 1000;

async function takeScreenshots(folder: string): Promise<void> {
  requirePrograms('chromium');
  await using browser = await startChromium({ viewport: SIZE, reducedMotion: 'reduce' });
  await using registry = await LabelRegistry.start();
  const tab = await browser.context.newPage();
  await tab.setViewportSize(ICON_SIZE);
  for (const { icon: drawing, ...app } of SCREENSHOT_APPS) {
    await tab.setContent(`<style>body { margin: 0 } svg { display: block }</style>${drawing}`);
    const icon = await tab.screenshot({ omitBackground: true });
    const repository = `apps/${app.name.toLowerCase()}`;
    for (const [architecture, machine] of [
      ['amd64', 'x86_64'],
      ['arm64', 'aarch64'],
    ] as const) {
      registry.push(repository, {
        tag: architecture === 'amd64' ? 'latest' : 'latest-arm64',
        architecture,
        labels: flatpakLabels({ ...app, architecture: machine, timestamp: RELEASED, icon }),
      });
    }
  }
  await using server = await startRegindexer({
    config: {
      indexes: { apps: { title: 'Example Apps', registry: registry.url, tags: ['latest*'], extract_icons: true } },
      server: { port: 0 },
    },
  });
  await settled(server.url);
  await tab.setViewportSize(SIZE);
  for (const colorScheme of ['light', 'dark'] as const) {
    await tab.emulateMedia({ colorScheme });
    await tab.goto(server.url);
    await tab.waitForSelector(`.card[aria-setsize="${SCREENSHOT_APPS.length}"]`);
    await tab.waitForLoadState('networkidle');
    const path = resolve(folder, `page-${colorScheme}.png`);
    await tab.screenshot({ path });
    console.log(path);
  }
}

const [folder = resolve(import.meta.dirname, '../../docs')] = process.argv.slice(2);
await runAsCommand(() => takeScreenshots(folder));
