import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChromium } from './chromium.ts';
import { needs } from './installed.ts';

test('Chromium shows a page and runs its scripts', needs('chromium'), async () => {
  await using browser = await startChromium();
  const page = await browser.context.newPage();
  await page.setContent('<title>before</title><script>document.title = "after"</script>');
  assert.equal(await page.title(), 'after');
});
