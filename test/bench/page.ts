/** `page`: how soon the page shows something, and how soon it shows what was typed, with many apps. */
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { startChromium } from '../peers/chromium.ts';
import { freePort } from '../peers/free-port.ts';
import { startPeer, type Peer } from '../peers/peer.ts';
import { answersHttp } from '../peers/answering.ts';
import type { Benchmark } from './benchmark.ts';
import { median } from './median.ts';
import { buildRandomState, NO_REGISTRY } from './random-state.ts';
import type { Cell } from './table.ts';

const APPS = 2_000;
const ROUNDS = 7;
/** Typed one after the other; each fits many apps. */
const TYPED = 'photo editor';
const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

export const page: Benchmark = {
  summary: `the page with ${APPS.toLocaleString('en')} apps: first result, typing to result`,
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-page-'));
    await using server = await startServer(folder.path);
    await using browser = await startChromium();
    const first: number[] = [];
    const typing: number[] = [];
    const frames: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
      const tab = await browser.context.newPage();
      first.push(await firstResult(tab, server.program.url));
      await until(tab, `document.querySelector('.card')?.getAttribute('aria-setsize') === '${APPS}'`);
      typing.push(...(await typed(tab)));
      frames.push(await longestFrame(tab));
      await tab.close();
    }
    return [
      {
        title: `The page with ${APPS.toLocaleString('en')} apps, as its browser measures it (${ROUNDS} rounds)`,
        columns: [
          { name: '' },
          { name: 'median ms', digits: 1 },
          { name: 'slowest ms', digits: 1 },
          { name: 'to reach' },
        ],
        rows: [
          row('navigation to first result visible', first, '< 1000 ms'),
          row('key pressed to result painted', typing, '< 50 ms'),
          row('longest frame while scrolling through all', frames, ''),
        ],
      },
    ];
  },
};

function row(name: string, values: readonly number[], target: string): readonly Cell[] {
  return [name, median(values), Math.max(...values), target];
}

async function startServer(folder: string) {
  const config = join(folder, 'config.yaml');
  const port = await freePort();
  await writeFile(
    config,
    JSON.stringify({
      indexes: { apps: { registry: NO_REGISTRY, extract_icons: true } },
      state_dir: join(folder, 'state'),
      rescan_interval: 0,
      server: { port },
    }),
  );
  process.stderr.write(`making an index of ${APPS} apps\n`);
  await buildRandomState(config, { repositories: APPS, tags: ['latest'], architectures: ['amd64'] });
  const url = `http://127.0.0.1:${port}`;
  const peer: Peer<{ url: string; command: string; args: string[]; answers: () => Promise<void> }> = await startPeer(
    'regindexer',
    async () => ({
      url,
      command: process.execPath,
      args: [CLI, '-c', config, 'serve'],
      answers: () => answersHttp(`${url}/readyz`),
    }),
  );
  return peer;
}

/** Waits frame by frame, within the page: its policy lets no text become a function. */
async function until(tab: Page, condition: string): Promise<void> {
  await tab.evaluate(`new Promise((resolve) => {
    const look = () => ((${condition}) ? resolve(true) : requestAnimationFrame(look));
    look();
  })`);
}

/** From the start of the navigation until the frame with the first card was painted, in milliseconds. */
async function firstResult(tab: Page, url: string): Promise<number> {
  await tab.addInitScript(`
    window.firstResult = new Promise((resolve) => {
      new MutationObserver((_, observer) => {
        if (document.querySelector('.card') === null) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
      }).observe(document, { childList: true, subtree: true });
    });
  `);
  await tab.goto(url);
  return tab.evaluate<number>('window.firstResult');
}

/** For each key, from its event until the frame with the result was painted, in milliseconds. */
async function typed(tab: Page): Promise<number[]> {
  await tab.evaluate(`
    window.typed = [];
    document.getElementById('q').addEventListener('input', () => requestAnimationFrame(() => setTimeout(() => window.typed.push(performance.now() - window.pressed))));
    document.addEventListener('keydown', (event) => { window.pressed = event.timeStamp; }, true);
  `);
  await tab.getByRole('searchbox').focus();
  for (const [index, key] of TYPED.split('').entries()) {
    await tab.keyboard.press(key === ' ' ? 'Space' : key);
    await until(tab, `window.typed.length === ${index + 1}`);
  }
  await tab.getByRole('searchbox').fill('');
  await until(tab, `document.querySelector('.card')?.getAttribute('aria-setsize') === '${APPS}'`);
  return tab.evaluate<number[]>(`window.typed.slice(0, ${TYPED.length})`);
}

/** The longest time between two frames on the way to the end of the page, in milliseconds. */
async function longestFrame(tab: Page): Promise<number> {
  return tab.evaluate<number>(`new Promise((resolve) => {
    let before = performance.now();
    let longest = 0;
    let first = true;
    const step = () => {
      const now = performance.now();
      if (!first) longest = Math.max(longest, now - before);
      first = false;
      before = now;
      scrollBy(0, 600);
      if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1) resolve(longest);
      else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  })`);
}
