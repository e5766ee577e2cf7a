import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { watchSources } from './watch-sources.ts';

test('a burst of changes is one call, and changes during a call are another', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-watched-'));
  const file = (name: string): string => join(folder.path, name);
  await mkdir(file('deep'));
  const stop = new AbortController();
  const heard: string[] = [];
  let underWay = 0;
  const watching = watchSources([folder.path], stop.signal, async (changed) => {
    heard.push(changed);
    assert.equal(++underWay, 1);
    if (heard.length === 1) await Promise.all(['deep/c.ts', 'deep/d.ts'].map((name) => writeFile(file(name), '')));
    else stop.abort();
    underWay--;
  });
  await Promise.all(['a.ts', 'b.ts'].map((name) => writeFile(file(name), '')));
  await watching;
  assert.equal(heard.length, 2);
  assert.match(heard[0] ?? '', /^[ab]\.ts$/);
  assert.match(heard[1] ?? '', /^deep\/[cd]\.ts$/);
});
