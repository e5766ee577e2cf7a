import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { digestOf } from '../../../src/registry/digest.ts';
import type { HttpRegistrySource } from '../../../src/registry/http/http-registry-source.ts';
import { OCI_IMAGE_MANIFEST } from '../../../src/registry/media-types.ts';
import { RegistryError } from '../../../src/registry/registry-error.ts';
import { FaultProxy } from '../../sources/fault-proxy.ts';
import { FAULTS, type RequestKind } from '../../sources/faults.ts';
import { playRegistry, readRegistry, sendJson, type Answer } from './play-registry.ts';

const CONFIG = JSON.stringify({ os: 'linux', architecture: 'amd64', config: { Labels: { name: 'hello' } } });
const DESCRIPTOR = {
  mediaType: 'application/vnd.oci.image.config.v1+json',
  digest: digestOf(CONFIG),
  size: CONFIG.length,
};
const MANIFEST = JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE_MANIFEST, config: DESCRIPTOR, layers: [] });

/** A registry with the repository `a`, which has the tag `latest`. */
const answerRight: Answer = ({ url, method }, response) => {
  if (url.includes('_catalog')) sendJson(response, { repositories: ['a', 'b', 'c'] });
  else if (url.includes('/tags/')) sendJson(response, { tags: ['latest'] });
  else if (url.includes('/blobs/')) response.end(CONFIG);
  else
    response
      .writeHead(200, {
        'content-type': OCI_IMAGE_MANIFEST,
        'docker-content-digest': digestOf(MANIFEST),
        'content-length': MANIFEST.length,
      })
      .end(method === 'HEAD' ? undefined : MANIFEST);
};

/** The request of each kind. */
const READS: Readonly<Record<RequestKind, (source: HttpRegistrySource) => Promise<unknown>>> = {
  catalog: (source) => Array.fromAsync(source.repositories()),
  list: (source) => source.tags('a'),
  manifest: (source) => source.manifest('a', 'latest'),
  'manifest head': (source) => source.resolve('a', 'latest'),
  blob: (source) => source.config('a', DESCRIPTOR),
};

/** Faults that last until the timeout. */
const WAITING: ReadonlySet<string> = new Set(['silence', 'an answer that drips']);
/**
 * Faults that one answer cannot show: a scan does not believe a shorter catalog at once, and reads the manifest of a
 * tag.
 */
const UNSEEN: ReadonlySet<string> = new Set(['an empty catalog', 'a catalog cut short', 'a wrong digest header']);

suite('each fault is reported in time, and ends with its answer', { concurrency: 4 }, () => {
  for (const [name, { kinds }] of Object.entries(FAULTS)) {
    for (const kind of kinds) {
      if (UNSEEN.has(name) && kind !== 'manifest') continue;
      test(`${name} for a ${kind}`, async (t) => {
        const { url } = await playRegistry(t, answerRight);
        await using proxy = await FaultProxy.start(url);
        const source = readRegistry(t, proxy.url, { pauses: [], timeout: WAITING.has(name) ? 300 : 5000 });
        const right = await READS[kind](source);

        proxy.play({ seed: 1, rate: 1, faults: [name] });
        const started = performance.now();
        try {
          // Headers that are not needed may be missing.
          assert.deepEqual(await READS[kind](source), right);
        } catch (error) {
          assert.ok(error instanceof RegistryError, String(error));
          assert.ok(!['not-found', kind === 'catalog' ? '' : 'no-catalog'].includes(error.code), error.code);
          assert.match(error.message, /^(GET|HEAD) http:\/\/127\.0\.0\.1:\d+\//);
          assert.ok(error.message.length < 1000, error.message);
        }
        assert.ok(performance.now() - started < 10_000);
        assert.ok(proxy.played.length > 0);
        proxy.heal();
        assert.deepEqual(await READS[kind](source), right);
      });
    }
  }
});
