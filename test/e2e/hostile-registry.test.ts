import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../src/registry/digest.ts';
import { OCI_IMAGE_INDEX } from '../../src/registry/media-types.ts';
import { runRegindexer } from '../peers/regindexer.ts';
import { playRegistry, sendJson } from '../registry/http/play-registry.ts';
import { LabelRegistry } from '../sources/label-registry.ts';

/** An image index of nearly 4 MiB. */
function largeIndex(salt: number): string {
  const manifests = Array.from({ length: 25_000 }, (_, number) => ({
    mediaType: OCI_IMAGE_INDEX,
    digest: digestOf(`${salt} ${number}`),
    size: 4_000_000,
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE_INDEX, manifests });
}

test('a registry of huge image indexes in image indexes fails in little memory, and another is read', async (t) => {
  const documents = new Map(
    Array.from({ length: 10 }, (_, salt) => largeIndex(salt)).map((text) => [digestOf(text), text] as const),
  );
  const outer = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_IMAGE_INDEX,
    manifests: [...documents.keys()].map((digest) => ({ mediaType: OCI_IMAGE_INDEX, digest, size: 4_000_000 })),
  });
  const hostile = await playRegistry(t, ({ url }, response) => {
    if (url.includes('/_catalog')) sendJson(response, { repositories: ['one', 'two', 'three'] });
    else if (url.includes('/tags/')) sendJson(response, { tags: ['latest'] });
    else
      response
        .writeHead(200, { 'content-type': OCI_IMAGE_INDEX })
        .end([...documents].find(([digest]) => url.endsWith(digest))?.[1] ?? outer);
  });
  await using innocent = await LabelRegistry.start();
  innocent.push('app', { labels: { name: 'innocent' } });
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-hostile-'));
  const [config, output] = [join(folder.path, 'config.yaml'), join(folder.path, 'innocent.json')];
  await writeFile(
    config,
    JSON.stringify({ indexes: { hostile: { registry: hostile.url }, innocent: { registry: innocent.url, output } } }),
  );

  const { code, stderr } = await runRegindexer(['-c', config, 'index'], { NODE_OPTIONS: '--max-old-space-size=200' });
  assert.equal(code, 1, stderr);
  for (const repository of ['one', 'two', 'three'])
    assert.match(
      stderr,
      new RegExp(`"repository":"${repository}".*manifests: more than 1000 images in one image index`),
    );
  assert.match(await readFile(output, 'utf8'), /innocent/);
});
