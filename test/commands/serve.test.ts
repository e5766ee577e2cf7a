/** Output of `regindexer serve`, with and without a terminal. */
import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { eventually } from '../e2e/eventually.ts';
import { reindex, TOKEN } from '../e2e/ask-server.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { startRegindexer, type Regindexer } from '../peers/regindexer.ts';

const CONFIG = { indexes: { apps: { registry: 'oci:images' } }, server: { port: 0, admin_token: TOKEN } };

/** Returns the lines on the terminal, with `S` in place of times. */
function shown(server: Regindexer): readonly string[] {
  return stripVTControlCharacters(server.log)
    .replaceAll(/\d+\.\d\d s/g, 'S')
    .split('\r\n')
    .slice(0, -1);
}

test('on a terminal it prints plain lines, and none for a second rebuild without changes', async () => {
  await using server = await startRegindexer({
    terminal: true,
    config: { ...CONFIG, indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } } },
  });
  const lines = [
    `Serving at ${server.url}`,
    'rebuilt apps in S: +3 org.example.Clock org.example.Hello org.example.Platform, 3 images (start)',
    'To install from it:',
    `  flatpak remote-add --user --if-not-exists apps ${server.url}/apps.flatpakrepo`,
    `  flatpak install --user ${server.url}/apps/org.example.Clock.flatpakref`,
  ];
  await eventually(() => assert.deepEqual(shown(server).toSorted(), lines.toSorted()));
  await reindex(server.url);
  assert.equal(shown(server).length, lines.length, server.log);
});

test('after a failed first build it prints the reason, and the lines to install after the first success', async () => {
  await using server = await startRegindexer({ terminal: true, config: CONFIG });
  await eventually(() => assert.ok(shown(server).length >= 3));
  assert.match(shown(server)[2] ?? '', /^Warning: rebuilding apps failed, trying again in \d+ s: .*images/);
  await mkdir(join(server.folder, 'images'));
  await cp(SAMPLE_IMAGES, join(server.folder, 'images'), { recursive: true });
  await reindex(server.url);
  await eventually(() =>
    assert.match(shown(server).join('\n'), /To install from it:\n {2}flatpak .*\n {2}flatpak .*Clock/),
  );
});

test('without a terminal it writes only JSON lines, and its address once', async () => {
  await using server = await startRegindexer({
    config: { ...CONFIG, indexes: { apps: { registry: `oci:${SAMPLE_IMAGES}` } } },
  });
  await reindex(server.url);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  const lines = server.log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly msg: string });
  assert.equal(lines.filter(({ msg }) => msg.includes(server.url)).length, 1);
  assert.match(lines[1]?.msg ?? '', /^rebuilt apps in \d\.\d\d s: \+3 /);
});
