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
  summary: `the page with ${APPS.toLocaleString('en')} apps: first card, typing to result, what Lighthouse measures`,
  run: async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-page-'));
    await using server = await startServer(folder.path);
    await using browser = await startChromium();
    const first: number[] = [];
    const typing: number[] = [];
    const loads: PageLoad[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
      const tab = await browser.context.newPage();
      first.push(await firstCard(tab, server.program.url));
      typing.push(...(await typed(tab)));
      await tab.close();
      const traced = await browser.context.newPage();
      loads.push(await tracedLoad(traced, server.program.url));
      await traced.close();
    }
    const of = (name: keyof PageLoad): readonly number[] => loads.map((load) => load[name]);
    return [
      {
        title: `The page with ${APPS.toLocaleString('en')} apps, as its browser measures it (${ROUNDS} rounds)`,
        columns: [
          { name: '' },
          { name: 'median', digits: 3 },
          { name: 'worst', digits: 3 },
          { name: 'unit' },
          { name: 'to reach' },
        ],
        rows: [
          row('navigation to first card visible', first, 'ms', '< 500'),
          row('key pressed to result painted', typing, 'ms', '< 30'),
          row('largest contentful paint', of('largestPaint'), 'ms', '< 1000'),
          row('cumulative layout shift', of('shift'), '', '< 0.02'),
          row('total blocking time', of('blocked'), 'ms', '< 100'),
        ],
      },
    ];
  },
};

function row(name: string, values: readonly number[], unit: string, target: string): readonly Cell[] {
  return [name, median(values), Math.max(...values), unit, target];
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
async function firstCard(tab: Page, url: string): Promise<number> {
  await tab.addInitScript(`
    window.firstCard = new Promise((resolve) => {
      const look = () => {
        if (document.querySelector('.card') === null) requestAnimationFrame(look);
        else requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
      };
      look();
    });
  `);
  await tab.goto(url);
  return tab.evaluate<number>('window.firstCard');
}

/** For each key, from its event until the frame with the result was painted, in milliseconds. */
async function typed(tab: Page): Promise<number[]> {
  await tab.evaluate(`
    window.typed = [];
    document.getElementById('q').addEventListener('input', () => requestAnimationFrame(() => setTimeout(() => window.typed.push(performance.now() - window.pressed))));
    document.addEventListener('keydown', (event) => { window.pressed = event.timeStamp; }, true);
  `);
  const list = tab.waitForResponse(/\/api\/apps/);
  await tab.getByRole('searchbox').focus();
  await (await list).finished();
  for (const [index, key] of TYPED.split('').entries()) {
    await tab.keyboard.press(key === ' ' ? 'Space' : key);
    await until(tab, `window.typed.length === ${index + 1} && document.querySelector('.results .card') !== null`);
  }
  return tab.evaluate<number[]>('window.typed');
}

/** What Lighthouse measures of a page that loads; times in milliseconds. */
interface PageLoad {
  readonly largestPaint: number;
  readonly shift: number;
  /** By how much tasks after the first paint took longer than 50 ms. */
  readonly blocked: number;
}

/** An event of Chromium's tracing; times in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly data?: Readonly<Record<string, unknown>> };
}

const CATEGORIES = ['loading', 'blink.user_timing', 'devtools.timeline', 'disabled-by-default-devtools.timeline'];
/** Longer tasks are felt, in milliseconds. */
const LONG_TASK = 50;

/** Loads a page with Chromium's tracing, and reads from that what Lighthouse does. */
async function tracedLoad(tab: Page, url: string): Promise<PageLoad> {
  const session = await tab.context().newCDPSession(tab);
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await session.send('Network.enable');
  await session.send('Network.setCacheDisabled', { cacheDisabled: true });
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: CATEGORIES },
  });
  await tab.goto(url, { waitUntil: 'networkidle' });
  const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
  await session.send('Tracing.end');
  await complete;
  const paint = events.findLast(({ name }) => name === 'firstContentfulPaint');
  const start = events.findLast(
    ({ name, pid, args }) =>
      name === 'navigationStart' && pid === paint?.pid && String(args.data?.['documentLoaderURL']).startsWith(url),
  );
  if (paint === undefined || start === undefined) throw new Error('nothing was painted');
  const own = events.filter(({ pid, ts }) => pid === paint.pid && ts >= start.ts);
  const largest = own.findLast(({ name }) => name === 'largestContentfulPaint::Candidate') ?? paint;
  const shifts = own.filter(({ name, args }) => name === 'LayoutShift' && args.data?.['had_recent_input'] !== true);
  const tasks = own.filter(({ name, tid, ts }) => name === 'RunTask' && tid === paint.tid && ts >= paint.ts);
  return {
    largestPaint: (largest.ts - start.ts) / 1000,
    shift: shifts.reduce((sum, { args }) => sum + Number(args.data?.['weighted_score_delta'] ?? 0), 0),
    blocked: tasks.reduce((sum, { dur = 0 }) => sum + Math.max(0, dur / 1000 - LONG_TASK), 0),
  };
}
