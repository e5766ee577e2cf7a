import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DeltaThread } from '../../src/app/delta-thread.ts';
import { digestOf, type Digest } from '../../src/registry/digest.ts';
import { noise } from '../deltas/layers.ts';
import { tarOf } from '../deltas/write-tar.ts';
import { CONFIG, MANIFEST, writeBlob, writeIndex } from '../registry/layout/write-layout.ts';

/** Writes an image with one layer into a layout; returns the digest of its manifest. */
async function writeImage(layout: string, archive: Buffer): Promise<Digest> {
  const layer = gzipSync(archive);
  const config = JSON.stringify({ rootfs: { type: 'layers', diff_ids: [digestOf(archive)] } });
  return writeBlob(
    layout,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, digest: await writeBlob(layout, config), size: config.length },
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          digest: await writeBlob(layout, layer),
          size: layer.length,
        },
      ],
    }),
  );
}

test('a delta that alone is larger than max_store is not waited for', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-delta-thread-'));
  const layout = join(folder.path, 'app');
  const source = await writeImage(layout, tarOf([{ path: 'a', content: noise(1, 50_000) }]));
  const target = await writeImage(layout, tarOf([{ path: 'a', content: noise(1, 50_000).subarray(10) }]));
  await writeIndex(layout, []);
  const registry = `oci:${folder.path}`;
  const thread = new DeltaThread({
    folder: folder.path,
    registries: [{ id: registry, concurrency: 1, timeout: 1000, repositories: [] }],
  });
  try {
    const pair = { registry, repository: 'app', source, target };
    const limits = { maxRatio: 1, minSize: 0, maxLayer: 1_000_000 };
    const made = await thread.make(pair, { ...limits, maxStore: 10_000 });
    assert.equal(made.kind, 'made', JSON.stringify(made));
    const { kind, ...rest } = await thread.make(pair, { ...limits, maxStore: 10 });
    assert.equal(kind, 'unsuitable');
    assert.match(JSON.stringify(rest), /more than max_store/);
  } finally {
    await thread.close();
  }
});

test('a delta of a registry that refuses access may be made later', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-delta-thread-'));
  let status = 403;
  const server = createServer((_request, response) => void response.writeHead(status).end('{}')).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const thread = new DeltaThread({
    folder: folder.path,
    registries: [{ id: registry, concurrency: 1, timeout: 1000, repositories: [] }],
  });
  t.after(() => thread.close());
  const pair = { registry, repository: 'app', source: digestOf('source'), target: digestOf('target') };
  const limits = { maxRatio: 1, minSize: 0, maxLayer: 1_000_000, maxStore: 1_000_000 };
  await assert.rejects(thread.make(pair, limits), /403/);
  status = 404;
  assert.equal((await thread.make(pair, limits)).kind, 'failed');
});
