/** The registry of 2,000 images that is read and served. */
import { existsSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import type { DockerRegistry } from '../peers/docker-registry.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { freePort } from '../peers/free-port.ts';
import { pushRandom } from '../sources/push-random.ts';
import { usualApps } from './random-state.ts';

export const APPS = usualApps(500);
export const IMAGES = APPS.repositories * APPS.tags.length * APPS.architectures.length;

export interface FilledRegistry extends DockerRegistry {
  /** The requests that it has answered by its own count. */
  readonly requestsCounted: () => Promise<number>;
}

/** A file system in memory, on Linux. */
const MEMORY = '/dev/shm';

/**
 * Starts docker-registry and fills it. Its access log is off, which would cost it more than counting. Its files are in
 * memory where they can be: each push removes some, and ext4 without a journal is slow for minutes to make new ones
 * where many were removed, which would be laid to what writes icons there.
 */
export async function startFilledRegistry(): Promise<FilledRegistry> {
  await using started = new AsyncDisposableStack();
  const storage = started.use(
    await mkdtempDisposable(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'regindexer-registry-')),
  );
  const metrics = `127.0.0.1:${await freePort()}`;
  const registry = started.use(
    await startDockerRegistry({
      sections: {
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: storage.path }, delete: { enabled: true } },
        http: { debug: { addr: metrics, prometheus: { enabled: true } } },
      },
    }),
  );
  process.stderr.write(`pushing ${IMAGES} images to a registry\n`);
  await pushRandom(registry.url, APPS);
  const owned = started.move();
  return Object.assign(registry, {
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
    requestsCounted: async () => {
      const { body } = await request(`http://${metrics}/metrics`);
      let requests = 0;
      for (const [, value] of (await body.text()).matchAll(/^registry_http_requests_total\{.*\} (\d+)$/gm))
        requests += Number(value);
      return requests;
    },
  });
}
