/** Debian's Chromium without a window, with a profile of its own. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type BrowserContextOptions } from 'playwright-core';

export interface Browser extends AsyncDisposable {
  readonly context: BrowserContext;
}

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
];

/** Starts the browser. */
export async function startChromium(options: BrowserContextOptions = {}): Promise<Browser> {
  await using started = new AsyncDisposableStack();
  const profile = started.use(await mkdtempDisposable(join(tmpdir(), 'regindexer-chromium-')));
  const context = started.use(
    await chromium.launchPersistentContext(profile.path, {
      ...options,
      executablePath: '/usr/bin/chromium',
      args: FLAGS,
    }),
  );
  const resources = started.move();
  return { context, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}
